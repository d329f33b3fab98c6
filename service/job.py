"""A shard as a replica runs it, and what it sends back of it."""

from __future__ import annotations

import marshal
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..rewards.types import ScoreError
from .segment import FAILED, PENDING, RUNNING, SCORED, Segment

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


Emit = Callable[[Part], None]


@dataclass(slots=True)
class Job:
    """A shard on its way through a replica.

    `groups` are serialized `rewardplane.v1.Group`s, `sizes` their numbers of responses. `timeout_s`
    bounds the execution of one item; `deadline_s` and `start_by_s` (`time.monotonic()`) are when all
    must be told and when the last item must have started.
    """

    groups: Sequence[bytes]
    sizes: Sequence[int]
    timeout_s: float
    deadline_s: float
    start_by_s: float
    label: str
    emit: Emit
    emptied: set[int] = field(default_factory=set[int])
    """Items that ran out of memory in a worker that was not fresh: they get a fresh one, once."""
    fruitless: int = 0
    """How often in a row a worker ended before it finished anything of this job."""

    @property
    def n(self) -> int:
        """The number of items."""
        return sum(self.sizes)

    @property
    def left_s(self) -> float:
        """Seconds until the deadline."""
        return self.deadline_s - time.monotonic()

    def segment(self, ranges: Sequence[Range], component_count: int) -> Segment:
        """A segment from which a worker runs the items of `ranges`."""
        payload = marshal.dumps((list(self.groups), list(ranges), self.timeout_s, self.left_s))
        return Segment.create(self.n, component_count, payload)

    def tell(self, segment: Segment, ranges: Iterable[Range] | None = None) -> None:
        """Emits what the segment holds, of all items or of those in `ranges`."""
        states = segment.states.tobytes().translate(_UNFINISHED)
        if ranges is not None:
            chosen = bytearray(len(states))
            for first, end in ranges:
                chosen[first:end] = states[first:end]
            states = bytes(chosen)
        self.emit(
            Part(
                states,
                segment.rewards.tobytes(),
                segment.components.tobytes(),
                segment.elapsed_us.tobytes(),
                {i: extra for i, extra in segment.extras().items() if states[i] != PENDING},
            )
        )

    def fail(self, ranges: Iterable[Range], why: ScoreError, elapsed_us: int = 0) -> None:
        """Emits the same error for all items of `ranges`."""
        n = self.n
        states, elapsed = bytearray(n), memoryview(bytearray(8 * n)).cast("Q")
        extras: dict[int, list[Any]] = {}
        for first, end in ranges:
            for index in range(first, end):
                states[index] = FAILED
                elapsed[index] = elapsed_us
                extras[index] = [why.reason.value, why.message]
        if extras:
            self.emit(Part(bytes(states), bytes(8 * n), b"", elapsed.tobytes(), extras))


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


__all__ = ["FAILED", "PENDING", "RUNNING", "SCORED", "Emit", "Job", "Part", "Range", "ranges_in"]
