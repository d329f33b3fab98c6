"""Runs shards on the workers of one replica, and sees to it when one of them does not come back.

One worker is at work. A call of the reward that takes long keeps its worker (a straggler) while the
rest of the shard goes on with another; an item that overruns its time-out, or ends its process,
gets that as its outcome and the rest goes on. Where a call held several items, or several calls
shared a process, and it cannot be known which was to blame, each is run again: nobody pays for a
neighbour.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from rewardplane.config.load import Facts
from rewardplane.rewards.reward import Unit
from rewardplane.wire.item_errors import unavailable

from .attempt import Attempt, Ending
from .blame import Blame, Left
from .direct_run import DirectRun, OnEnd
from .job import Job, Range
from .segment import PENDING, RUNNING
from .turn import Turn
from .worker import WorkerFailed, WorkersGone, WorkerSpec
from .worker_pool import WorkerPool

MAX_STRAGGLERS = 4
MAX_ALONE = 4
"""Calls at once that run in a process of their own, because of what happened in a shared one."""
MIN_STALL_S = 0.5
"""No call stalls before. It stalls after ten times its usual cost, or a quarter of its time-out
where that is less, but never before twice its usual cost: slow rewards need no crowd."""
STOP_S = 0.002
"""A worker that passed the check of the stop flag has marked its next item after this long."""
GRACE_S = 1.0
"""An async reward's own time-out fires first; its loop must be stuck when this passes too."""
TELL_S = 0.1
"""How long an outcome may wait to be told while others of its shard execute."""
ABANDON_S = 0.25
"""How long a call that nobody waits for may take to its end before its process is killed."""


