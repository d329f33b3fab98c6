"""What is made of members' outcomes: sums, formulas, panels and standings, and who drops out."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from rewardplane.rewards.compose.combining import Combined, Combining, MemberOutcome
from rewardplane.rewards.registry import build
from rewardplane.rewards.types import MAX_MESSAGE_CHARS, Reason, ScoreError


def made(kind: str, **params: Any) -> Combining:
    reward = build(kind, params)
    assert isinstance(reward, Combining)
    return reward


def failed(reason: Reason, message: str = "why") -> ScoreError:
    return ScoreError(reason, message)


NOT = failed(Reason.NOT_APPLICABLE)
BAD = failed(Reason.RAISED)
LATE = failed(Reason.DEADLINE)
SUM = {"weights": {"a": 0.6, "b": 0.3, "c": -0.1}}


def outcome_of(reward: Combining, *outcomes: MemberOutcome) -> float | str:
    made = reward.combine(dict(zip(reward.members, outcomes, strict=True)))
    return made.reward if isinstance(made, Combined) else made.reason.name


@pytest.mark.parametrize(
    ("on_error", "outcomes", "wanted"),
    [
        ("error", (1.0, 1.0, 1.0), 0.8),
        ("error", (1.0, BAD, 1.0), "RAISED"),
        ("error", (1.0, NOT, 1.0), 0.5 / 0.7),
        ("error", (LATE, NOT, 1.0), "DEADLINE"),
        ("error", (LATE, BAD, 1.0), "RAISED"),
        ("error", (NOT, NOT, NOT), "NOT_APPLICABLE"),
        ("renormalise", (1.0, BAD, NOT), 1.0),
        ("renormalise", (NOT, NOT, 1.0), -1.0),  # a penalty stays one
        ("renormalise", (NOT, BAD, LATE), "RAISED"),
        ({"value": -1}, (1.0, BAD, LATE), 0.6 - 0.3 + 0.1),
        ({"value": -1}, (BAD, NOT, NOT), -1.0),
    ],
)
def test_who_drops_out_of_a_sum(on_error: Any, outcomes: Any, wanted: float | str) -> None:
    for how in (SUM, {"formula": "0.6*a + b*0.3 - 0.1*c"}):
        found = outcome_of(made("composite", **how, on_error=on_error), *outcomes)
        assert found == (pytest.approx(wanted) if isinstance(wanted, float) else wanted)


def test_a_weight_of_nothing_is_told_and_counts_nothing() -> None:
    reward = made("composite", weights={"a": 1, "b": 0})
    assert outcome_of(reward, 0.25, 7.0) == 0.25
    assert outcome_of(reward, NOT, 7.0) == "NOT_APPLICABLE"


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({}, "either `weights` or `formula`"),
        ({"weights": {"a": 1}, "formula": "a"}, "either `weights` or `formula`"),
        ({"weights": {"a": 0}}, "want one that is not 0"),
        ({"weights": {"a": math.nan}}, "finite"),
        ({"formula": "a +"}, "formula: "),
        ({"formula": "a; b"}, "';' is not known"),
        ({"formula": "2"}, "names no member"),
        ({"formula": "a", "members": {"b": "x"}}, "members: b: in no weight, formula or gate"),
        ({"formula": "a*b", "on_error": "renormalise"}, "`renormalise` is for weights"),
        ({"formula": "a + 1", "on_error": "renormalise"}, "`renormalise` is for weights"),
        ({"formula": "a", "gates": [{"reward": "b"}, {"reward": "b"}]}, "stands twice"),
        ({"weights": {f"m{i}": 1 for i in range(65)}}, "64"),
        ({"formula": "a", "members": {"not-a-name": "x"}}, "pattern"),
    ],
)
def test_what_no_composite_is(given: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        build("composite", given)


def test_members_go_by_other_names() -> None:
    reward = made("composite", formula="m^2", members={"m": "math-v2"}, gates=[{"reward": "f-1"}])
    assert reward.members == {"m": "math-v2", "f-1": "f-1"}
    error = reward.combine({"m": BAD, "f-1": 1.0})
    assert isinstance(error, ScoreError)
    assert error.message == "member 'm' (reward 'math-v2'): RAISED: why"


def test_a_message_has_room_for_each_member() -> None:
    reward = made("composite", weights={f"m{i}": 1 for i in range(8)})
    long = failed(Reason.RAISED, "x" * MAX_MESSAGE_CHARS)
    error = reward.combine(dict.fromkeys(reward.members, long))
    assert isinstance(error, ScoreError)
    assert len(error.message) <= MAX_MESSAGE_CHARS
    assert all(f"member 'm{i}': RAISED: x" in error.message for i in range(8))


VALUES = st.floats(-1e6, 1e6, allow_nan=False)
KINDS = [
    made("composite", **SUM),
    made("composite", formula="max(a, b) / (1 + c^2)"),
    made("panel", members={"a": 1, "b": 2, "c": 3}),
    made("panel", members={"a": 1, "b": 1, "c": {"affine": {"std": 2}}}, combine="median"),
    made("panel", members={"a": 1, "b": 1, "c": 1}, combine="trimmed"),
]


@given(st.sampled_from(KINDS), st.lists(st.tuples(VALUES, VALUES, VALUES), min_size=1))
def test_by_columns_as_one_by_one(reward: Combining, rows: list[tuple[float, ...]]) -> None:
    blended = reward.blend([list(column) for column in zip(*rows, strict=True)])
    assert blended is not None
    rewards, own = blended
    for index, row in enumerate(rows):
        one = reward.combine(dict(zip("abc", row, strict=True)))
        assert one == Combined(rewards[index], tuple(column[index] for column in own))


OUTCOMES = st.one_of(VALUES, st.sampled_from(list(Reason)).map(failed))


@given(st.sampled_from(KINDS), st.tuples(OUTCOMES, OUTCOMES, OUTCOMES))
def test_always_a_finite_reward_or_an_error(reward: Combining, row: tuple[Any, ...]) -> None:
    made = reward.combine(dict(zip("abc", row, strict=True)))
    if isinstance(made, Combined):
        assert math.isfinite(made.reward)
    else:
        reasons = {o.reason for o in row if isinstance(o, ScoreError)} | {Reason.INVALID_RESULT}
        assert made.reason in reasons


def test_a_sum_that_overflows_is_an_error() -> None:
    assert outcome_of(made("composite", weights={"a": 1e308}), 1e308) == "INVALID_RESULT"
    assert outcome_of(made("panel", members={"a": 1, "b": 1}), 1e308, 1e308) == "INVALID_RESULT"


@pytest.mark.parametrize(
    ("combine", "values", "wanted"),
    [
        ("mean", (1.0, 2.0, 6.0), 3.0),
        ("median", (1.0, 2.0, 6.0), 2.0),
        ("trimmed", (1.0, 2.0, 6.0), 2.0),
        ("mean", (1.0, NOT, 6.0), 3.5),
        ("median", (1.0, BAD, 6.0), 3.5),
        ("trimmed", (1.0, LATE, 6.0), 3.5),
        ("mean", (1.0, NOT, BAD), "RAISED"),
        ("mean", (1.0, NOT, NOT), "NOT_APPLICABLE"),
        ("mean", (1.0, LATE, BAD), "RAISED"),
        ("mean", (LATE, LATE, 1.0), "DEADLINE"),
    ],
)
def test_panels(combine: str, values: Any, wanted: float | str) -> None:
    members = {"a": 1, "b": 1, "c": 1}
    reward = made("panel", members=members, combine=combine, quorum=2)
    assert outcome_of(reward, *values) == wanted


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"members": {}}, "at least 1"),
        ({"members": {"a": 1}, "quorum": 2}, "quorum: 2 of 1 members"),
        ({"members": {"a": 1, "b": 2}, "combine": "median"}, "weights are for `combine: mean`"),
        ({"members": {"a": -1}}, "greater than 0"),
        ({"members": {"a": {"calibration": "file.json"}}}, "calibration"),
        ({"members": {"a": {"affine": {"std": 0}}}}, "greater than 0"),
    ],
)
def test_what_no_panel_is(given: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        build("panel", given)


@pytest.mark.parametrize(
    ("measure", "wanted"),
    [
        ("best", [0, 1, "RAISED", 1, 0]),
        ("rank", [0, 2.5 / 3, "RAISED", 2.5 / 3, 1 / 3]),
        ("range", [0, 1, "RAISED", 1, 0.5]),
        ("z", []),
    ],
)
def test_standings(measure: str, wanted: list[Any]) -> None:
    reward = made("best_of", reward="a", **{"as": measure})
    rows = [{"a": value} for value in (1.0, 3.0, BAD, 3.0, 2.0)]
    found = [
        o.reward if isinstance(o, Combined) else o.reason.name for o in reward.combine_group(rows)
    ]
    if measure == "z":
        numbers = [value for value in found if isinstance(value, float)]
        assert sum(numbers) == pytest.approx(0)
        assert sum(value**2 for value in numbers) == pytest.approx(len(numbers))
    else:
        assert found == wanted


@pytest.mark.parametrize(("measure", "alike"), [("best", 1), ("rank", 0.5), ("range", 0), ("z", 0)])
def test_none_is_better_where_all_are_alike(measure: str, alike: float) -> None:
    reward = made("best_of", reward="a", **{"as": measure})
    for rows in ([{"a": 2.0}], [{"a": 2.0}] * 3):
        assert reward.combine_group(rows) == [Combined(alike)] * len(rows)
