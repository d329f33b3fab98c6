"""The workers of one replica and what happens when one of them does not come back.

One worker is at work. An item that makes no progress keeps its worker (a straggler) while the rest of
the shard goes on with a fresh one; an item that overruns its time-out, or ends its process, gets that
as its outcome and the rest goes on. Where a call of the reward held several items and it cannot be
known which of them was to blame, each is run again alone: nobody pays for a neighbour.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import time
from collections import Counter

from ..rewards.base import Unit
from ..rewards.types import Reason
from .config import Facts
from .job import Job, Range, ranges_in
from .segment import FAILED, PENDING, RUNNING, SCORED, Segment
from .verdicts import DEADLINE_EXECUTING, NEVER_STARTED, died, timed_out, unavailable
from .worker import Worker, WorkerFailed, WorkerSpec

_log = logging.getLogger(__name__)

MAX_STRAGGLERS = 4
MIN_STALL_S = 0.5
STALL_FACTOR = 10
"""An item stalls after this many times the mean cost of an item, `MIN_STALL_S` at the least."""
MAX_FRUITLESS = 3
"""How often a worker may end before it starts a job's items."""
GRACE_S = 1.0
"""An async reward's own time-out fires first; its loop must be stuck when this passes too."""
ABANDON_S = 0.25


class _Ending(enum.Enum):
    DONE = enum.auto()
    DIED = enum.auto()
    OVERRAN = enum.auto()
    STALLED = enum.auto()
    DEADLINE = enum.auto()


