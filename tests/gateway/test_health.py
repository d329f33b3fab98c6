"""What the service says of a reward's health is so, and each known way to go wrong is named."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from rewardplane.config.load import parse_reward
from rewardplane.gateway.call import Call, CallOptions
from rewardplane.gateway.figures import RewardFigures
from rewardplane.gateway.health import (
    GROUPS_A_SECOND,
    MAX_PAIRS,
    WINDOW_S,
    Health,
    Healths,
)
from rewardplane.gateway.served import ServedReward
from rewardplane.rewards.types import Outcome, Reason, Score, ScoreError

from ..support.rig import poison, request_of, rig

RAISED = ScoreError(Reason.RAISED, "no")


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def served(name: str = "r", **settings: Any) -> ServedReward:
    config = parse_reward(name, {"kind": "exact", **settings}, None)
    return ServedReward(config, RewardFigures(), lambda _served: None)  # pyright: ignore


def step(
    healths: Healths,
    reward: ServedReward,
    groups: Sequence[Sequence[tuple[Outcome, int]]],
    job: str = "j",
) -> None:
    """A step of training: each group a call, each item an outcome and a length."""
    for group in groups:
        call = Call(CallOptions("id", "label", 0.0, 1.0), [reward], [len(group)])
        for item, (outcome, _) in enumerate(group):
            call.set(item, outcome, ())
        if healths.wants_sample():
            call.sampled = 0, [length for _, length in group]
        call.job = job
        for piece in call.pieces():
            healths.ended(call, piece, call.reasons(piece.first, piece.end))


def advice(health: Health | None) -> str:
    assert health is not None
    return "\n".join(health.advice())


def scored(values: Sequence[float], lengths: Sequence[int] = ()) -> list[tuple[Outcome, int]]:
    return [
        (Score(value), n) for value, n in zip(values, lengths or [9] * len(values), strict=True)
    ]


def run(groups: Sequence[Sequence[tuple[Outcome, int]]], **settings: Any) -> Health | None:
    clock = Clock()
    healths = Healths(clock)
    reward = served(**settings)
    for group in groups:
        step(healths, reward, [group])
        clock.now_s += 1 / GROUPS_A_SECOND
    return healths.health("r", "j")


def test_a_sound_reward_is_described_and_gets_no_advice() -> None:
    values = [n / 10 for n in range(11)]
    health = run([scored(values, [50 - 7 * n % 11 for n in range(11)])] * 20)
    assert health is not None
    assert advice(health) == ""
    assert (health.items, health.error_ratio, health.groups) == (220, 0, 20)
    assert (health.p10, health.p50, health.p90) == (0.1, 0.5, 0.9)
    assert math.isclose(health.mean, 0.5)
    assert math.isclose(health.deviation, 0.1**0.5)
    assert health.alike_ratio == 0
    assert math.isclose(health.saturation, 1 / 11)
    assert health.clip_ratio == 0


def test_a_reward_that_is_always_1_is_named_within_three_steps() -> None:
    health = run([scored([1.0] * 8)] * 24)
    assert advice(health) == "100% of the rewards are equal to 1: nothing to learn"


def test_groups_that_are_all_alike_are_named() -> None:
    groups = [scored([n % 3 / 2] * 8) for n in range(30)]
    assert advice(run(groups)) == "in 100% of the groups all rewards are equal: no gradient"


def test_a_reward_of_length_is_named() -> None:
    groups = [scored([n / 100 for n in range(m, m + 8)], range(m, m + 8)) for m in range(30)]
    assert advice(run(groups)) == "the reward follows the length (correlation 1.00)"


def test_errors_are_counted_in_full_and_from_80_percent_on_the_advice_is_to_stop() -> None:
    few = [[*scored([0.0, 1.0] * 5), (RAISED, 1)]] * 20
    assert advice(run(few)).startswith("9% of 220 items have no reward: 20 RAISED")
    many = [[*scored([0.0, 1.0]), *[(RAISED, 1)] * 8]] * 20
    assert advice(run(many)).startswith("STOP: 80% of 200 items have no reward: 160 RAISED;")


def test_of_a_handful_of_items_nothing_is_said() -> None:
    assert advice(run([[(RAISED, 1)] * 8] * 4)) == ""


def test_the_ends_of_the_range_are_counted_as_clipped() -> None:
    health = run([scored([-1.0, 0.0, 0.5, 1.0])] * 20, clip=[-1, 1])
    assert health is not None
    assert health.clip_ratio == 0.5


def test_what_is_old_is_forgotten_and_jobs_are_told_apart() -> None:
    clock = Clock()
    healths = Healths(clock)
    reward = served()
    step(healths, reward, [[(RAISED, 1)] * 100], "a")
    step(healths, reward, [scored([1.0, 0.0])], "b")
    assert [(name, job, health.items) for name, job, health in healths.all()] == [
        ("r", "a", 100),
        ("r", "b", 2),
    ]
    clock.now_s += WINDOW_S + 1
    assert list(healths.all()) == []
    step(healths, reward, [scored([1.0, 0.0])], "a")
    health = healths.health("r", "a")
    assert health is not None
    assert (health.items, health.error_ratio) == (2, 0)
    assert healths.health("r", "nobody") is None


def test_samples_are_taken_so_often_and_no_oftener_and_pairs_are_bounded() -> None:
    clock = Clock()
    healths = Healths(clock)
    taken = 0
    for _ in range(10_000):
        clock.now_s += 0.001
        taken += healths.wants_sample()
    assert taken <= 10 * GROUPS_A_SECOND + 1
    assert taken >= 9 * GROUPS_A_SECOND
    reward = served()
    for job in range(MAX_PAIRS + 10):
        step(healths, reward, [scored([1.0])], str(job))
    assert len(list(healths.all())) == MAX_PAIRS


async def test_an_answer_says_it_where_it_was_asked_for() -> None:
    async with rig({"one": poison()}) as it:
        for _ in range(3):
            plain = await it.answer(request_of("one", ["1"] * 4, ["1"] * 4, job="j"))
            assert not plain.health
        request = request_of("one", ["1"] * 50, ["raise it"] * 30, job="j")
        request.options.include_health = True
        answer = await it.answer(request)
    (health,) = answer.health
    assert (health.reward, health.items) == ("one", 24 + 80)
    assert math.isclose(health.error_ratio, 30 / 104)
    assert health.mean == 1.0
    assert health.advice[0].startswith("29% of 104 items have no reward: 30 RAISED")


@pytest.mark.parametrize("job", ["", "j"])
async def test_the_client_returns_it(job: str) -> None:
    from rewardplane.client.client import RewardClient
    from rewardplane.rewards.types import Example, Group, Response

    async with rig({"one": poison()}) as it, RewardClient(it.address) as client:
        group = Group(Example(), [Response("1"), Response("0")])
        scores = await client.score("one", [group], job=job, include_health=True)
        assert [(h.reward, h.items, h.mean) for h in scores.health] == [("one", 2, 0.5)]
        assert (await client.score("one", [group], job=job)).health == ()
