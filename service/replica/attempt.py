"""Some items of a job on one worker: how far they got, and who is to blame where they did not."""

from __future__ import annotations

import asyncio
import enum
import time
from collections.abc import Iterable
from dataclasses import dataclass

from rewardplane.rewards.types import Reason

from .job import Job, Range, ranges_in
from .segment import FAILED, PENDING, RUNNING, SCORED, Segment
from .worker import Worker


class Ending(enum.Enum):
    """Why nobody waits for an attempt any more."""

    DONE = enum.auto()
    """The worker has done what it would do."""
    DIED = enum.auto()
    """The worker is no more."""
    OVERRAN = enum.auto()
    """An item executed longer than it may."""
    STALLED = enum.auto()
    """An item takes long, others wait, and there is a worker for them."""
    DEADLINE = enum.auto()
    """The job's time is over."""


@dataclass(slots=True, eq=False)
class Attempt:
    """The items `todo` of a job on a worker. Make it with `begin`; end it with `close`."""

    worker: Worker
    job: Job
    todo: list[Range]
    segment: Segment
    ended: asyncio.Future[bool]
    """True: the worker is done with it. False: the worker died."""
    first: bool
    """No other ran in this worker before."""
    beside: bool
    """Others may run in this worker at the same time."""
    _seen_cursor: int = 0
    _seen_ns: int = 0

    @classmethod
    async def begin(
        cls, worker: Worker, job: Job, todo: list[Range], component_count: int, *, beside: bool
    ) -> Attempt:
        """Hands the items to the worker."""
        first = worker.shards_fed == 0
        segment = worker.segment(job.n, component_count, job.work(todo), in_slot=not beside)
        job.started_s = job.started_s or time.monotonic()
        try:
            ended = await worker.feed(segment)
        except BaseException:
            worker.release(segment)
            raise
        return cls(worker, job, todo, segment, ended, first, beside)

    def tell(self, without: Iterable[Range] = ()) -> None:
        """Emits what the worker has finished, but for the items in `without`."""
        self.job.tell(self.segment, without)

    def items(self, state: int) -> list[Range]:
        """The items of this attempt that are in a state now."""
        return ranges_in(self.segment.read_states(), state, self.todo)

    def units(self, items: Iterable[Range]) -> list[Range]:
        """What each call of the reward got of these items: those that started at one time."""
        started_ns, units = self.segment.started_ns, list[Range]()
        for first, end in items:
            begin = first
            for index in range(first + 1, end):
                if started_ns[index] != started_ns[begin]:
                    units.append((begin, index))
                    begin = index
            units.append((begin, end))
        return units

    def longest_s(self) -> float:
        """How long the item that executes longest executes by now; 0 where none does."""
        segment = self.segment
        if segment.cursor[0]:
            return self._at_cursor_s(segment.cursor[0])
        states, started_ns = segment.read_states(), segment.started_ns
        oldest_ns, index = 0, states.find(RUNNING)
        while index >= 0:
            oldest_ns = min(oldest_ns or started_ns[index], started_ns[index])
            index = states.find(RUNNING, index + 1)
        return (time.monotonic_ns() - oldest_ns) / 1e9 if oldest_ns else 0.0

    def _at_cursor_s(self, cursor: int) -> float:
        """How long the item at the cursor executes at the least: since it was first seen there."""
        now_ns = time.monotonic_ns()
        if cursor != self._seen_cursor:
            self._seen_cursor, self._seen_ns = cursor, now_ns
            if self.segment.base[0] == cursor - 1:  # its group's clock is its own
                self._seen_ns = min(now_ns, self.segment.started_ns[cursor - 1])
        return (now_ns - self._seen_ns) / 1e9

    def mean_s(self) -> float:
        """The mean execution time of the items that ended; 0 where none did."""
        states = self.segment.read_states()
        ended = states.count(SCORED) + states.count(FAILED)
        return sum(self.segment.elapsed_us) / ended / 1e6 if ended else 0.0

    def exhausted(self) -> list[Range]:
        """The calls that failed for want of memory."""
        states = self.segment.read_states()
        if FAILED not in states:
            return []
        extras = self.segment.extras()
        failed = bytes(
            state == FAILED and extras.get(index, [0])[0] == Reason.OUT_OF_MEMORY.value
            for index, state in enumerate(states)
        )
        return self.units(ranges_in(failed, 1, self.todo))

    def pending(self) -> list[Range]:
        """The items that wait. One whose call failed whole is to be run alone: a range each."""
        started_ns, ranges = self.segment.started_ns, list[Range]()
        for first, end in self.items(PENDING):
            begin = first
            for index in range(first, end):
                if started_ns[index]:
                    if begin < index:
                        ranges.append((begin, index))
                    ranges.append((index, index + 1))
                    self.job.note_run((index, index + 1))
                    begin = index + 1
            if begin < end:
                ranges.append((begin, end))
        return ranges

    def drop_pending(self) -> list[Range]:
        """From now on this is an attempt at what runs; returns what does not."""
        pending, running = self.pending(), self.items(RUNNING)
        self.first = self.first and bool(running) and running[0][0] == self.todo[0][0]
        self.todo = running
        return pending

    def is_alone(self, unit: Range) -> bool:
        """Whether nothing ran in this worker before or beside `unit`: its memory is its own."""
        return self.first and not self.beside and unit[0] == self.todo[0][0]

    def is_to_blame(self, unit: Range, *, is_async: bool, limit_s: float) -> bool:
        """Whether the worker, which is no more, ended because of this call.

        `limit_s` is the age from which on a call is taken for the one that did not come back.
        """
        if not is_async:
            return True
        worker, (first, end) = self.worker, unit
        if worker.stepping_at_death:
            return first < self.segment.stepping[0] <= end
        if worker.overran:
            return (time.monotonic_ns() - self.segment.started_ns[first]) / 1e9 >= limit_s
        return worker.running_at_death == end - first and not worker.shared

    def elapsed_us(self, unit: Range) -> int:
        """The share of one item of a call that did not come back in its execution time."""
        first, end = unit
        started_ns = self.segment.started_ns[first] or self._seen_ns
        if not started_ns:
            return 0
        return max(0, time.monotonic_ns() - started_ns) // 1000 // (end - first)

    def nothing_ended(self) -> bool:
        """Whether no item got anywhere."""
        states = self.segment.read_states()
        return states.count(PENDING) == len(states)
