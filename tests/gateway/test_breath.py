"""Long work in pieces: all of it takes one breath a turn, short work none of another's time."""

from __future__ import annotations

import asyncio
import time

import pytest
from rewardplane.gateway.breath import BREATH_S, Steps, at_once, go_on, in_breaths


def work(pieces: int, log: list[str], name: str = "", piece_s: float = 0.001) -> Steps[str]:
    for _ in range(pieces):
        end_s = time.perf_counter() + piece_s
        while time.perf_counter() < end_s:
            pass
        log.append(name)
        yield
    return name


def silent(steps: Steps[str]) -> Steps[None]:
    yield from steps


async def test_many_take_no_longer_than_one() -> None:
    log: list[str] = []
    done: list[str] = []
    for name in "abcdefghij":
        go_on(silent(work(20, log, name)), lambda name=name: done.append(name))
    breaths_s: list[float] = []
    while len(done) < 10:
        begin_s = time.thread_time()
        await asyncio.sleep(0)
        breaths_s.append(time.thread_time() - begin_s)
    assert sorted(breaths_s)[-2] < 3 * BREATH_S
    assert len(breaths_s) > 20
    assert log.count("a") == log.count("j") == 20
    # A piece of each in its turn: none waits for another's end.
    assert log.index("j") < 20


async def test_what_is_short_is_done_at_once_beside_what_is_long() -> None:
    log: list[str] = []
    go_on(silent(work(50, log, "long")))
    done: list[bool] = []
    go_on(silent(work(0, log)), lambda: done.append(True))
    assert done
    assert await in_breaths(work(3, log, "short")) == "short"
    assert log.count("long") < 50
    while log.count("long") < 50:
        await asyncio.sleep(0)
    assert at_once(work(2, log, "now")) == "now"


async def test_what_raises_stops_nothing_else() -> None:
    log: list[str] = []
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context))

    def bad(pieces: int) -> Steps[str]:
        yield from work(pieces, log, "bad")
        raise ValueError("by our own fault")

    go_on(silent(work(20, log, "good")))
    go_on(silent(bad(5)))
    with pytest.raises(ValueError, match="our own fault"):
        await in_breaths(bad(7))
    while log.count("good") < 20:
        await asyncio.sleep(0)
    assert len(told) == 1
    with pytest.raises(ValueError, match="our own fault"):
        go_on(silent(bad(0)))


async def test_who_leaves_has_no_more_done() -> None:
    log: list[str] = []
    task = asyncio.ensure_future(in_breaths(work(1000, log, "left")))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    count = len(log)
    assert 0 < count < 1000
    await asyncio.sleep(0.02)
    assert len(log) == count
