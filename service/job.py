"""A shard as a replica runs it, and what it sends back of it."""

from __future__ import annotations

import marshal
import time
from array import array
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..rewards.types import Reason, ScoreError
from .segment import FAILED, PENDING, RUNNING, Segment

Range = tuple[int, int]
"""Items first … end - 1 of a shard."""

_UNFINISHED = bytes.maketrans(bytes([RUNNING]), bytes([PENDING]))


@dataclass(slots=True)
class Part:
    """Outcomes of some items of a shard, as columns over all n of them.

    `states[i]` is SCORED or FAILED for the items told here, PENDING for the others. `rewards` is n
    f64, `components` n x K f64, `elapsed_us` n u64, all as bytes. `extras[i]` is [reason, message]
    of a failed item, [explanation, step rewards] of a scored one.
    """

    states: bytes
    rewards: bytes
    components: bytes
    elapsed_us: bytes
    extras: dict[int, list[Any]] = field(default_factory=dict[int, list[Any]])

    def slice(self, first: int, end: int, k: int) -> Part:
        """The columns of items first … end - 1."""
        return Part(
            self.states[first:end],
            self.rewards[8 * first : 8 * end],
            self.components[8 * k * first : 8 * k * end],
            self.elapsed_us[8 * first : 8 * end],
            {i - first: extra for i, extra in self.extras.items() if first <= i < end},
        )

    def cost(self) -> tuple[int, int]:
        """The execution time of the items told here, in microseconds, and their number."""
        told = len(self.states) - self.states.count(PENDING)
        return sum(array("Q", self.elapsed_us)), told


Emit = Callable[[Part], None]


@dataclass(slots=True)
class Job:
    """A shard on its way through a replica.

    `groups` are serialized `rewardplane.v1.Group`s, `sizes` their numbers of responses, `ranges` the
    items to run, numbered through all groups. `timeout_s` bounds the execution of one item; `deadline_s` and `start_by_s` (`time.monotonic()`) are when all
    must be told and when the last item must have started.
    """

    groups: Sequence[bytes]
    sizes: Sequence[int]
    ranges: Sequence[Range]
    timeout_s: float
    deadline_s: float
    start_by_s: float
    label: str
    emit: Emit
    told: bytearray = field(default_factory=bytearray)
    """Whose outcome was emitted: 1 a byte."""
    emptied: set[int] = field(default_factory=set[int])
    """Items that ran out of memory in a worker that was not fresh: they get a fresh one, once."""
    started_s: float = 0.0
    """When a worker first got it (`time.monotonic()`); 0 before."""
    fruitless: int = 0
    """How often in a row a worker ended before it finished anything of this job."""

    def __post_init__(self) -> None:
        self.told = bytearray(sum(self.sizes))

    @property
    def n(self) -> int:
        """The number of items."""
        return len(self.told)

    @property
    def left_s(self) -> float:
        """Seconds until the deadline."""
        return self.deadline_s - time.monotonic()

    def segment(self, ranges: Sequence[Range], component_count: int) -> Segment:
        """A segment from which a worker runs the items of `ranges`."""
        payload = marshal.dumps((list(self.groups), list(ranges), self.timeout_s, self.left_s))
        return Segment.create(self.n, component_count, payload)

    def tell(self, segment: Segment, without: Collection[int] = ()) -> None:
        """Emits what the segment holds and was not told yet, but for the items in `without`."""
        states = segment.states.tobytes().translate(_UNFINISHED)
        if without or any(self.told):
            states = bytes(
                PENDING if told or index in without else state
                for index, (state, told) in enumerate(zip(states, self.told, strict=True))
            )
        if not any(states):
            return
        self._mark(states)
        extras = {i: extra for i, extra in segment.extras().items() if states[i] != PENDING}
        if FAILED in states:
            lost = [Reason.RAISED.value, "the reward failed; its message was too long to keep"]
            extras |= {i: lost for i, s in enumerate(states) if s == FAILED and i not in extras}
        self.emit(
            Part(
                states,
                segment.rewards.tobytes(),
                segment.components.tobytes(),
                segment.elapsed_us.tobytes(),
                extras,
            )
        )

    def fail(self, ranges: Iterable[Range], why: ScoreError, elapsed_us: int = 0) -> None:
        """Emits the same error for all items of `ranges` that were not told yet."""
        n = self.n
        states, elapsed = bytearray(n), memoryview(bytearray(8 * n)).cast("Q")
        extras: dict[int, list[Any]] = {}
        for first, end in ranges:
            for index in range(first, end):
                if not self.told[index]:
                    states[index] = FAILED
                    elapsed[index] = elapsed_us
                    extras[index] = [why.reason.value, why.message]
        if extras:
            self._mark(states)
            self.emit(Part(bytes(states), bytes(8 * n), b"", elapsed.tobytes(), extras))

    def _mark(self, states: bytes | bytearray) -> None:
        if PENDING not in states:
            self.told = bytearray(b"\1" * len(states))
        else:
            for index, state in enumerate(states):
                if state:
                    self.told[index] = 1


def ranges_in(states: bytes, wanted: int, within: Iterable[Range]) -> list[Range]:
    """The runs of items in `within` whose state is `wanted`."""
    found: list[Range] = []
    for first, end in within:
        begin = -1
        for index in range(first, end):
            if states[index] == wanted:
                if begin < 0:
                    begin = index
            elif begin >= 0:
                found.append((begin, index))
                begin = -1
        if begin >= 0:
            found.append((begin, end))
    return found
