"""The gate before an endpoint keeps to its limits, whatever comes."""

from __future__ import annotations

import asyncio
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rewardplane.rewards.http.gate import Bucket, Gate
from rewardplane.rewards.types import RateLimited


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 5000), st.lists(st.floats(0, 30), min_size=1, max_size=300))
def test_no_minute_has_more_than_its_limit(per_minute: int, gaps_s: list[float]) -> None:
    bucket, now_s, passed = Bucket(per_minute), 0.0, list[float]()
    for gap_s in gaps_s:
        now_s += gap_s if gap_s > 15 else 0.0
        now_s += bucket.wait_s(1, now_s)
        assert bucket.wait_s(1, now_s) == 0
        bucket.take(1)
        passed.append(now_s)
    for begin_s in passed:
        assert sum(begin_s <= at < begin_s + 60 for at in passed) <= per_minute + 1


def test_what_is_larger_than_a_second_brings_is_paid_afterwards() -> None:
    bucket = Bucket(600)
    assert bucket.wait_s(1000, 0) == 0
    bucket.take(1000)
    assert bucket.wait_s(1, 0) == pytest.approx(991 / (590 / 60))
    bucket.take(-995)
    assert bucket.wait_s(1, 0) == 0
    assert Bucket(None).wait_s(1e9, 0) == 0


async def test_first_come_first_served_and_the_next_where_one_goes() -> None:
    gate, order = Gate(2), list[int]()

    async def call(number: int) -> None:
        await gate.enter(0, math.inf)
        order.append(number)
        await asyncio.sleep(0)
        gate.leave()

    tasks = [asyncio.create_task(call(number)) for number in range(500)]
    await asyncio.sleep(0)
    for task in tasks[10:490]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == sorted(order)
    assert set(order) >= {*range(4), *range(490, 500)}
    await asyncio.wait_for(gate.enter(0, math.inf), 1)


async def test_one_that_had_its_turn_goes_first() -> None:
    gate, order = Gate(1), list[str]()
    await gate.enter(0, math.inf)

    async def call(name: str, *, again: bool) -> None:
        await gate.enter(0, math.inf, again=again)
        order.append(name)
        gate.leave()

    tasks = [asyncio.create_task(call("new", again=False))]
    await asyncio.sleep(0)
    tasks.append(asyncio.create_task(call("again", again=True)))
    await asyncio.sleep(0)
    gate.leave()
    await asyncio.gather(*tasks)
    assert order == ["again", "new"]


async def test_who_cannot_be_served_in_time_is_told_at_once() -> None:
    gate = Gate(8)
    now_s = asyncio.get_running_loop().time()
    gate.hold(now_s + 30)
    with pytest.raises(RateLimited, match=r"no room for another 30\.0 s"):
        await asyncio.wait_for(gate.enter(0, now_s + 10), 1)
    gate = Gate(1)
    await gate.enter(0, math.inf)
    with pytest.raises(RateLimited, match="no room in time"):
        await gate.enter(0, now_s + 0.1)
    gate.leave()
    await asyncio.wait_for(gate.enter(0, math.inf), 1)


async def test_ten_thousand_that_give_up_cost_little() -> None:
    gate = Gate(1)
    await gate.enter(0, math.inf)
    loop = asyncio.get_running_loop()
    begin_s = loop.time()
    tasks = [asyncio.create_task(gate.enter(0, math.inf)) for _ in range(10_000)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert loop.time() - begin_s < 5
    assert len(gate._queue) <= 128
