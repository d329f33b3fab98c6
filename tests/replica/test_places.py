"""Places for calls: by urgency, in time or not at all, and lost to nobody."""

from __future__ import annotations

import asyncio
import time

from rewardplane.replica.places import Places

NEVER = 2**63


def in_s(seconds: float) -> int:
    return time.monotonic_ns() + int(seconds * 1e9)


async def test_places_are_lost_to_nobody_who_is_cancelled() -> None:
    places = Places(40)

    async def one(index: int) -> None:
        assert await places.acquire((index, 0), 2**63)
        try:
            await asyncio.sleep(0.001 * (index % 3))
        finally:
            places.release()

    async with asyncio.timeout(30):
        tasks = [asyncio.create_task(one(index)) for index in range(600)]
        for turn in range(12):
            await asyncio.sleep(0)
            for task in tasks[turn::17]:
                task.cancel()
        await asyncio.wait(tasks)
        while places.free < 40:
            await asyncio.sleep(0.01)
    assert places.free == 40


async def test_a_place_comes_in_time_or_not_at_all() -> None:
    places = Places(1)
    assert not await places.acquire((0, 0), in_s(-1))
    assert await places.acquire((0, 0), in_s(1))
    assert not await places.acquire((0, 0), in_s(0.02))
    waits = asyncio.create_task(places.acquire((0, 0), in_s(30)))
    await asyncio.sleep(0.05)
    places.release()
    assert await waits
    assert waits.cancelling() == 0
    places.release()
    assert places.free == 1


async def test_the_most_urgent_of_those_who_wait_is_next() -> None:
    places = Places(1)
    assert await places.acquire((0, 0), NEVER)
    got: list[tuple[int, int]] = []

    async def one(urgency: tuple[int, int]) -> None:
        assert await places.acquire(urgency, NEVER)
        got.append(urgency)
        places.release()

    wanted = [(5, 1), (3, 9), (3, 2), (9, 0)]
    tasks = [asyncio.create_task(one(urgency)) for urgency in wanted]
    await asyncio.sleep(0)
    # It comes in the same moment as the place, and goes before those that have waited.
    tasks.append(asyncio.create_task(one((1, 1))))
    places.release()
    async with asyncio.timeout(30):
        await asyncio.gather(*tasks)
    assert got == [(1, 1), *sorted(wanted)]
