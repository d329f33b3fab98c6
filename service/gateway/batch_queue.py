"""What waits for a reward's replicas, in the order in which it is served.

A trainer waits for the last item of its batch, so the order is one of batches, each a call's shards
(after DistRS, NSDI '26). Within a job: the earliest deadline first; of deadlines that are about
equal, the batch of which the fewest items still wait. Between jobs:

1. a job that has waited for `STARVED_S` and got less than half of its fair share;
2. the job with less waiting, where one has several times as much as the other: it floods, and has
   no claim to delay the others;
3. the job whose first batch is due earlier.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush, heapreplace
from math import frexp

from .breath import Steps
from .call import Call
from .lane_load import PIECE, Waiting
from .shard import Shard

MAX_JOBS = 64
"""Jobs told apart at once; the others share one place."""
STARVED_S = 10.0
MAX_GOT = 4 * MAX_JOBS
"""Jobs of which it is known what they got; the others are taken to have got nothing."""
HALF_S = 30.0
"""What a job got counts half after so long."""
_OTHERS = "\0others"


class _Batch:
    __slots__ = ("due", "items", "job", "number", "shards")

    def __init__(self, job: _Job, due: float, number: int) -> None:
        self.job = job
        self.due = due
        self.number = number
        self.items = 0
        self.shards: deque[Shard] = deque()

    @property
    def entry(self) -> tuple[float, int, int, _Batch]:
        return self.due, self.items, self.number, self


class _Job:
    """The batches of one job. An entry of the heap may tell fewer items than wait, never more.

    Entries of batches that were dropped stay until they come first, or are half of all.
    """

    __slots__ = ("dropped", "heap", "items", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.items = 0
        self.dropped = 0
        self.heap: list[tuple[float, int, int, _Batch]] = []

    def first(self) -> _Batch:
        if self.dropped > len(self.heap) // 2:
            self.heap = [entry[3].entry for entry in self.heap if entry[3].shards]
            heapify(self.heap)
            self.dropped = 0
        while True:
            _due, items, _number, batch = self.heap[0]
            if not batch.shards:
                heappop(self.heap)
                self.dropped -= 1
            elif items == batch.items:
                return batch
            else:
                heapreplace(self.heap, batch.entry)


class BatchQueue:
    """Shards of one reward that wait on one gateway."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.items = 0
        self.bytes = 0
        self._clock = clock
        self._again: deque[Shard] = deque()
        self._batches: dict[Call, _Batch] = {}
        self._jobs: dict[str, _Job] = {}
        self._got: dict[str, float] = {}
        """The items that jobs got of late."""
        self._halved_s = 0.0
        self._number = 0
        self._head: _Batch | None = None

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return bool(self._again or self._batches)

    def __iter__(self) -> Iterator[Shard]:
        """All that wait, in no order."""
        yield from self._again
        for batch in self._batches.values():
            yield from batch.shards

    def waiting(self) -> Iterator[Waiting]:
        """What waits of each call now, in no order; what is added or taken meanwhile is as well."""
        for shard in list(self._again):
            yield shard.call, shard.n, shard.submitted_s
        for call, batch in list(self._batches.items()):
            if batch.shards:
                yield call, batch.items, batch.shards[0].submitted_s

    def items_before(self, job: str, count: int) -> int:
        """What goes before the last of `count` more items of a job, about."""
        own = self._jobs.get(job)
        if len(self._jobs) <= (own is not None):
            return self.items
        mine = count + (own.items if own is not None else 0)
        others = (j.items for j in self._jobs.values() if j is not own)
        return mine - count + sum(n for n in others if _size(n) <= _size(mine))

    def add(self, shard: Shard) -> None:
        """Takes a shard."""
        self.items += shard.n
        self.bytes += shard.bytes
        batch = self._batches.get(shard.call)
        begins = batch is None
        if batch is None:
            batch = self._batches[shard.call] = self._begin(shard)
        batch.shards.append(shard)
        batch.items += shard.n
        batch.job.items += shard.n
        if begins:
            heappush(batch.job.heap, batch.entry)
        self._head = None

    def add_again(self, shard: Shard) -> None:
        """Takes a shard that was sent in vain: it goes before all others."""
        self.items += shard.n
        self.bytes += shard.bytes
        self._again.appendleft(shard)

    def first(self) -> Shard:
        """The shard that is next; something must wait."""
        if self._again:
            return self._again[0]
        if self._head is None:
            jobs = self._jobs
            job = next(iter(jobs.values())) if len(jobs) == 1 else self._choose()
            self._head = job.first()
        return self._head.shards[0]

    def pop(self) -> Shard:
        """Takes the shard of `first` out."""
        shard = self.first()
        self._count_out(shard)
        if self._again:
            return self._again.popleft()
        batch, self._head = self._head, None
        assert batch is not None, "`first` has chosen it"  # noqa: S101
        job = batch.job
        batch.shards.popleft()
        batch.items -= shard.n
        job.items -= shard.n
        self._note_got(job.name, shard.n)
        if batch.shards:
            heapreplace(job.heap, batch.entry)
        else:
            heappop(job.heap)
            del self._batches[shard.call]
            if not job.items:
                del self._jobs[job.name]
        return shard

    def dropping(self, stale: Callable[[Shard], bool]) -> Steps[None]:
        """Drops the shards that are stale, in steps.

        Of a batch, only as far as its first is: it came before the others. `stale` may add batches.
        """
        for _ in range(len(self._again)):
            shard = self._again.popleft()
            if stale(shard):
                self._count_out(shard)
            else:
                self._again.append(shard)
        for number, (call, batch) in enumerate(list(self._batches.items())):
            if number % PIECE == PIECE - 1:
                yield
            if self._batches.get(call) is batch and stale(batch.shards[0]):
                self._drop(call, batch, stale)

    def _drop(self, call: Call, batch: _Batch, stale: Callable[[Shard], bool]) -> None:
        """Drops the first shard of a batch, and those after it that are stale."""
        job = batch.job
        while True:
            shard = batch.shards.popleft()
            self._count_out(shard)
            batch.items -= shard.n
            job.items -= shard.n
            if not batch.shards:
                del self._batches[call]
                job.dropped += 1
                if not job.items:
                    del self._jobs[job.name]
                break
            if not stale(batch.shards[0]):
                job.dropped = len(job.heap)  # the heap tells more than wait: it is made anew
                break
        self._head = None

    def _count_out(self, shard: Shard) -> None:
        self.items -= shard.n
        self.bytes -= shard.bytes

    def _begin(self, shard: Shard) -> _Batch:
        options = shard.call.options
        name = options.job
        job = self._jobs.get(name)
        if job is None:
            if len(self._jobs) >= MAX_JOBS:
                name = _OTHERS
            job = self._jobs.setdefault(name, _Job(name))
        self._number += 1
        due = _rounded(options.answer_by_s, options.answer_by_s - shard.submitted_s)
        return _Batch(job, due, self._number)

    def _choose(self) -> _Job:
        """The job that is next, of several."""
        now_s = self._clock()
        fair = sum(self._got.values()) / len(self._jobs)

        def place(job: _Job) -> tuple[bool, int, tuple[float, int, int]]:
            first = job.first()
            starves = (
                now_s - first.shards[0].submitted_s > STARVED_S
                and 2 * self._got.get(job.name, 0.0) < fair
            )
            return not starves, _size(job.items), first.entry[:3]

        return min(self._jobs.values(), key=place)

    def _note_got(self, job: str, items: int) -> None:
        """Counts what a job got, and halves what all got for each `HALF_S`."""
        now_s = self._clock()
        if not self._halved_s:
            self._halved_s = now_s
        times = int((now_s - self._halved_s) / HALF_S)
        if times:
            self._halved_s += times * HALF_S
            self._got = {name: got / 2.0**times for name, got in self._got.items() if got >= 1}
        if job not in self._got and len(self._got) >= MAX_GOT:  # a name for each call
            self._got = {name: got for name, got in self._got.items() if name in self._jobs}
        self._got[job] = self._got.get(job, 0.0) + items


def _size(items: int) -> int:
    """How much that is, in steps of a factor of four: of like jobs the deadlines decide."""
    return items.bit_length() >> 1


def _rounded(due_s: float, left_s: float) -> float:
    """A deadline, rounded down by up to a sixteenth of the time that it leaves."""
    if left_s <= 0:
        return due_s
    step_s = 2.0 ** (frexp(left_s)[1] - 5)
    return due_s // step_s * step_s
