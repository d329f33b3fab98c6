"""Jobs, one gateway's queue and replicas, in simulated time.

The order is that of `gateway.batch_queue`, the load what `gateway.lane_load` makes of the shards
there are; only time and work are simulated. A replica takes one shard after the other.
"""

from __future__ import annotations

import random
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any, Protocol, cast

from rewardplane.gateway.batch_queue import BatchQueue
from rewardplane.gateway.breath import at_once
from rewardplane.gateway.call import CallOptions
from rewardplane.gateway.lane_load import Arrivals, looking
from rewardplane.gateway.load import Load
from rewardplane.gateway.shard import TARGET_COST_S, Shard
from rewardplane.replica.segment import PENDING

from .traces import Batch

TICK_S = 0.5
"""The controller's loop (`RAY_SERVE_CONTROL_LOOP_INTERVAL_S`); loads are as old."""
TOLD_S = 0.5
"""Until the gateway knows of a replica that runs."""


class Scaler(Protocol):
    """Says how many replicas there should be, each `TICK_S`."""

    looks: bool
    """Whether it looks at the load."""

    def wanted(self, world: World, load: Load, up: int) -> int:
        """`load` is that of the tick before; `up` run."""
        ...


class _Call:
    """A call as queue and load see it."""

    __slots__ = ("batch", "closed", "options", "states")

    def __init__(self, batch: _Open, options: CallOptions, n: int) -> None:
        self.batch = batch
        self.options = options
        self.states = bytearray(n)
        self.closed = False

    @property
    def pending(self) -> int:
        """The items without an outcome."""
        return self.states.count(PENDING)


@dataclass(slots=True)
class _Open:
    """A batch that is not answered. `begun_s`: when it was sent."""

    job: str
    begun_s: float
    left: int


@dataclass(slots=True)
class Result:
    """What came of a run: for each job the seconds that its batches took, and the rest."""

    batch_s: dict[str, list[float]] = field(
        default_factory=lambda: defaultdict[str, list[float]](list)
    )
    steps_s: dict[str, float] = field(default_factory=lambda: defaultdict[str, float](float))
    replica_s: float = 0.0
    starts: int = 0
    late: int = 0
    """Items answered after their deadline."""


@dataclass(slots=True)
class _Replica:
    up_s: float
    begun_s: float
    is_busy: bool = False
    stops: bool = False


