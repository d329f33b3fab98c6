"""The formulas of `calculate_output`: what they mean, and that nothing else comes of any text."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rewardplane.rewards.text.formula import MAX_OPERATIONS, FormulaError, parse

VALUES = {"a": 0.5, "b": 2.0, "max": 3.0, "n_1": -1.0, "pass": 1.0, "in": 4.0, "_x1": 1.0}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.8*a + 0.2*b", 0.8),
        ("1 - 2 - 3", -4.0),
        ("8 / 4 / 2", 1.0),
        ("2 + 3 * 4", 14.0),
        ("(2 + 3) * 4", 20.0),
        ("2^3^2", 512.0),
        ("-2^2", -4.0),
        ("(-2)^2", 4.0),
        ("2^-1", 0.5),
        ("--a", 0.5),
        ("+-+a", -0.5),
        ("1e3 + .5 + 5.", 1005.5),
        ("min(a, b, 1)", 0.5),
        ("max(a)", 0.5),
        ("max + max(1, 2)", 5.0),
        ("abs(n_1)", 1.0),
        ("floor(1.5) + ceil(1.5)", 3.0),
        ("exp(0) + sqrt(4) + log(1)", 3.0),
        ("log(exp(a))", 0.5),
        ("1" + "+1" * MAX_OPERATIONS, MAX_OPERATIONS + 1.0),
        ("pass + in/2 - _x1", 2.0),
        ("1" + " " * 9000 + "+1", 2.0),
        (" \t\n a \r\n", 0.5),
    ],
)
def test_what_it_means(text: str, value: float) -> None:
    assert parse(text).value(VALUES) == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is empty"),
        (" ", "is empty"),
        ("a b", "invalid syntax"),
        ("a +", "invalid syntax, after"),
        ("(a", "never closed"),
        ("a)", "unmatched ')'"),
        ("a.real", "'a.real' is no arithmetic"),
        ("a, b", "'a, b' is no arithmetic"),
        ("a[0]", "'[' is not known"),
        ("'a'", "is not known"),
        ("a # b", "'#' is not known"),
        ("a ** b", "'**' is not known"),
        ("a // b", "'//' is not known"),
        ("1 if a else b", "invalid syntax"),
        ("a and b", "invalid syntax"),
        ("lambda: a", "':' is not known"),
        ("__import__(a)", "there is no function '__import__'"),
        ("eval(a)", "there is no function 'eval'"),
        ("open(a)", "there is no function 'open'"),
        ("max(1)(2)", "is no arithmetic"),
        ("max(*a)", "is no arithmetic"),
        ("min()", "takes an argument"),
        ("abs(a, b)", "takes one argument, got 2"),
        ("1e999", "no finite number"),
        ("1_000", "'1_000' is no number"),
        ("0x10", "'0x10' is no number"),
        ("1j", "'1j' is no number"),
        ("(" * 1000 + "a" + ")" * 1000, "nested"),
        ("-" * 9000 + "a", "nested"),
        ("a" + "^a" * 2000, "more than"),
        ("1" + "+1" * (MAX_OPERATIONS + 1), "more than"),
        ("1+" * 6000 + "1", "longer than"),
        ("١", "is not known"),
    ],
)
def test_what_is_no_formula(text: str, why: str) -> None:
    with pytest.raises(FormulaError) as fault:
        parse(text)
    assert why in str(fault.value)


@pytest.mark.parametrize(
    "text",
    [
        *("1/0", "0^-1", "(-1)^0.5", "sqrt(-1)", "log(0)", "log(-1)", "exp(1000)", "1e308*10"),
        *("10^1000", "1e308+1e308", "-1e308-1e308", "exp(exp(exp(10)))", "b^(b^(b^(b^(b^9))))"),
    ],
)
def test_no_finite_value_is_an_error(text: str) -> None:
    with pytest.raises(FormulaError, match="no finite number"):
        parse(text).value(VALUES)


def test_a_variable_without_a_value() -> None:
    formula = parse("a + missing")
    assert formula.names == ("a", "missing")
    with pytest.raises(FormulaError, match="'missing' has no value"):
        formula.value(VALUES)


ALPHABET = [*"0123456789.eE+-*/^(),ab_ \n[]{}'\"\\:=λ", "min", "max", "sqrt(", "__class__"]
TEXTS = st.lists(st.sampled_from(ALPHABET), max_size=40).map("".join) | st.text(max_size=60)


def never_another_exception(text: str) -> None:
    try:
        value = parse(text).value({"a": 0.5, "b": -3.0})
    except FormulaError:
        return
    assert type(value) is float
    assert math.isfinite(value)


@settings(max_examples=400, deadline=None)
@given(TEXTS)
def test_any_text_has_a_finite_value_or_is_refused(text: str) -> None:
    never_another_exception(text)


def test_ten_thousand_texts() -> None:
    """Others each time; hypothesis would take a millisecond to make each."""
    chance = random.Random()
    for _ in range(10_000):
        never_another_exception("".join(chance.choices(ALPHABET, k=chance.randrange(41))))


SIGNS = ("+", "-", "*", "/")
TREES = st.recursive(
    st.sampled_from(["a", "b", "2", "0.5"]),
    lambda inner: st.tuples(inner, st.sampled_from(SIGNS), inner) | inner.map(lambda i: ("-", i)),
    max_leaves=12,
)


def _written(tree: object) -> str:
    if isinstance(tree, str):
        return tree
    assert isinstance(tree, tuple)
    return "(" + "".join(part if part in SIGNS else _written(part) for part in tree) + ")"


@settings(max_examples=300, deadline=None)
@given(TREES)
def test_it_agrees_with_python(tree: object) -> None:
    text = _written(tree)
    try:
        wanted = eval(text, {"__builtins__": {}}, {"a": 0.5, "b": -3.0})  # noqa: S307 - made above
    except ZeroDivisionError:
        with pytest.raises(FormulaError):
            parse(text).value({"a": 0.5, "b": -3.0})
        return
    assert parse(text).value({"a": 0.5, "b": -3.0}) == pytest.approx(wanted)
