"""Numbers in text, and the kind `numeric`."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from rewardplane.rewards import Example, Reason, Response, Score, ScoreError
from rewardplane.rewards.reading.number import MAX_DIGITS, Numeral, whole
from rewardplane.rewards.registry import build
from rewardplane.rewards.run import Clip, run_item

ZERO = Decimal(0)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("18", "18"),
        (" -18 ", "-18"),
        ("+18", "18"),
        ("\u221218", "-18"),
        ("1,234", "1234"),
        ("-1,234,567.50", "-1234567.50"),
        (".5", "0.5"),
        ("5.", "5"),
        ("$18", "18"),
        ("-$18", "-18"),
        ("$-18", "-18"),
        ("\\$1,000", "1000"),
        ("€9.99", "9.99"),
        ("6.02e23", "6.02e23"),
        ("1E-3", "0.001"),
        ("1e\u22123", "0.001"),
        ("007", "7"),
        ("0.1", "0.1"),
        ("9" * MAX_DIGITS, "9" * MAX_DIGITS),
    ],
)
def test_a_text_that_is_a_number(text: str, value: str) -> None:
    assert whole(text) == Numeral(Decimal(value))


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "x",
        "1,23",
        "1,2345",
        "1 2",
        "--1",
        "-$-1",
        "1/0",
        "1e",
        "e5",
        "٣",
        "１",
        "1_000",
        "NaN",
        "inf",
        "0x1F",
        "9" * (MAX_DIGITS + 1),
        "1e99999999999999999999",
        "1e401",
        "1e-401",
        "18 dollars",
    ],
)
def test_a_text_that_is_none(text: str) -> None:
    assert whole(text) is None


def test_percent_and_fractions() -> None:
    assert whole("12 %") == whole("12\\%") == Numeral(Decimal(12), percent=True)
    assert whole("3/4") == whole("\\frac{3}{4}") == Numeral(Decimal(3), Decimal(4))
    assert whole("-\\dfrac{3}{4}") == Numeral(Decimal(-3), Decimal(4))


def score(text: str, gold: str, **params: Any) -> Score | ScoreError:
    item = (Example(references={"answer": gold}), Response(text))
    return run_item(build("numeric", params), item, Clip())


RIGHT, WRONG, UNREAD = (1.0, 1.0), (0.0, 1.0), (0.0, 0.0)


def verdict(text: str, gold: str, **params: Any) -> tuple[float, float]:
    outcome = score(text, gold, **params)
    assert isinstance(outcome, Score), outcome
    return outcome.reward, outcome.components["parsed"]


@pytest.mark.parametrize(
    ("gold", "text", "outcome"),
    [
        ("18", "18", RIGHT),
        ("18", "18.0", RIGHT),
        ("18", "1.8e1", RIGHT),
        ("0.3", "0.30000000000000004", WRONG),
        ("9007199254740993", "9007199254740992", WRONG),
        ("18", "16 - 3 - 4 = 9 eggs, 9 * 2 = $18 every day.", RIGHT),
        ("18", "A: 18", RIGHT),
        ("18", "Q: what?\nA: 17\nA: 18 eggs", RIGHT),
        ("18", "The answer is $18 for 2 days.", RIGHT),
        ("18", "The answer is 9 * 2 = 18.", RIGHT),
        ("18", "...\n#### 18", RIGHT),
        ("18", r"so \boxed{18}, not 19", RIGHT),
        ("18", r"so \boxed{18\text{ dollars}}", RIGHT),
        ("18000", r"so \boxed{18{,}000}", RIGHT),
        ("90", r"\boxed{90^\circ}", RIGHT),
        ("50", "50%", RIGHT),
        ("0.5", "50%", RIGHT),
        ("50%", "0.5", RIGHT),
        ("50%", "50%", RIGHT),
        ("5000", "50%", WRONG),
        ("1/3", r"\boxed{\frac{1}{3}}", RIGHT),
        ("0.75", "3/4", RIGHT),
        ("1/3", "0.333", WRONG),
        ("2", r"\boxed{2\pi}", UNREAD),
        ("2", r"\boxed{x^2}", UNREAD),
        ("2", r"\boxed{\sqrt{2}}", UNREAD),
        ("18", "", UNREAD),
        ("18", "I do not know.", UNREAD),
        ("18", "<think>18</think>", UNREAD),
        ("18", "9" * 100_000, UNREAD),
        ("She has 3 left.\n#### 3", "3", RIGHT),
    ],
)
def test_numeric(gold: str, text: str, outcome: tuple[float, float]) -> None:
    assert verdict(text, gold) == outcome


@pytest.mark.parametrize(
    ("gold", "text", "params", "outcome"),
    [
        ("100", "101", {"abs_tol": 1}, RIGHT),
        ("100", "101.0000000001", {"abs_tol": 1}, WRONG),
        ("100", "101", {"rel_tol": 0.01}, RIGHT),
        ("-100", "-99", {"rel_tol": 0.01}, RIGHT),
        ("100", "102", {"rel_tol": 0.01}, WRONG),
        ("0", "0.001", {"rel_tol": 0.5}, WRONG),
        ("1/3", "0.3333", {"abs_tol": 0.001}, RIGHT),
        ("50", "0.5001 is 50.01%", {"abs_tol": 0.1}, RIGHT),
        ("0.1", "0.2", {"abs_tol": 0.1}, RIGHT),
    ],
)
def test_tolerances(
    gold: str, text: str, params: dict[str, float], outcome: tuple[float, float]
) -> None:
    assert verdict(text, gold, **params) == outcome


@pytest.mark.parametrize("gold", ["eighteen", "x^2", "9" * 5000, "1e999", "1/0"])
def test_a_gold_without_a_number(gold: str) -> None:
    outcome = score("18", gold)
    assert isinstance(outcome, ScoreError)
    assert outcome.reason is Reason.INVALID_REFERENCE


@pytest.mark.parametrize("tol", [-1, float("inf"), float("nan")])
def test_tolerances_are_checked_early(tol: float) -> None:
    with pytest.raises(ValidationError):
        build("numeric", {"abs_tol": tol})


@settings(deadline=None)
@given(st.text(), st.text(min_size=1))
def test_numeric_raises_nothing_but_its_own(text: str, gold: str) -> None:
    outcome = score(text, gold, rel_tol=0.1)
    if isinstance(outcome, ScoreError):
        assert outcome.reason is Reason.INVALID_REFERENCE
    else:
        assert outcome.reward in (0.0, 1.0)


_digits = st.text("0123456789", min_size=1, max_size=30)
_soup = st.text("0123456789.,-+$%e/= \\{}", max_size=40)


@settings(deadline=None)
@given(_soup, _soup)
def test_numeric_on_what_looks_like_numbers(text: str, gold: str) -> None:
    test_numeric_raises_nothing_but_its_own.hypothesis.inner_test(text, gold)  # type: ignore[attr-defined]


@settings(deadline=None)
@given(
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30),
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30),
    st.floats(0, 1e6),
    st.floats(0, 2),
)
def test_closeness_is_that_of_exact_fractions(
    value: Decimal, gold: Decimal, abs_tol: float, rel_tol: float
) -> None:
    allowed = max(Fraction(repr(abs_tol)), Fraction(repr(rel_tol)) * abs(Fraction(gold)))
    close = abs(Fraction(value) - Fraction(gold)) <= allowed
    read, read_gold = whole(f"{value:f}"), whole(f"{gold:f}")
    assert read is not None
    assert read_gold is not None
    assert read.is_close(read_gold, Decimal(repr(abs_tol)), Decimal(repr(rel_tol))) is close


@settings(deadline=None)
@given(st.integers(-(10**40), 10**40))
def test_thousands_commas_do_not_matter(number: int) -> None:
    assert whole(f"{number:,}") == whole(str(number)) == Numeral(Decimal(number))
