"""The pool lane: what waits for a reward's replicas, and when it is worth a handle call.

With nothing in flight, what waits goes at once, and what comes meanwhile goes with the next. A
further call starts only when what waits is worth its cost, up to the number of replicas: cheap
rewards keep one replica busy, dear ones fill all, each with its share. A further round of calls is
sent ahead where much waits, so that a replica finds work when it ends.

A call whose replica is lost is sent again elsewhere; a shard that took two replicas down is sent
item by item, one replica at a time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from array import array
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from itertools import chain
from typing import Any

from rewardplane.replica.direct_run import DirectRun
from rewardplane.replica.job import Part
from rewardplane.replica.segment import PENDING, SCORED
from rewardplane.replica.tasks import cancel_begun
from rewardplane.wire.item_errors import NEVER_STARTED, crashed, lost

from .batch_queue import BatchQueue
from .breath import Steps, go_on
from .figures import by_job
from .lane_load import Arrivals, learnt, looking
from .load import Load
from .message import message_of
from .served import ServedReward
from .shard import TARGET_BYTES, TARGET_COST_S, Shard

_log = logging.getLogger(__name__)

WORTH_S = 0.005
WORTH_BYTES = 768 * 1024
AHEAD = 2
"""Calls per replica, the one that runs included, for a reward whose items cost CPU."""
AHEAD_ASYNC = 8
MAX_LOSSES = 2
FIRST_GUESS_S = 0.001
SWEEP_S = 0.25
LATE_HALF_S = 1.0

Answers = AsyncGenerator[tuple[list[tuple[int, Part, int]], bool, dict[str, float]], None]
Send = Callable[[Sequence[Any], tuple[int, float]], Answers]

OnLaneEnd = Callable[[BaseException | None, dict[str, float]], None]
"""Called when a job that was started at once is over: what ended it, and what was counted."""
Start = Callable[[Any, Callable[[Part | None, int], None], OnLaneEnd], DirectRun | None]
"""Runs a job at once, without a task, where a replica is free for it."""


class ReplicaLost(Exception):
    """The replica of a call is gone, or none could be reached."""


class PoolLane:
    """The queue in front of one reward's replicas, on one gateway. Owned by its event loop."""

    def __init__(self, served: ServedReward, send: Send, start: Start | None = None) -> None:
        self._served = served
        self._send = send
        self._start = start
        self._direct: dict[DirectRun, list[Shard]] = {}
        self._waiting = BatchQueue()
        self._alone: deque[Shard] = deque()
        self._in_flight = 0
        self._in_flight_items = 0
        self._pumping = False
        self._tasks: dict[asyncio.Task[None], list[list[Shard]]] = {}
        self._lonely: asyncio.Task[None] | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self.item_s = FIRST_GUESS_S / served.side_by_side
        """The measured cost of an item: its share of a replica's time."""
        self._measured = 0
        self._arrivals = Arrivals() if served.config.scaling is not None else None
        self._taken_s = 0.0
        """All the work that has been sent so far."""
        self._late_s = 0.0
        self._late_at_s = 0.0

    @property
    def late_s(self) -> float:
        """How much longer than by the measured cost items lately waited, the worst of them.

        Where the host has others to serve, or replicas start, what an item takes to get to its
        place counts too. Forgotten by half each `LATE_HALF_S`.
        """
        if self._late_s < 1e-4:
            return 0.0
        return self._late_s * 0.5 ** ((time.monotonic() - self._late_at_s) / LATE_HALF_S)

    @property
    def backlog_items(self) -> int:
        """Items that wait here, and those that replicas have and have not done."""
        return self._waiting.items + self._in_flight_items

    def items_before(self, job: str, count: int) -> int:
        """What is done before the last of `count` more items of a job, about."""
        return self._waiting.items_before(job, count) + self._in_flight_items

    def submit(self, shard: Shard) -> None:
        """Takes a shard; its outcomes go to its call."""
        shard.expected_s = self._in_flight_items * self.item_s - self._taken_s
        self._waiting.add(shard)
        if self._arrivals is not None:
            self._arrivals.note(shard.call.options.job, shard.n, self.item_s)
        self._pump_soon()

    def looking(self) -> Steps[Load]:
        """What the lane's work amounts to, as the result of the steps: all calls are looked at."""

        def running() -> list[Shard]:
            return [*chain(*chain(*self._tasks.values()), *self._direct.values(), self._alone)]

        return looking(
            self._waiting.waiting(),
            running,
            self._arrivals or Arrivals(),
            self.item_s,
            self._served.side_by_side,
            time.monotonic(),
        )

    async def close(self) -> None:
        """Ends what runs. Call it when no call is bound any more."""
        for task in [*self._tasks, *([self._lonely] if self._lonely else [])]:
            task.cancel()
        for run in list(self._direct):
            run.cancel()
        if self._sweeper is not None:
            self._sweeper.cancel()

    def _pump_soon(self) -> None:
        if self._pumping or not self._waiting:
            return
        self._pumping = True
        asyncio.get_running_loop().call_soon(self._pump)

    def _worth(self) -> bool:
        """Whether what waits is worth a call of its own."""
        waiting_s = self._waiting.items * self.item_s
        return waiting_s >= WORTH_S or self._waiting.bytes >= WORTH_BYTES

    def _pump(self) -> None:
        self._pumping = False
        while self._waiting and self._worth_a_call():
            jobs = self._take()
            if jobs:
                self._in_flight += 1
                try:
                    if len(jobs) > 1 or not self._start_at_once(jobs[0]):
                        self._own(self._carry(jobs), jobs)
                except Exception as error:  # noqa: BLE001 - as in `_carry`
                    self._in_flight -= 1
                    self._failed(jobs, error)
        if (self._waiting or self._tasks or self._direct) and self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)

    def _start_at_once(self, job: list[Shard]) -> bool:
        """Has a job run without a task of its own; whether that was possible."""
        if self._start is None:
            return False
        now_s = time.monotonic()
        sent_us = int((now_s - min(shard.submitted_s for shard in job)) * 1e6)
        holds_slot = True
        items = sum(shard.n for shard in job)

        def give_slot() -> None:
            nonlocal holds_slot
            self._in_flight -= holds_slot
            holds_slot = False

        def told(part: Part | None, waited_us: int) -> None:
            if part is not None:
                self._deliver(job, part, waited_us + sent_us)
            else:
                give_slot()
                self._pump_soon()

        def ended(error: BaseException | None, figures: dict[str, float]) -> None:
            give_slot()
            if run is not None:
                self._direct.pop(run, None)
                self._in_flight_items -= items
            if error is not None:
                self._lose([job], str(error) or type(error).__name__)
            self._pump_soon()
            self._served.note_figures(figures)

        run = self._start(message_of(job, now_s), told, ended)
        if run is None:
            return False
        self._direct[run] = job
        self._in_flight_items += items
        return True

    def _worth_a_call(self) -> bool:
        replicas = self._served.up
        if self._in_flight == 0:
            return replicas > 0  # else it waits here until one has started
        if self._served.is_async:
            # Its calls wait more than they work: one in flight is no reason to hold another back.
            return self._in_flight < replicas * AHEAD_ASYNC
        if self._in_flight < replicas:
            return self._worth()
        waiting_s = self._waiting.items * self.item_s
        return self._in_flight < replicas * AHEAD and waiting_s >= TARGET_COST_S

    def _sweep(self) -> None:
        """Tells items that waited longer than they may, and stops what nobody waits for."""
        for task, jobs in self._tasks.items():
            if all(shard.dead for job in jobs for shard in job):
                cancel_begun(task)
        for run, job in list(self._direct.items()):
            if all(shard.dead for shard in job):
                run.cancel()
        go_on(self._sweeping(time.monotonic()), self._pump)

    def _sweeping(self, now_s: float) -> Steps[None]:
        try:
            yield from self._waiting.dropping(lambda shard: not self._fresh(shard, now_s))
        except Exception:  # noqa: BLE001 - what waits is swept again
            _log.exception("reward %s: a sweep failed", self._served.name)
        finally:
            self._sweeper = None

    def _fresh(self, shard: Shard, now_s: float) -> bool:
        if shard.dead:
            return False
        queue_s = min(shard.call.options.queue_timeout_s, self._served.settings.queue_timeout_s)
        if shard.losses == 0 and now_s - shard.submitted_s >= queue_s:
            shard.call.fail(shard.places, NEVER_STARTED)
            return False
        return True

    def _take(self) -> list[list[Shard]]:
        """The next call's jobs: a replica's share of what waits, at most 50 ms or 1 MiB in all."""
        now_s = time.monotonic()
        jobs: dict[tuple[float, str], list[Shard]] = {}
        room_bytes = TARGET_BYTES
        share_s = max(WORTH_S, self._waiting.items * self.item_s / max(1, self._served.up))
        room_items = max(1, int(min(TARGET_COST_S, share_s) / self.item_s))
        while self._waiting:
            shard = self._waiting.first()
            if jobs and (shard.bytes > room_bytes or shard.n > room_items):
                break
            self._waiting.pop()
            if not self._fresh(shard, now_s):
                continue
            # What was sent while it waited, by the order of batches; it is not late for that.
            shard.expected_s = (shard.expected_s + self._taken_s) / max(1, self._served.up)
            self._taken_s += shard.n * self.item_s
            room_bytes -= shard.bytes
            room_items -= shard.n
            options = shard.call.options
            # What it takes of a model is counted by the client's job, so there those travel apart.
            job = options.job if self._served.lane == "model" else ""
            jobs.setdefault((options.item_timeout_s, job), []).append(shard)
        return list(jobs.values())

    async def _carry(self, jobs: list[list[Shard]]) -> None:
        """One handle call: out with the shards, back with the outcomes."""
        holds_slot = True
        items = sum(shard.n for job in jobs for shard in job)
        names = [job[0].call.options.job for job in jobs]
        self._in_flight_items += items
        try:
            async with aclosing(self._exchange(jobs)) as answers:
                async for parts, has_room, figures in answers:
                    for index, part, waited_us in parts:
                        self._deliver(jobs[index], part, waited_us)
                    self._served.note_figures(by_job(figures, names))
                    if has_room and holds_slot:
                        holds_slot = False
                        self._in_flight -= 1
                        self._pump_soon()
            self._lose(jobs, "the replica ended its answer too early")
        except ReplicaLost as error:
            self._lose(jobs, str(error))
        except Exception as error:  # noqa: BLE001 - the outcomes must not wait for the deadline
            self._failed(jobs, error)
        finally:
            self._in_flight_items -= items
            if holds_slot:
                self._in_flight -= 1
            self._pump_soon()

    async def _exchange(self, jobs: list[list[Shard]]) -> Answers:
        """The answers to a call; ends early when nobody waits for its shards any more."""
        now_s = time.monotonic()
        backlog = (self._waiting.items, self._waiting.items * self.item_s)
        sent_us = [int((now_s - min(s.submitted_s for s in job)) * 1e6) for job in jobs]
        shards = [shard for job in jobs for shard in job]
        messages = [message_of(j, now_s) for j in jobs]
        async with aclosing(self._send(messages, backlog)) as answers:
            async for told, has_room, figures in answers:
                parts = [(i, part, waited + sent_us[i]) for i, part, waited in told]
                yield parts, has_room, figures
                if all(shard.dead for shard in shards):
                    return

    def _deliver(self, job: list[Shard], part: Part, waited_us: int) -> None:
        self._measure(part)
        if job[0].losses == 0:
            late_s = waited_us / 1e6 - job[0].expected_s
            if late_s > self.late_s:
                self._late_s, self._late_at_s = late_s, time.monotonic()
        if len(job) == 1:
            _trace(job[0], part, waited_us)
            job[0].deliver(part, waited_us)
            return
        plain = not part.extras and not part.components and not part.isolation
        if plain and len(job) == len(part.states) and PENDING not in part.states:
            # Single calls that came together: their columns are cut up without a part for each.
            rewards, elapsed_us = array("d", part.rewards), array("Q", part.elapsed_us)
            for shard, reward, us in zip(job, rewards, elapsed_us, strict=True):
                if shard.call.trace is not None:
                    _trace(shard, _one(reward, us), waited_us)
                if shard.call.n == 1:
                    shard.call.place_score(0, reward, us, waited_us)
                else:
                    shard.call.place(_one(reward, us), shard.places, 0, waited_us)
            return
        at = 0
        for shard in job:
            end = at + shard.n
            own = part.slice(at, end, self._served.component_count)
            _trace(shard, own, waited_us)
            shard.deliver(own, waited_us)
            at = end

    def _measure(self, part: Part) -> None:
        elapsed_us, items = part.cost()
        if items:
            mean_s = elapsed_us / items / 1e6 / self._served.side_by_side
            self.item_s = learnt(self.item_s, self._measured, mean_s, items)
            self._measured += items

    def _failed(self, jobs: list[list[Shard]], error: Exception) -> None:
        """By a fault of ours jobs did not get to their end."""
        _log.error("reward %s: a call to a replica failed", self._served.name, exc_info=error)
        self._lose(jobs, repr(error))

    def _lose(self, jobs: list[list[Shard]], why: str) -> None:
        """A replica is gone: what it left unfinished goes elsewhere, in front of what waits."""
        left = [s for job in jobs for s in job if not s.dead and s.pending]
        if left:
            _log.warning(
                "reward %s: %d shards to send again: %s",
                self._served.name,
                len(left),
                why,
                extra={"reward": self._served.name},
            )
        for shard in reversed(left):
            shard.losses += 1
            self._served.note_retry()
            if shard.losses < MAX_LOSSES:
                self._waiting.add_again(shard)
            elif shard.losses == MAX_LOSSES:
                self._alone.extend(shard.split())
            else:
                times, is_model = shard.losses, self._served.lane == "model"
                shard.call.fail(shard.places, crashed(times) if is_model else lost(times, why))
        if self._alone and (self._lonely is None or self._lonely.done()):
            self._lonely = asyncio.get_running_loop().create_task(self._carry_alone())

    async def _carry_alone(self) -> None:
        while self._alone:
            shard = self._alone.popleft()
            if not shard.dead:
                self._in_flight += 1
                await asyncio.wait((self._own(self._carry([[shard]]), [[shard]]),))

    def _own(self, work: Any, jobs: list[list[Shard]]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks[task] = jobs
        task.add_done_callback(self._tasks.pop)
        return task


def _trace(shard: Shard, part: Part, waited_us: int) -> None:
    # Before it is delivered: with its last outcome the call is over.
    if (trace := shard.call.trace) is not None and not shard.dead:
        trace.delivered(shard, part, waited_us)


def _one(reward: float, elapsed_us: int) -> Part:
    rewards, times = array("d", (reward,)), array("Q", (elapsed_us,))
    return Part(bytes((SCORED,)), rewards.tobytes(), b"", times.tobytes())