class Supervisor:
    """Runs the shards of one reward on worker processes of this host."""

    def __init__(self, spec: WorkerSpec, facts: Facts, workers: WorkerPool) -> None:
        self._spec = spec
        self._is_async = facts.is_async
        splits = facts.unit != Unit.ITEM.value and not facts.whole_group
        self._blame = Blame(facts.is_async, splits, spec.memory_limit_bytes, GRACE_S)
        self._workers = workers
        self._turn = Turn()
        self._alone = asyncio.Semaphore(MAX_ALONE)
        self._item_s = 0.0
        self._tasks: set[asyncio.Task[Any]] = set()
        self._figures: dict[str, float] = {}
        self._stragglers = 0
        self._stopping = False
        self.waiting = 0
        """Attempts that wait for their turn or for a worker."""

    async def start(self) -> None:
        """Starts the first worker.

        Raises:
            WorkerFailed: its reward cannot be set up.
        """
        await self._workers.worker()

    async def stop(self) -> None:
        """Ends all workers; what runs is UNAVAILABLE."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await self._workers.close()

    @property
    def broken(self) -> str:
        """Why no worker can be had; empty where that is not so."""
        return self._workers.broken

    @property
    def has_room(self) -> bool:
        """Whether another shard would start at once."""
        return not self.waiting and (self._is_async or not self._turn.taken)

    def take_figures(self) -> dict[str, float]:
        """What was counted since the last call: by the reward, and workers replaced by cause."""
        figures, self._figures = self._figures, {}
        for cause, count in self._workers.replaced.items():
            figures[f"worker_restarts.{cause}"] = count
        self._workers.replaced.clear()
        return figures

    async def run(self, job: Job) -> None:
        """Runs a job; emits exactly one outcome for each of its items, in parts.

        Cancelling it stops the work: what runs is killed.
        """
        await self._run(job, list(job.ranges), set())

    def start_now(self, job: Job, on_end: OnEnd) -> DirectRun | None:
        """Runs a job at once, without a task, where a worker is free for it; else None.

        `on_end` is called when it is over.
        """
        worker = self._workers.at_work
        if self._is_async or self._stopping or worker is None or not worker.usable:
            return None
        if job.start_within_s(job.ranges) <= 0 or not self._turn.try_take():
            return None
        attempt = Attempt.begin_now(worker, job, list(job.ranges), self._spec.component_count)
        if attempt is None:
            self._turn.give()
            return None
        return DirectRun(self, attempt, on_end)

    def end_well(self, attempt: Attempt) -> Left | None:
        """Settles an attempt that its worker is done with; None: that takes a task."""
        if attempt.segment.spent[0] or self._stopping:
            return None
        try:
            self._measure(attempt)
            return self._blame.what_is_left(attempt, Ending.DONE)
        finally:  # whoever is told of outcomes may raise
            self._end(attempt)
            self._give_turn()

    async def resume(self, attempt: Attempt) -> None:
        """Watches an attempt that was begun to its end, and runs what is left of its job."""
        aside: set[asyncio.Task[list[Range]]] = set()
        todo = await self._follow(attempt, aside)
        await self._run(attempt.job, todo, aside)

    async def go_on(self, attempt: Attempt, left: Left) -> None:
        """Runs what is left of a job."""
        job = attempt.job
        aside = {asyncio.create_task(self._run_alone(job, unit)) for unit in left.alone}
        await self._run(job, left.together, aside)

    def give_up(self, attempt: Attempt) -> None:
        """Stops work that nobody waits for any more."""
        self._own(self._abandon(attempt))

    async def _run(
        self, job: Job, todo: list[Range], aside: set[asyncio.Task[list[Range]]]
    ) -> None:
        try:
            while todo or aside:
                if todo:
                    todo = await self._advance(job, todo, aside)
                else:
                    ended, aside = await asyncio.wait(aside, return_when=asyncio.FIRST_COMPLETED)
                    todo = [part for task in ended for part in task.result()]
        finally:
            for task in aside:
                task.cancel()

    async def _advance(
        self, job: Job, todo: list[Range], aside: set[asyncio.Task[list[Range]]]
    ) -> list[Range]:
        """Runs `todo` as far as one worker goes; returns what is left to do.

        What goes on beside it (a straggler, calls that must run alone) joins `aside`.
        """
        todo = job.expire(todo)
        if not todo:
            return []
        self.waiting += 1
        try:
            async with asyncio.timeout(job.start_within_s(todo)):
                attempt = await self._begin(job, todo)
        except TimeoutError:
            return todo
        except WorkersGone:
            raise
        except WorkerFailed as error:
            job.fail(todo, unavailable(str(error)))
            return []
        finally:
            self.waiting -= 1
        return await self._follow(attempt, aside)

    async def _follow(self, attempt: Attempt, aside: set[asyncio.Task[list[Range]]]) -> list[Range]:
        """Watches an attempt to its end; returns and adds what `_advance` does."""
        job = attempt.job
        try:
            ending = await self._watch(attempt, may_stall=not self._is_async)
            if ending is Ending.STALLED:
                pending = attempt.drop_pending()
                self._workers.put_aside(attempt.worker)
                straggling = asyncio.create_task(self._straggle(attempt))
                if attempt.todo:
                    aside.add(straggling)
                else:  # nothing of this job runs there
                    self._tasks.add(straggling)
                    straggling.add_done_callback(self._tasks.discard)
                self._give_turn()
                if job.on_room is not None:
                    job.on_room()
                return pending
            left = await self._settle(attempt, ending)
        except BaseException:
            # The turn is given on when the work has stopped, not before.
            self._own(self._abandon(attempt))
            raise
        if ending is Ending.DEADLINE and self._is_async:
            self._own(self._abandon(attempt))
        else:
            self._end(attempt)
            self._give_turn()
        aside.update(asyncio.create_task(self._run_alone(job, unit)) for unit in left.alone)
        return left.together

    async def _begin(self, job: Job, todo: list[Range]) -> Attempt:
        """Waits for the turn and for a worker, and hands `todo` over.

        Raises:
            WorkerFailed: there is no worker to be had.
        """
        if not self._is_async:
            await self._turn.take()
        try:
            worker = await self._workers.worker()
            width = self._spec.component_count
            return await Attempt.begin(worker, job, todo, width, beside=self._is_async)
        except BaseException:
            self._give_turn()
            raise

    def _give_turn(self) -> None:
        if not self._is_async:
            self._turn.give()

    async def _straggle(self, attempt: Attempt) -> list[Range]:
        """Sees a call that takes long to its end; returns what of it is to be run again."""
        self._stragglers += 1
        try:
            ending = await self._watch(attempt, may_stall=False)
            left = await self._settle(attempt, ending)
        finally:
            self._stragglers -= 1
            if attempt.ended.done():
                self._workers.take_back(attempt.worker)
            else:
                attempt.worker.kill()
            self._end(attempt)
        for unit in left.alone:
            left.together += await self._run_alone(attempt.job, unit)
        return left.together

    async def _run_alone(self, job: Job, unit: Range) -> list[Range]:
        """Runs a call in a process of its own: what happens there is its own doing."""
        try:
            async with asyncio.timeout(max(0.0, job.left_s)), self._alone:
                worker = await self._workers.single()
                try:
                    width = self._spec.component_count
                    attempt = await Attempt.begin(worker, job, [unit], width, beside=False)
                    try:
                        ending = await self._watch(attempt, may_stall=False)
                        left = await self._settle(attempt, ending)
                    finally:
                        self._end(attempt)
                finally:
                    worker.kill()
        except TimeoutError:
            return job.expire([unit])
        except WorkersGone:
            raise
        except WorkerFailed as error:
            job.fail([unit], unavailable(str(error)))
            return []
        return left.together + left.alone

    async def _watch(self, attempt: Attempt, *, may_stall: bool) -> Ending:
        """Tells what ends, until the worker is done or there is a reason to wait no longer."""
        job, ended = attempt.job, attempt.ended
        limit_s = self._blame.limit_s(job)
        longest_s = 0.0
        awaited: set[asyncio.Future[Any]] = {ended}
        reserve: asyncio.Future[Any] | None = None
        while True:
            wait_s = min(TELL_S, job.left_s, limit_s - longest_s)
            await asyncio.wait(
                awaited, timeout=max(0.0, wait_s), return_when=asyncio.FIRST_COMPLETED
            )
            if ended.done():
                return Ending.DONE if ended.result() else Ending.DIED
            if job.left_s <= 0:
                return Ending.DEADLINE
            longest_s = attempt.longest_s()
            if longest_s >= limit_s and attempt.worker.alive:
                return Ending.OVERRAN
            attempt.tell(without=attempt.exhausted())
            if may_stall and attempt.worker.aside and not attempt.items(RUNNING):
                # Somebody else's item holds the worker up: what waits behind it goes elsewhere.
                attempt.segment.stop[0] = 1
                await asyncio.sleep(STOP_S)
                return Ending.STALLED
            if may_stall and self._holds_others_up(attempt, longest_s):
                reserve = reserve or self._workers.call_reserve()
                awaited = {ended} if reserve.done() else {ended, reserve}
                if _is_ready(reserve):
                    attempt.segment.stop[0] = 1
                    await asyncio.sleep(STOP_S)
                    return Ending.STALLED

    def _holds_others_up(self, attempt: Attempt, longest_s: float) -> bool:
        if longest_s < MIN_STALL_S or self._stragglers >= MAX_STRAGGLERS:
            return False
        items = sum(end - first for first, end in attempt.items(RUNNING))
        usual_s = max(self._item_s, attempt.mean_s()) * items
        stall_s = max(2 * usual_s, min(10 * usual_s, attempt.job.timeout_s / 4))
        return longest_s >= stall_s and bool(self.waiting or attempt.items(PENDING))

    async def _settle(self, attempt: Attempt, ending: Ending) -> Left:
        """Tells what became of an attempt; returns what is left to do."""
        worker = attempt.worker
        if ending is Ending.OVERRAN or (ending is Ending.DEADLINE and not self._is_async):
            worker.overran = ending is Ending.OVERRAN
            self._workers.replace(worker, "timed_out" if worker.overran else "deadline")
            await worker.close()
        elif ending is Ending.DIED:
            self._workers.replace(worker, "crashed")
        elif attempt.segment.spent[0]:
            self._workers.replace(worker, "spent")
        self._measure(attempt)
        if self._stopping:
            attempt.tell()
            attempt.job.fail(attempt.todo, unavailable("the replica was stopped"))
            return Left()
        return self._blame.what_is_left(attempt, ending)

    def _measure(self, attempt: Attempt) -> None:
        mean_s = attempt.mean_s()
        if mean_s:
            # One item that took for ever says little of the others.
            bounded_s = min(mean_s, 10 * self._item_s) if self._item_s else mean_s
            self._item_s = 0.8 * self._item_s + 0.2 * bounded_s if self._item_s else mean_s

    async def _abandon(self, attempt: Attempt) -> None:
        """Stops work that nobody waits for any more, then gives the turn on."""
        worker, limit_s = attempt.worker, self._blame.limit_s(attempt.job)
        attempt.segment.stop[0] = 1
        try:
            if not self._is_async:
                await asyncio.wait((attempt.ended,), timeout=ABANDON_S)
                if not attempt.ended.done():
                    self._workers.replace(worker, "cancelled")
                    await worker.close()
            while not attempt.ended.done():
                await asyncio.wait((attempt.ended,), timeout=ABANDON_S)
                if attempt.longest_s() >= limit_s:
                    worker.overran = True
                    self._workers.replace(worker, "timed_out")
                    await worker.close()
            if attempt.segment.spent[0]:
                self._workers.replace(worker, "spent")
        finally:
            self._end(attempt)
            self._give_turn()

    def _end(self, attempt: Attempt) -> None:
        for name, value in attempt.segment.figures().items():
            self._figures[name] = self._figures.get(name, 0.0) + value
        attempt.worker.release(attempt.segment)
        self._workers.free(attempt.worker)

    def _own(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _is_ready(reserve: asyncio.Future[Any]) -> bool:
    if not reserve.done() or reserve.cancelled() or reserve.exception() is not None:
        return False
    worker = reserve.result()
    return worker is None or worker.usable
