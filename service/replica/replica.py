"""A pool replica: a crew behind one method. Knows no gRPC, no Ray, and of the gateway its jobs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from rewardplane.config.load import RewardConfig

from .job import Emit, Job, Part
from .supervisor import Crew
from .worker import WorkerSpec

FLUSH_S = 0.02
"""How long an outcome may wait for others to travel with; the last one never waits."""
TELL_S = 0.05
"""How long before the deadline a job ends: what it got done must reach the gateway in time."""

Message = tuple[Sequence[bytes], Sequence[int], Sequence[tuple[int, int]], float, float, float, str]
"""A job: serialized groups, their sizes, ranges to run, time-out, deadline, start by (s), label."""

Answer = tuple[list[tuple[int, Part, int]], bool, dict[str, float]]
"""(job, outcomes, microseconds waited here) each; whether there is room; what was counted."""


class Pool:
    """Runs one version of one reward on this node."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = RewardConfig.from_dict(config)
        self._crew: Crew | None = None
        self._is_up = False
        self._items = 0
        """Items of calls that are not over."""

    def _started(self) -> Crew:
        if self._crew is None:
            self._crew = Crew(worker_spec(self.config), self.config.facts)
        return self._crew

    async def start(self) -> None:
        """Sets the reward up.

        Raises:
            WorkerFailed: it cannot be.
        """
        await self._started().start()

    async def check_health(self) -> None:
        """Serve's probe; it replaces a replica for which this raises.

        The first one waits until the reward is set up, as long as that takes; no later one waits,
        for Serve takes a probe that does not answer for a dead replica.
        """
        if not self._is_up:
            await self.start()
            self._is_up = True
        if self._started().broken:
            raise RuntimeError(self._started().broken)

    async def run(
        self, messages: Sequence[Message], backlog: tuple[int, float]
    ) -> AsyncGenerator[Answer, None]:
        """Runs jobs; each item's outcome comes exactly once, in parts, as they end.

        `backlog` is what waits in the gateway: items, seconds of work. Closing the iterator stops
        the work.
        """
        del backlog
        crew = self._started()
        received_s = time.monotonic()
        ready: list[tuple[int, Part, int]] = []
        wake = asyncio.Event()

        def emitter(index: int) -> Emit:
            def emit(part: Part) -> None:
                waited_us = int((jobs[index].started_s - received_s) * 1e6)
                ready.append((index, part, max(0, waited_us)))
                wake.set()

            return emit

        jobs = [_job(m, received_s, emitter(i)) for i, m in enumerate(messages)]
        items = sum(job.n for job in jobs)
        self._items += items
        tasks = [asyncio.create_task(crew.run(job)) for job in jobs]
        for task in tasks:
            task.add_done_callback(lambda _: wake.set())
        try:
            if self.config.facts.is_async and self._has_room(crew):
                # Its items mostly wait: others need not wait for the first of them to end.
                yield [], True, {}
            while not all(task.done() for task in tasks):
                await wake.wait()
                wake.clear()
                _ended, running = await asyncio.wait(tasks, timeout=FLUSH_S)
                if ready and running:
                    parts, ready[:] = list(ready), []
                    yield parts, self._has_room(crew), crew.take_figures()
            for task in tasks:
                task.result()
            yield ready, True, crew.take_figures()
        finally:
            self._items -= items
            for task in tasks:
                task.cancel()

    def _has_room(self, crew: Crew) -> bool:
        """Whether another call would start at once."""
        settings, facts = self.config.settings, self.config.facts
        return crew.has_room and not (facts.is_async and self._items >= settings.concurrency)

    async def stop(self) -> None:
        """Ends the workers."""
        if self._crew is not None:
            await self._crew.stop()
            self._crew = None


def worker_spec(config: RewardConfig) -> WorkerSpec:
    """What a worker process needs to know of a reward."""
    return WorkerSpec(
        kind=config.settings.kind,
        params=config.params,
        clip=config.clip,
        component_count=len(config.facts.component_names),
        memory_limit_bytes=config.settings.memory_limit_mb * 2**20,
        concurrency=config.settings.concurrency,
    )


def _job(message: Message, now_s: float, emit: Emit) -> Job:
    groups, sizes, ranges, timeout_s, deadline_s, start_s, label = message
    end_s = now_s + deadline_s - min(TELL_S, 0.1 * deadline_s)
    start_by_s = min(end_s, now_s + start_s)
    return Job(groups, sizes, ranges, timeout_s, end_s, start_by_s, label, emit)