class Crew:
    """Runs the shards of one reward on worker processes of this host."""

    def __init__(self, spec: WorkerSpec, facts: Facts) -> None:
        self._spec = spec
        self._is_async = facts.is_async
        self._by_item = facts.unit == Unit.ITEM.value
        self._splits = not self._by_item and not facts.whole_group
        self._turn = asyncio.Lock()
        self._quarantine = asyncio.Lock()
        self._spawning: asyncio.Task[Worker] | None = None
        self._item_s = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._straggling: set[Worker] = set()
        self.restarts: Counter[str] = Counter()
        self.broken: str = ""
        self.waiting = 0

    async def start(self) -> None:
        """Starts the first worker.

        Raises:
            WorkerFailed: its reward cannot be set up.
        """
        await self._worker()

    async def stop(self) -> None:
        """Ends all workers."""
        for task in self._tasks:
            task.cancel()
        workers = set(self._straggling)
        if (task := self._spawning) is not None:
            task.cancel()
            await asyncio.wait((task,))
            if not task.cancelled() and task.exception() is None:
                workers.add(task.result())
        for worker in workers:
            await worker.close()

    @property
    def has_room(self) -> bool:
        """Whether another shard would start at once."""
        return self._is_async or not self._turn.locked()

    def take_restarts(self) -> dict[str, int]:
        """Worker processes ended and replaced since the last call, by cause."""
        taken, self.restarts = dict(self.restarts), Counter()
        return taken

    async def run(self, job: Job) -> None:
        """Runs a job; emits exactly one outcome for each of its items, in parts.

        Cancelling it stops the work: what runs is killed.
        """
        todo: list[Range] = list(job.ranges)
        straggling: set[asyncio.Task[list[Range]]] = set()
        try:
            while todo or straggling:
                if todo:
                    todo = await self._attempt(job, todo, straggling)
                else:
                    ended, straggling = await asyncio.wait(
                        straggling, return_when=asyncio.FIRST_COMPLETED
                    )
                    todo = [r for task in ended for r in task.result()]
        finally:
            for task in straggling:
                task.cancel()

    async def _attempt(
        self, job: Job, todo: list[Range], straggling: set[asyncio.Task[list[Range]]]
    ) -> list[Range]:
        """Runs `todo` as far as one worker goes; returns what is left to do."""
        self.waiting += 1
        held = False
        try:
            if not self._is_async:
                async with asyncio.timeout(max(0.0, job.start_by_s - time.monotonic())):
                    await self._turn.acquire()
                held = True
            if time.monotonic() >= job.start_by_s:
                raise TimeoutError  # noqa: TRY301 - the one way out for items that never started
            worker = await self._worker()
        except TimeoutError:
            if held:
                self._turn.release()
            job.fail(todo, NEVER_STARTED)
            return []
        except WorkerFailed as error:
            if held:
                self._turn.release()
            self.broken = str(error)
            job.fail(todo, unavailable(str(error)))
            return []
        finally:
            self.waiting -= 1
        try:
            return await self._run_on(worker, job, todo, straggling)
        finally:
            if held:
                self._turn.release()

    async def _run_on(
        self,
        worker: Worker,
        job: Job,
        todo: list[Range],
        straggling: set[asyncio.Task[list[Range]]],
    ) -> list[Range]:
        fresh = worker.shards_run <= 1
        segment = job.segment(todo, self._spec.component_count)
        job.started_s = job.started_s or time.monotonic()
        number = await worker.feed(segment)
        try:
            ending = await self._watch(worker, number, segment, job, may_stall=True)
        except asyncio.CancelledError:
            self._own(self._abandon(worker, number, segment))
            raise
        if ending is _Ending.STALLED:
            states = segment.states.tobytes()
            running = ranges_in(states, RUNNING, todo)
            job.tell(segment)
            self._straggling.add(worker)
            task = asyncio.create_task(self._straggle(worker, number, segment, job, running))
            straggling.add(task)
            return ranges_in(states, PENDING, todo)
        left = await self._settle(worker, segment, job, todo, ending, fresh=fresh)
        segment.close()
        return left

    async def _straggle(
        self, worker: Worker, number: int, segment: Segment, job: Job, running: list[Range]
    ) -> list[Range]:
        """Sees a straggling call to its end; returns what of it is to be run again."""
        try:
            ending = await self._watch(worker, number, segment, job, may_stall=False)
            return await self._settle(worker, segment, job, running, ending, fresh=False)
        finally:
            segment.close()
            worker.kill()
            self._straggling.discard(worker)

    async def _watch(
        self, worker: Worker, number: int, segment: Segment, job: Job, *, may_stall: bool
    ) -> _Ending:
        """Waits until the worker is done, or there is a reason not to wait any longer."""
        grace_s = GRACE_S if self._is_async else 0.0
        stall_s = max(MIN_STALL_S, STALL_FACTOR * self._item_s)
        may_stall = may_stall and not self._is_async
        wait_s = min(job.timeout_s, stall_s) if may_stall else job.timeout_s
        while True:
            left_s = job.left_s + grace_s
            finished = await worker.wait(number, max(0.0, min(wait_s + grace_s, left_s)))
            if finished is not None:
                return _Ending.DONE if finished else _Ending.DIED
            now_ns = time.monotonic_ns()
            if job.left_s + grace_s <= 0:
                return _Ending.DEADLINE
            running = [
                segment.started_ns[i]
                for i, s in enumerate(segment.states.tobytes())
                if s == RUNNING
            ]
            longest_s = max((now_ns - started) / 1e9 for started in running) if running else 0.0
            if longest_s >= job.timeout_s + grace_s:
                return _Ending.OVERRAN
            wait_s = job.timeout_s - longest_s
            if may_stall and running:
                wait_s = min(wait_s, max(0.01, stall_s - longest_s))
                others = self.waiting > 0 or PENDING in segment.states.tobytes()
                if longest_s >= stall_s:
                    job.tell(segment)
                if longest_s >= stall_s and others and len(self._straggling) < MAX_STRAGGLERS:
                    segment.stop[0] = 1
                    await asyncio.sleep(0.002)  # a unit that passed the check is marked by now
                    return _Ending.STALLED

    async def _settle(
        self,
        worker: Worker,
        segment: Segment,
        job: Job,
        todo: list[Range],
        ending: _Ending,
        *,
        fresh: bool,
    ) -> list[Range]:
        """Tells what the worker finished and judges what it did not; returns what is left to do."""
        if ending in (_Ending.OVERRAN, _Ending.DEADLINE):
            await worker.close()
        states = segment.states.tobytes()
        self._measure(segment, states)
        pending = ranges_in(states, PENDING, todo)
        running = ranges_in(states, RUNNING, todo)
        exhausted = self._exhausted(segment, job, todo, states, fresh=fresh)
        job.tell(segment, without={first for first, _end in exhausted})
        if ending is _Ending.DEADLINE:
            self.restarts["deadline"] += 1
            job.fail(running, DEADLINE_EXECUTING)
            job.fail(pending, NEVER_STARTED)
            return exhausted
        left = exhausted + pending
        if exhausted and worker.alive:
            await worker.close()
            self.restarts["out_of_memory"] += 1
        elif ending is not _Ending.DONE:
            self.restarts["timed_out" if ending is _Ending.OVERRAN else "crashed"] += 1
        if not running:
            job.fruitless = 0 if FAILED in states or SCORED in states else job.fruitless + 1
            if job.fruitless < MAX_FRUITLESS:
                return left
            job.fail(left, unavailable("the worker process ended before the item started"))
            return []
        return left + await self._judge(worker, segment, job, running, ending)

    async def _judge(
        self, worker: Worker, segment: Segment, job: Job, running: list[Range], ending: _Ending
    ) -> list[Range]:
        """Gives the items that ran when the worker ended their outcome, or another try each."""
        now_ns = time.monotonic_ns()
        count = sum(end - first for first, end in running)
        if self._is_async and worker.running_at_death > 1:
            for first, end in running:
                step = 1 if self._splits or self._by_item else end - first
                for begin in range(first, end, step):
                    await self._run_alone(job, (begin, begin + step))
            return []
        if self._splits and count > 1:
            return [(i, i + 1) for first, end in running for i in range(first, end)]
        if ending is _Ending.OVERRAN:
            why = timed_out(job.timeout_s)
        else:
            why = died(worker.exit_code, worker.peak_bytes, self._spec.memory_limit_bytes)
        _log.warning("%s: %s (%s)", job.label, why.message, why.reason.name)
        elapsed_us = (now_ns - segment.started_ns[running[0][0]]) // 1000 // count
        job.fail(running, why, elapsed_us)
        return []

    async def _run_alone(self, job: Job, unit: Range) -> None:
        """Runs one unit in a process that nothing else shares: what happens there is its own doing."""
        async with self._quarantine:
            try:
                worker = await Worker.spawn(self._spec)
            except WorkerFailed as error:
                job.fail([unit], unavailable(str(error)))
                return
            segment = job.segment([unit], self._spec.component_count)
            try:
                number = await worker.feed(segment)
                ending = await self._watch(worker, number, segment, job, may_stall=False)
                if ending is _Ending.DEADLINE:
                    job.fail([unit], DEADLINE_EXECUTING)
                elif ending is _Ending.DONE:
                    job.tell(segment)
                else:
                    await worker.close()
                    why = (
                        timed_out(job.timeout_s)
                        if ending is _Ending.OVERRAN
                        else died(worker.exit_code, worker.peak_bytes, 0)
                    )
                    job.fail([unit], why)
            finally:
                worker.kill()
                segment.close()

    def _exhausted(
        self, segment: Segment, job: Job, todo: list[Range], states: bytes, *, fresh: bool
    ) -> list[Range]:
        """The items that ran out of memory which others may have used up; each is told once so."""
        if FAILED not in states:
            return []
        again = [
            index
            for index, extra in segment.extras().items()
            if states[index] == FAILED
            and extra[0] == Reason.OUT_OF_MEMORY.value
            and index not in job.emptied
            and not (fresh and index == todo[0][0])
        ]
        job.emptied.update(again)
        return [(i, i + 1) for i in again if any(first <= i < end for first, end in todo)]

    def _measure(self, segment: Segment, states: bytes) -> None:
        elapsed_s = sum(segment.elapsed_us) / 1e6
        done = len(states) - states.count(PENDING) - states.count(RUNNING)
        if done:
            mean_s = elapsed_s / done
            self._item_s = mean_s if not self._item_s else 0.8 * self._item_s + 0.2 * mean_s

    async def _worker(self) -> Worker:
        """The worker at work, a new one where the last is gone or straggles."""
        task = self._spawning
        if task is not None and task.done():
            failed = task.cancelled() or task.exception() is not None
            if failed or not task.result().alive or task.result() in self._straggling:
                task = None
        if task is None:
            task = self._spawning = asyncio.create_task(Worker.spawn(self._spec))
        return await asyncio.shield(task)

    async def _abandon(self, worker: Worker, number: int, segment: Segment) -> None:
        """Stops work that nobody waits for any more."""
        segment.stop[0] = 1
        if not self._is_async and await worker.wait(number, ABANDON_S) is None:
            await worker.close()
            self.restarts["cancelled"] += 1
        segment.close()

    def _own(self, work: object) -> None:
        task = asyncio.ensure_future(work)  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
