"""Jobs that came in one call, run side by side, and their outcomes as they come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from typing import Any

from .job import Emit, Job, Part
from .work import Data

FLUSH_S = 0.02
"""How long an outcome may wait for others to travel with; the last one never waits."""
TELL_S = 0.05
"""How long before the deadline a job ends: what it got done must reach the gateway in time."""

Message = tuple[Sequence[Data], int, Sequence[tuple[int, int]], float, float, float, str, bool]
"""A job: a `RequestFrame` in pieces, its number of responses, ranges to run, time-out, deadline,
start by (s), label, whether explanations, step rewards and answers are wanted."""

OF_JOB = "\t"
"""Stands in the name of a figure before the number of the message that it is of."""

Answer = tuple[list[tuple[int, Part, int]], bool, dict[str, float]]
"""(job, outcomes, microseconds waited here) each; whether there is room; what was counted."""


async def answers(
    messages: Sequence[Message],
    run: Callable[[Job], Coroutine[Any, Any, None]],
    has_room: Callable[[], bool],
    take_figures: Callable[[], dict[str, float]],
    *,
    opens_early: bool,
) -> AsyncGenerator[Answer, None]:
    """Runs jobs; each item's outcome comes exactly once, in parts, as they end.

    `opens_early`: the items mostly wait, so that others need not wait for the first of them to end.
    Closing the iterator stops the work.

    Raises:
        Exception: what `run` raised.
    """
    received_s = time.monotonic()
    ready: list[tuple[int, Part, int]] = []
    wake = asyncio.Event()

    def emitter(index: int) -> Emit:
        def emit(part: Part) -> None:
            waited_us = int((jobs[index].started_s - received_s) * 1e6)
            ready.append((index, part, max(0, waited_us)))
            wake.set()

        return emit

    jobs = [job_of(m, received_s, emitter(i)) for i, m in enumerate(messages)]
    tasks = [asyncio.create_task(run(job)) for job in jobs]
    for task in tasks:
        task.add_done_callback(lambda _: wake.set())
    try:
        if opens_early and has_room():
            yield [], True, {}
        while not all(task.done() for task in tasks):
            await wake.wait()
            wake.clear()
            _ended, running = await asyncio.wait(tasks, timeout=FLUSH_S)
            if ready and running:
                parts, ready[:] = list(ready), []
                yield parts, has_room(), take_figures()
        yield ready, True, take_figures()
        for task in tasks:
            task.result()
    finally:
        for task in tasks:
            task.cancel()


def job_of(message: Message, now_s: float, emit: Emit) -> Job:
    """A job as it came; its times begin now."""
    data, n, ranges, timeout_s, deadline_s, start_s, label, words = message
    end_s = now_s + deadline_s - min(TELL_S, 0.1 * deadline_s)
    start_by_s = min(end_s, now_s + start_s)
    return Job(data, n, ranges, timeout_s, end_s, start_by_s, label, words, emit)
