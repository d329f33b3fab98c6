"""The last items scored again by the model that is to follow."""

from __future__ import annotations

import math
from array import array
from typing import Any

import pytest
from rewardplane.models.host import ModelHost
from rewardplane.models.shadow import RECENT_BYTES, RECENT_ITEMS, Recent, Scored, compared

from ..support.rig import flat, request_of
from .hosting import RM, STUB, Hosts
from .test_host import asked, engine


def job(items: int, size: int = 1) -> Scored:
    return Scored(("f", b"{}"), b"x" * size, array("d", [0.0] * items))


def test_what_is_kept_is_bounded() -> None:
    recent = Recent()
    for _ in range(1_000):
        recent.add(job(3))
        assert sum(len(one.rewards) for one in recent.jobs()) <= RECENT_ITEMS + 3
    recent.add(job(5_000))
    assert [len(one.rewards) for one in recent.jobs()] == [5_000]
    for _ in range(5):
        recent.add(job(1, RECENT_BYTES // 2))
    assert len(recent.jobs()) == 2
    recent.add(job(1, RECENT_BYTES + 1))
    assert len(recent.jobs()) == 2


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ([[1, 2, 3]], [[2, 4, 6]], "3 items: rank correlation 1.000, mean 2 to 4, 0 of 3 pairs"),
        ([[1, 2], [3, 4]], [[2, 1], [3, 4]], "1 of 2 pairs within groups turned round"),
        ([[1, 2, 3]], [[3, 2, 1]], "rank correlation -1.000, mean 2 to 2, 3 of 3 pairs"),
        ([[1, 1]], [[1, 2]], "2 items: rank correlation none, mean 1 to 1.5"),
        (
            [[1, 2], [5]],
            [[1, math.nan], [5]],
            "3 items, 1 without a reward: rank correlation 1.000",
        ),
        ([[1]], [[math.nan]], "1 items, 1 without a reward"),
        ([], [], "0 items"),
    ],
)
def test_how_far_rewards_moved(before: Any, after: Any, told: str) -> None:
    assert told in compared(before, after)


async def test_another_model_scores_what_one_has_scored() -> None:
    old = Hosts({"models": {"m": dict(STUB)}, "rewards": {"it": RM, "other": RM}})
    async with old as rig:
        words = [f"answer {i}" for i in range(20)]
        assert len(flat(await rig.answer(asked(request_of("it", words[:10], words[10:]))))) == 20
        await rig.answer(asked(request_of("other", ["a", "nan", "b"])))
        jobs = old.hosts["m"].recent()
    assert [len(one.rewards) for one in jobs] == [20, 3]
    noisy = Hosts({"models": {"m": dict(engine(noise=1.0))}, "rewards": {"it": RM}})
    new = ModelHost(noisy.config.models["m"])
    await new.start()
    told = await new.shadow(jobs)
    await new.stop()
    assert told[0].startswith("reward it: 20 items: rank correlation 0.")
    assert "of 90 pairs within groups turned round" in told[0]
    assert told[1].startswith("reward other: 2 items: rank correlation")


async def test_of_a_large_job_the_first_groups_are_enough() -> None:
    old = Hosts({"models": {"m": dict(STUB)}, "rewards": {"it": RM}})
    async with old as rig:
        groups = [[f"{i} {j}" for j in range(16)] for i in range(40)]
        await rig.answer(asked(request_of("it", *groups)))
        jobs = old.hosts["m"].recent()
        (told,) = await old.hosts["m"].shadow(jobs)
    assert "without a reward" not in told
    assert "rank correlation 1.000" in told
