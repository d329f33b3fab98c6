"""A replica: a supervisor behind one method. Knows no gRPC, no Ray, and of calls its jobs."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from functools import partial

from rewardplane.config.load import RewardConfig

from .answers import Answer, Message, answers, job_of
from .direct_run import DirectRun, OnEnd
from .job import Part
from .supervisor import Supervisor
from .worker import WorkerSpec
from .worker_pool import ForkedWorkers, WorkerPool

OnPart = Callable[[Part | None, int], None]


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
        items = sum(message[1] for message in messages)
        self._items += items
        told = answers(
            messages,
            supervisor.run,
            lambda: self._has_room(supervisor),
            supervisor.take_figures,
            opens_early=self.config.facts.is_async,
        )
        try:
            async with aclosing(told):
                async for answer in told:
                    yield answer
        finally:
            self._items -= items

    def start_at_once(self, message: Message, on_part: OnPart, on_end: OnEnd) -> DirectRun | None:
        """Runs a job without a task, where a worker is free for it; else None.

        `on_part` gets outcomes and the microseconds that they waited; None: there is room for
        another job before this one ends. `on_end` is called when all were told, or with what ended
        the job before.
        """
        supervisor = self._supervisor
        if supervisor is None:
            return None
        now_s = time.monotonic()

        def emit(part: Part) -> None:
            on_part(part, max(0, int((job.started_s - now_s) * 1e6)))

        job = job_of(message, now_s, emit)
        job.on_room = partial(on_part, None, 0)
        return supervisor.start_now(job, on_end)

    def take_figures(self) -> dict[str, float]:
        """What was counted since the last call."""
        return self._supervisor.take_figures() if self._supervisor is not None else {}

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
