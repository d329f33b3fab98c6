"""How low formulas get: never above a value that they have."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rewardplane.rewards.text.bounds import interval, lowest
from rewardplane.rewards.text.formula import FormulaError, parse

BOUNDS = st.tuples(st.floats(-4, 4), st.floats(0, 3)).map(lambda pair: (pair[0], sum(pair)))
FORMULAS = st.recursive(
    st.sampled_from(["a", "b", "2", "0.5"]),
    lambda inner: (
        st.tuples(inner, st.sampled_from("+-*/"), inner).map("({0[0]}{0[1]}{0[2]})".format)
        | st.tuples(inner, inner).map("min({0[0]}, {0[1]})".format)
        | st.tuples(inner, inner).map("max({0[0]}, {0[1]})".format)
        | inner.map("abs({})".format)
        | inner.map("(-{})".format)
        | inner.map("floor({})".format)
        | inner.map("({})^2".format)
        | inner.map("({})^3".format)
        | inner.map("2^({})".format)
    ),
    max_leaves=6,
)


@settings(max_examples=400, deadline=None)
@given(FORMULAS, BOUNDS, BOUNDS, st.floats(0, 1), st.floats(0, 1))
def test_no_value_is_below_the_lowest(
    text: str, a: tuple[float, float], b: tuple[float, float], at_a: float, at_b: float
) -> None:
    formula = parse(text)
    try:
        low, _ = interval(formula.tree, {"a": a, "b": b})
    except FormulaError:
        return
    values = {"a": a[0] + at_a * (a[1] - a[0]), "b": b[0] + at_b * (b[1] - b[0])}
    try:
        value = formula.value(values)
    except FormulaError:
        return
    assert low <= value + 1e-9 * max(1.0, abs(low), abs(value))


@pytest.mark.parametrize(
    ("text", "low"),
    [
        ("1 - a", 0.0),
        ("a + c", -1.0),
        ("-(a * c)", -2.0),
        ("c^2", 0.0),
        ("1 - c^2", -3.0),
        ("abs(c) - 1", -1.0),
        ("max(a, c)", 0.0),
        ("min(a, c)", -1.0),
        ("0.5*a + 0.5", 0.5),
        ("sqrt(a)", 0.0),
        ("1 / (1 + a)", 0.5),
        ("2^(-a)", 0.5),
        # Not everywhere defined: the least at the ends.
        ("c / a", -1.0),
        ("sqrt(c)", 2**0.5),
        ("log(a)", 0.0),
    ],
)
def test_the_lowest(text: str, low: float) -> None:
    assert lowest(parse(text), {"a": (0.0, 1.0), "c": (-1.0, 2.0)}) == pytest.approx(low)


def test_without_a_value_anywhere_there_is_no_lowest() -> None:
    with pytest.raises(FormulaError, match="at any end"):
        lowest(parse("sqrt(-1 - a)"), {"a": (0.0, 1.0)})
