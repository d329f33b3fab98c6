"""Async rewards: calls that mostly wait do not wait for each other."""

from __future__ import annotations

import asyncio
import time

from ..support.rig import poison, rewards, rig


async def test_a_call_in_flight_holds_nobody_back() -> None:
    async with rig({"it": poison("one_async", concurrency=256)}) as it:
        await it.score("it", ["1"])
        first = asyncio.create_task(it.score("it", ["wait 1.5 7"]))
        await asyncio.sleep(0.1)
        begin_s = time.monotonic()
        others = await asyncio.gather(*(it.score("it", ["wait 1.5 3"]) for _ in range(200)))
        # One round of 1.5 s, not two, and not as many as calls fit in flight.
        assert time.monotonic() - begin_s < 2.9
        assert all(rewards(outcomes) == [3.0] for outcomes in others)
        assert rewards(await first) == [7.0]


async def test_no_more_run_side_by_side_than_configured() -> None:
    async with rig({"it": poison("one_async", concurrency=4)}) as it:
        await it.score("it", ["1"])
        begin_s = time.monotonic()
        await asyncio.gather(*(it.score("it", ["wait 0.2"]) for _ in range(12)))
        assert time.monotonic() - begin_s >= 0.6
