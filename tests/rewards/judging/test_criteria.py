"""Rubrics from references: a list of criteria or an honest error, whatever stands there."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rewardplane.rewards.judging.criteria import MAX_ITEMS, criteria_of
from rewardplane.rewards.types import InvalidReference

JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(["ask", "criterion", "weight", "points", "gate", "name", "x"]), inner
        ),
    ),
    max_leaves=12,
)


@given(JSON)
def test_whatever_a_reference_holds(value: Any) -> None:
    try:
        found = criteria_of(value, "rubric")
    except InvalidReference:
        return
    assert 1 <= len(found) <= MAX_ITEMS
    assert any(item.weight > 0 for item in found)
    assert all(item.ask.strip() and math.isfinite(item.weight) for item in found)


@pytest.mark.parametrize(
    ("value", "want"),
    [
        (["Is it short?"], [("Is it short?", 1.0)]),
        ([{"ask": "a", "weight": 2}, {"ask": "b", "weight": -1}], [("a", 2.0), ("b", -1.0)]),
        # HealthBench, and rubrics as rewards.
        ([{"criterion": "c", "points": 5, "tags": ["x"]}], [("c", 5.0)]),
        ([{"title": "t", "description": "d", "weight": 3}], [("d", 3.0)]),
        (json.dumps(["Is it short?"]), [("Is it short?", 1.0)]),
    ],
)
def test_the_forms_of_known_data_sets(value: Any, want: list[tuple[str, float]]) -> None:
    assert [(item.ask, item.weight) for item in criteria_of(value, "k")] == want


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("no json", "no JSON"),
        ([], "at least one"),
        ({}, "want a list"),
        ([1], r"\[0\]"),
        ([{"weight": 1}], "question under"),
        ([{"ask": "a", "wieght": 2}], "wieght"),
        ([{"ask": "a", "weight": "2"}], "weight"),
        ([{"ask": "a", "weight": 10**400}], "weight"),
        ([{"ask": "a", "gate": 2}], "gate"),
        ([{"ask": "a", "weight": -1}], "above 0"),
        (["a"] * 65, "at most 64"),
    ],
)
def test_what_is_no_rubric_is_told(value: Any, why: str) -> None:
    with pytest.raises(InvalidReference, match=why):
        criteria_of(value, "k")