class World:
    """Runs a trace under a scaler."""

    def __init__(
        self,
        batches: Iterable[Batch],
        scaler: Scaler,
        *,
        first: int,
        start_s: float,
        until_s: float,
        seed: int = 1,
        shard_s: float = TARGET_COST_S,
        queue: Callable[[Callable[[], float]], Any] = BatchQueue,
    ) -> None:
        self.now_s = 0.0
        self.result = Result()
        self.items = 0
        """Items that wait or run."""
        self._scaler = scaler
        self._start_s, self._until_s, self._shard_s = start_s, until_s, shard_s
        self._chance = random.Random(seed)
        self._queue = queue(lambda: self.now_s)
        self._arrivals = Arrivals()
        self._item_s = 0.001
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0
        self._replicas = [_Replica(0.0, 0.0) for _ in range(first)]
        self._free: deque[_Replica] = deque(self._replicas)
        self._running: dict[int, Shard] = {}
        self._load = Load()
        self._jobs: dict[str, deque[Batch]] = defaultdict(deque)
        for batch in batches:
            self._jobs[batch.job].append(batch)
        for job in self._jobs:
            self._next(job)

    def run(self) -> Result:
        """To the end of the time."""
        self._at(TICK_S, self._tick)
        while self._events and self._events[0][0] <= self._until_s:
            self.now_s, _, act = heappop(self._events)
            act()
        self.now_s = self._until_s
        for replica in self._replicas:
            self.result.replica_s += self._until_s - replica.begun_s
        return self.result

    def _at(self, time_s: float, act: Callable[[], None]) -> None:
        self._number += 1
        heappush(self._events, (time_s, self._number, act))

    def _next(self, job: str) -> None:
        """The job's next batch comes, after its time."""
        if not self._jobs[job]:
            return
        batch = self._jobs[job].popleft()
        costs_s = batch.costs_s(self._chance)
        begin_s = self.now_s + batch.wait_s
        open_batch = _Open(job, begin_s, batch.items)
        self.result.steps_s[job] += batch.wait_s
        size = -(-batch.items // batch.calls)
        for k in range(batch.calls):
            part = costs_s[k * size : (k + 1) * size]
            at_s = begin_s + batch.spread_s * k / max(1, batch.calls - 1)
            if part:
                self._at(at_s, lambda part=part: self._submit(batch, open_batch, part))

    def _submit(self, batch: Batch, of: _Open, costs_s: list[float]) -> None:
        name = batch.job.partition("/")[0]
        options = CallOptions("", "", self.now_s, self.now_s + batch.timeout_s, name)
        call = _Call(of, options, len(costs_s))
        room = max(1, min(4096, int(self._shard_s / self._item_s)))
        for at in range(0, len(costs_s), room):
            n = min(room, len(costs_s) - at)
            shard = Shard(
                cast("Any", call), cast("Any", None), [], [(at, at + n)], n, 0, self.now_s
            )
            cast("Any", shard).example = costs_s[at : at + n]
            self._queue.add(shard)
            self._arrivals.note(name, n, self._item_s)
        self.items += len(costs_s)
        self._pump()

    def _pump(self) -> None:
        while self._queue and self._free:
            replica = self._free.popleft()
            if replica.stops:
                continue
            shard = self._queue.pop()
            replica.is_busy = True
            self._running[id(shard)] = shard
            costs_s = cast("list[float]", shard.example)
            took_s = sum(costs_s)
            self._at(self.now_s + took_s, lambda r=replica, s=shard, t=took_s: self._done(r, s, t))

    def _done(self, replica: _Replica, shard: Shard, took_s: float) -> None:
        del self._running[id(shard)]
        self._item_s = max(
            1e-7, 0.7 * self._item_s + 0.3 * min(took_s / shard.n, 10 * self._item_s)
        )
        call = cast("Any", shard.call)
        (first, end), n = shard.places[0], shard.n
        call.states[first:end] = b"\2" * n
        self.items -= n
        self.result.late += n * (self.now_s > call.options.answer_by_s)
        batch: _Open = call.batch
        batch.left -= n
        if not batch.left:
            took = self.now_s - batch.begun_s
            self.result.batch_s[batch.job].append(took)
            self.result.steps_s[batch.job] += took
            self._next(batch.job)
        replica.is_busy = False
        if replica.stops:
            self._end(replica)
        else:
            self._free.append(replica)
        self._pump()

    def _tick(self) -> None:
        up = sum(r.up_s <= self.now_s for r in self._replicas if not r.stops)
        wanted = self._scaler.wanted(self, self._load, up)
        there = [r for r in self._replicas if not r.stops]
        for _ in range(wanted - len(there)):
            self._begin()
        if wanted < len(there):
            # Those that start first, then any: Serve knows nothing of their work.
            self._chance.shuffle(there)
            there.sort(key=lambda r: r.up_s <= self.now_s)
            for replica in there[: len(there) - wanted]:
                replica.stops = True
                if not replica.is_busy:
                    self._end(replica)
        if self._scaler.looks:
            waiting = ((shard.call, shard.n, shard.submitted_s) for shard in self._queue)
            running = self._running.values
            self._load = at_once(
                looking(waiting, running, self._arrivals, self._item_s, 1, self.now_s)
            )
        self._at(self.now_s + TICK_S, self._tick)

    def _begin(self) -> None:
        replica = _Replica(self.now_s + self._start_s, self.now_s)
        self._replicas.append(replica)
        self.result.starts += 1

        def serves() -> None:
            if not replica.stops:
                self._free.append(replica)
                self._pump()

        self._at(replica.up_s + TOLD_S, serves)

    def _end(self, replica: _Replica) -> None:
        self._replicas.remove(replica)
        self.result.replica_s += self.now_s - replica.begun_s
