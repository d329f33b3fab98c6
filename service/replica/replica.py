"""A replica: a supervisor behind one method. Knows no gRPC, no Ray, and of calls its jobs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence

from rewardplane.config.load import RewardConfig

from .job import Emit, Job, Part
from .supervisor import Supervisor
from .work import Data
from .worker import WorkerSpec
from .worker_pool import ForkedWorkers, WorkerPool

FLUSH_S = 0.02
"""How long an outcome may wait for others to travel with; the last one never waits."""
TELL_S = 0.05
"""How long before the deadline a job ends: what it got done must reach the gateway in time."""

Message = tuple[Sequence[Data], int, Sequence[tuple[int, int]], float, float, float, str]
"""A job: a `RequestFrame` in pieces, its number of responses, ranges to run, time-out, deadline,
start by (s), label."""

Answer = tuple[list[tuple[int, Part, int]], bool, dict[str, float]]
"""(job, outcomes, microseconds waited here) each; whether there is room; what was counted."""


class Pool:
    """Runs one version of one reward on this node."""

    def __init__(self, config: RewardConfig) -> None:
        self.config = config
        self._supervisor: Supervisor | None = None
        self._is_up = False
        self._items = 0
        """Items of calls that are not over."""

    def _started(self) -> Supervisor:
        if self._supervisor is None:
            spec = worker_spec(self.config)
            self._supervisor = Supervisor(spec, self.config.facts, self._make_workers(spec))
        return self._supervisor

    def _make_workers(self, spec: WorkerSpec) -> WorkerPool:
        return ForkedWorkers(spec)

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
        supervisor = self._started()
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
        tasks = [asyncio.create_task(supervisor.run(job)) for job in jobs]
        for task in tasks:
            task.add_done_callback(lambda _: wake.set())
        try:
            if self.config.facts.is_async and self._has_room(supervisor):
                # Its items mostly wait: others need not wait for the first of them to end.
                yield [], True, {}
            while not all(task.done() for task in tasks):
                await wake.wait()
                wake.clear()
                _ended, running = await asyncio.wait(tasks, timeout=FLUSH_S)
                if ready and running:
                    parts, ready[:] = list(ready), []
                    yield parts, self._has_room(supervisor), supervisor.take_figures()
            yield ready, True, supervisor.take_figures()
            for task in tasks:
                task.result()
        finally:
            self._items -= items
            for task in tasks:
                task.cancel()

    def _has_room(self, supervisor: Supervisor) -> bool:
        """Whether another call would start at once."""
        settings, facts = self.config.settings, self.config.facts
        return supervisor.has_room and not (facts.is_async and self._items >= settings.concurrency)

    async def stop(self) -> None:
        """Ends the workers."""
        if self._supervisor is not None:
            await self._supervisor.stop()
            self._supervisor = None


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
    data, n, ranges, timeout_s, deadline_s, start_s, label = message
    end_s = now_s + deadline_s - min(TELL_S, 0.1 * deadline_s)
    start_by_s = min(end_s, now_s + start_s)
    return Job(data, n, ranges, timeout_s, end_s, start_by_s, label, emit)
