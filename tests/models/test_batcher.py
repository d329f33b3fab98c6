"""Batches: within the budget, by length and urgency, halved where memory does not suffice."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rewardplane.models.batcher import Ask, Batcher, PassOutOfMemory, alike
from rewardplane.replica.places import URGENCY
from rewardplane.rewards.types import Unavailable


def ask(size: int, kind: str = "k") -> Ask:
    return Ask(kind, range(size), None, None, (0, 0), size)  # type: ignore[arg-type]


@given(
    st.lists(st.tuples(st.integers(1, 500), st.sampled_from("kl")), min_size=1, max_size=60),
    st.integers(1, 2000),
    st.integers(1, 32),
)
def test_batches_keep_the_budget_and_lose_nothing(
    asked: list[tuple[int, str]], budget: int, most: int
) -> None:
    waiting = [ask(size, kind) for size, kind in asked]
    everything = list(map(id, waiting))
    seen: list[int] = []
    while waiting:
        batch = alike(waiting, budget, most)
        taken = set(map(id, batch))
        assert id(waiting[0]) in taken
        assert {one.kind for one in batch} == {waiting[0].kind}
        assert len(batch) == 1 or max(one.tokens for one in batch) * len(batch) <= budget
        assert len(batch) <= most
        seen += map(id, batch)
        waiting = [one for one in waiting if id(one) not in taken]
    assert sorted(seen) == sorted(everything)


def test_a_call_ends_before_those_after_it_and_little_is_padding() -> None:
    rng = random.Random(4)
    sizes = [min(300, max(8, int(rng.lognormvariate(3.6, 0.8)))) for _ in range(512)]
    waiting = [ask(size) for _call in range(4) for size in sizes]
    calls = {id(one): index // 512 for index, one in enumerate(waiting)}
    done_at, padded = [0] * 4, 0
    while waiting:
        batch = alike(waiting, 2_048, 512)
        padded += len(batch) * max(one.tokens for one in batch)
        for one in batch:
            done_at[calls[id(one)]] = padded
        taken = set(map(id, batch))
        waiting = [one for one in waiting if id(one) not in taken]
    assert padded < 1.08 * 4 * sum(sizes)
    assert done_at[0] < 0.7 * padded


def test_a_small_urgent_call_does_not_wait_for_all_that_is_not() -> None:
    rng = random.Random(5)
    sizes = [min(300, max(8, int(rng.lognormvariate(3.6, 0.8)))) for _ in range(4_096)]
    waiting = [ask(size) for size in sizes]
    urgent = {id(one) for one in waiting[:64]}
    passes = 0
    while urgent:
        taken = set(map(id, alike(waiting, 2_048, 512)))
        urgent -= taken
        waiting = [one for one in waiting if id(one) not in taken]
        passes += 1
    # The others of its passes are of the next sixteen, not of a hundred.
    assert passes <= 32


class Device:
    """Answers with the number of ids; takes so many padded tokens at once, and tells its passes."""

    def __init__(self, memory: int = 10**9, pass_s: float = 0.0) -> None:
        self.memory = memory
        self.pass_s = pass_s
        self.passes: list[list[int]] = []
        self.refused = 0

    def __call__(self, kind: str, batch: Sequence[Ask]) -> list[Any]:
        sizes = [len(a.ids) for a in batch]
        if max(sizes) * len(sizes) > self.memory:
            self.refused += 1
            raise PassOutOfMemory("no room")
        time.sleep(self.pass_s)
        self.passes.append(sizes)
        return [ValueError("bad") if a.about == "bad" else len(a.ids) for a in batch]


async def test_lengths_meet_their_like() -> None:
    device = Device(pass_s=0.005)
    batcher = Batcher(device, 512, 64)
    sizes = random.Random(1).choices(range(1, 200), k=200)
    answers = await asyncio.gather(*(batcher.ask("k", range(n), None) for n in sizes))
    await batcher.close()
    assert answers == sizes
    assert batcher.padded_tokens < 1.5 * batcher.real_tokens


async def test_out_of_memory_is_halved_and_then_told() -> None:
    device = Device(memory=100)
    batcher = Batcher(device, 1000, 64)
    sizes = [30] * 20 + [150]
    answers = await asyncio.gather(
        *(batcher.ask("k", range(n), None) for n in sizes), return_exceptions=True
    )
    assert answers[:20] == [30] * 20
    assert isinstance(answers[20], MemoryError)
    refused = device.refused
    assert refused > 1
    await asyncio.gather(*(batcher.ask("k", range(30), None) for _ in range(20)))
    await batcher.close()
    # What was found out is not found out again.
    assert device.refused == refused


async def test_one_that_fails_fails_alone_and_the_urgent_go_first() -> None:
    device = Device(pass_s=0.02)
    batcher = Batcher(device, 40, 64)
    done: list[int] = []

    async def one(size: int, urgency: int, about: str = "") -> Any:
        URGENCY.set((urgency, 0))
        answer = await batcher.ask("k", range(size), about)
        done.append(size)
        return answer

    first = asyncio.create_task(one(40, 0))
    await asyncio.sleep(0.01)
    rest = [asyncio.create_task(one(30 + i, 9 - i)) for i in range(9)]
    with pytest.raises(ValueError, match="bad"):
        await one(20, 20, "bad")
    await asyncio.gather(first, *rest)
    await batcher.close()
    assert done == [40, *range(38, 29, -1)]


async def test_what_nobody_waits_for_is_not_run() -> None:
    device = Device(pass_s=0.05)
    batcher = Batcher(device, 10, 1)
    tasks = [asyncio.create_task(batcher.ask("k", range(5), None)) for _ in range(10)]
    await asyncio.sleep(0.08)
    for task in tasks[3:]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0.2)
    await batcher.close()
    assert len(device.passes) <= 4


class Choosy(Device):
    """Fails as a whole where one of a batch is poison."""

    def __call__(self, kind: str, batch: Sequence[Ask]) -> list[Any]:
        if any(a.about == "poison" for a in batch):
            raise IndexError("index out of range in self")
        return super().__call__(kind, batch)


@pytest.mark.parametrize("at", [0, 7, 31])
async def test_a_pass_that_one_item_breaks_is_run_without_it(at: int) -> None:
    batcher = Batcher(Choosy(), 10_000, 64)
    abouts = ["poison" if index == at else "" for index in range(32)]
    answers = await asyncio.gather(
        *(batcher.ask("k", range(9), about) for about in abouts), return_exceptions=True
    )
    assert isinstance(answers.pop(at), IndexError)
    assert answers == [9] * 31
    assert not batcher.broken
    await batcher.close()


async def test_a_device_whose_passes_all_fail_is_broken() -> None:
    batcher = Batcher(Choosy(), 10_000, 64)
    asks = [batcher.ask("k", range(9), "poison") for _ in range(7)]
    answers = await asyncio.gather(*asks, return_exceptions=True)
    assert [type(a) for a in answers] == [IndexError] * 7
    assert not batcher.broken
    assert await batcher.ask("k", range(9), "") == 9
    asks = [batcher.ask("k", range(9), "poison") for _ in range(8)]
    await asyncio.gather(*asks, return_exceptions=True)
    assert "8 forward passes in a row failed" in batcher.broken
    await batcher.close()


async def test_who_waits_when_it_is_closed_and_who_comes_then_is_told() -> None:
    device = Device(pass_s=0.2)
    batcher = Batcher(device, 10, 1)
    asks = [asyncio.create_task(batcher.ask("k", range(5), None)) for _ in range(4)]
    await asyncio.sleep(0.05)
    await batcher.close()
    async with asyncio.timeout(2):
        for told in await asyncio.gather(*asks, return_exceptions=True):
            assert isinstance(told, Unavailable)
        for late in (batcher.ask("k", range(5), None), batcher.in_thread(list)):
            with pytest.raises(Unavailable, match="the model was stopped"):
                await late


async def test_the_device_does_not_wait_for_a_loop_that_is_held_up() -> None:
    device = Device(pass_s=0.02)
    batcher = Batcher(device, 10, 64)
    asks = [asyncio.create_task(batcher.ask("k", range(5), None)) for _ in range(40)]
    while not device.passes:
        await asyncio.sleep(0.005)
    before = len(device.passes)
    time.sleep(0.3)  # noqa: ASYNC251 - it holds the loop up
    assert len(device.passes) - before >= 4, "one that runs and one ahead are two"
    assert await asyncio.gather(*asks) == [5] * 40
    await batcher.close()


class Faulty(Device):
    """Does what no device should."""

    def __call__(self, kind: str, batch: Sequence[Ask]) -> list[Any]:
        answers = super().__call__(kind, batch)
        for index, one in enumerate(batch):
            if isinstance(one.about, type) and issubclass(one.about, BaseException):
                if not issubclass(one.about, Exception):
                    raise one.about
                answers[index] = one.about("odd")
        if any(one.about == "short" for one in batch):
            answers.pop()
        return answers


async def test_an_exception_that_no_future_takes_is_one_items_alone() -> None:
    batcher = Batcher(Faulty(), 10_000, 64)
    abouts = ["", StopIteration, "", "short", ""]
    for _ in range(2):
        answers = await asyncio.gather(
            *(batcher.ask("k", range(9), about) for about in abouts), return_exceptions=True
        )
        assert [a for a in answers if a == 9] == [9] * 3
        assert str(answers[1]) == "StopIteration('odd')"
        assert "0 answers to 1 asks" in str(answers[3]), "nobody gets another one's"
    assert not batcher.broken
    await batcher.close()


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, asyncio.CancelledError])
async def test_a_thread_that_ends_leaves_nobody_waiting(kind: type[BaseException]) -> None:
    batcher = Batcher(Faulty(pass_s=0.05), 10, 1)
    asks = [batcher.ask("k", range(9), about) for about in ("", kind, "", "")]
    async with asyncio.timeout(10):
        answers = await asyncio.gather(
            *asks, batcher.ask("l", range(3), ""), return_exceptions=True
        )
        assert answers[0] == 9
        assert [type(answer) for answer in answers[1:]] == [Unavailable] * 4
        assert kind.__name__ in batcher.broken
        for late in (batcher.ask("k", range(5), None), batcher.in_thread(list)):
            with pytest.raises(Unavailable, match="the engine's thread ended"):
                await late
        await batcher.close()


async def test_a_thread_that_cannot_begin_is_told() -> None:
    def begin() -> None:
        raise OSError("no such device")

    batcher = Batcher(Device(), 10, 1, begin)
    async with asyncio.timeout(10):
        with pytest.raises(Unavailable, match="no such device"):
            await batcher.ask("k", range(9), "")
        await batcher.close()
