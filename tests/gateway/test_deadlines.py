"""Deadlines: each is told once, whatever becomes of the others."""

from __future__ import annotations

import asyncio
import time

from rewardplane.gateway.deadlines import Deadlines


async def test_each_is_told_in_time_and_those_removed_are_not() -> None:
    told: list[str] = []
    deadlines = Deadlines[str](told.append)
    now_s = time.monotonic()
    for at, what in enumerate(("c", "b", "a")):
        deadlines.add(what, now_s + 0.06 - 0.02 * at)
    deadlines.add("gone", now_s + 0.04)
    deadlines.remove("gone", now_s + 0.04)
    await asyncio.sleep(0.3)
    assert told == ["a", "b", "c"]


async def test_one_that_fails_keeps_no_other_from_being_told() -> None:
    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: faults.append(context))
    told: list[int] = []

    def expire(what: int) -> None:
        if what % 2:
            raise ValueError("by our own fault")
        told.append(what)

    deadlines = Deadlines[int](expire)
    now_s = time.monotonic()
    for what in range(6):
        deadlines.add(what, now_s + 0.02)
    deadlines.add(6, now_s + 0.1)
    await asyncio.sleep(0.4)
    assert sorted(told) == [0, 2, 4, 6]
    assert len(faults) == 3
