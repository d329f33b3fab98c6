"""A shard as a replica runs it, and what it sends back of it."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from rewardplane.rewards.types import Reason, ScoreError
from rewardplane.wire.item_errors import DEADLINE_EXECUTING, NEVER_STARTED

from .segment import FAILED, PENDING, RUNNING, SCORED, Segment, fault_of
from .work import Data, Work

Range = tuple[int, int]
"""Items first … end - 1 of a shard."""

_UNFINISHED = bytes.maketrans(bytes([RUNNING]), bytes([PENDING]))
_NOT_0 = bytes(min(value, 1) for value in range(256))
_OTHERS = [bytes(int(value != state) for value in range(256)) for state in range(8)]
"""By state, what tells the items that are in another one."""
_REASONS = frozenset(reason.value for reason in Reason)


@dataclass(slots=True)
class Part:
    """Outcomes of some items of a shard, as columns over all n of them.

    `states[i]` is SCORED or FAILED for the items told here, PENDING for the others. `rewards` is n
    f64, `components` n x K f64, `elapsed_us` n u64, all as bytes. `extras[i]` is the `fault_of`
    a failed item, the `words_of` a scored one. `isolation` is `Reward.isolation_held` where they
    ran; 0: no untrusted code, or nothing ran.
    """

    states: bytes
    rewards: bytes
    components: bytes
    elapsed_us: bytes
    extras: dict[int, list[Any]] = field(default_factory=dict[int, list[Any]])
    isolation: int = 0

    def slice(self, first: int, end: int, k: int) -> Part:
        """The columns of items first … end - 1."""
        return Part(
            self.states[first:end],
            self.rewards[8 * first : 8 * end],
            self.components[8 * k * first : 8 * k * end],
            self.elapsed_us[8 * first : 8 * end],
            {i - first: extra for i, extra in self.extras.items() if first <= i < end},
            self.isolation,
        )

    def cost(self) -> tuple[int, int]:
        """The execution time of the items told here, in microseconds, and their number."""
        told = len(self.states) - self.states.count(PENDING)
        return sum(array("Q", self.elapsed_us)), told


Emit = Callable[[Part], None]


@dataclass(slots=True)
class Job:
    """A shard on its way through a replica.

    `data`, put one after the other, are a `RequestFrame` of groups with `n` responses, `ranges`
    the items to run, numbered through all groups. `timeout_s` bounds the execution of one item;
    `deadline_s` and `start_by_s` (`time.monotonic()`) are when all must be told and when the last
    item must have started.
    """

    data: Sequence[Data]
    n: int
    ranges: Sequence[Range]
    timeout_s: float
    deadline_s: float
    start_by_s: float
    label: str
    words: int
    """Whether explanations, step rewards and answers are wanted."""
    emit: Emit
    told: bytearray = field(default_factory=bytearray)
    """Whose outcome was emitted: 1 a byte."""
    runs: bytearray = field(default_factory=bytearray)
    """How often each item was executed to no end, because of another one or for want of memory."""
    started_s: float = 0.0
    """When a worker first got it (`time.monotonic()`); 0 before."""
    losses: int = 0
    """How often its workers were lost by nobody's doing."""
    on_room: Callable[[], None] | None = None
    """Called when an item holds its worker up, and another one is free for other jobs."""
    fruitless: int = 0
    """How often in a row a worker ended before it started anything of this job."""

    def __post_init__(self) -> None:
        self.told = bytearray(self.n)
        self.runs = bytearray(len(self.told))

    @property
    def left_s(self) -> float:
        """Seconds until the deadline."""
        return self.deadline_s - time.monotonic()

    def work(self, todo: Sequence[Range]) -> Work:
        """What a worker is to run of `todo`, and until when."""
        start_by_ns, deadline_ns = int(self.start_by_s * 1e9), int(self.deadline_s * 1e9)
        ranges = [(first, end, start_by_ns) for first, end in self._never_run(todo)]
        ranges += [(first, end, deadline_ns) for first, end in self._run_before(todo)]
        return Work(self.data, sorted(ranges), self.timeout_s, deadline_ns, self.words)

    def start_within_s(self, todo: Sequence[Range]) -> float:
        """Seconds until some of `todo` may not start any more."""
        by_s = self.start_by_s if self._never_run(todo) else self.deadline_s
        return max(0.0, by_s - time.monotonic())

    def expire(self, todo: Sequence[Range]) -> list[Range]:
        """Tells the items that may not start any more; returns the others.

        One that was executed before has stood in the queue already: it has until the deadline.
        """
        now_s = time.monotonic()
        if now_s < self.start_by_s:
            return list(todo)
        self.fail(self._never_run(todo), NEVER_STARTED)
        again = self._run_before(todo)
        if now_s < self.deadline_s:
            return again
        self.fail(again, DEADLINE_EXECUTING)
        return []

    def note_run(self, unit: Range) -> None:
        """The items of `unit` were executed to no end."""
        for index in range(*unit):
            self.runs[index] = min(255, self.runs[index] + 1)

    def _never_run(self, todo: Sequence[Range]) -> list[Range]:
        return ranges_in(self.runs, 0, todo) if any(self.runs) else list(todo)

    def _run_before(self, todo: Sequence[Range]) -> list[Range]:
        if not any(self.runs):
            return []
        return ranges_in(self.runs.translate(_NOT_0), 1, todo)

    def tell(self, segment: Segment, without: Iterable[Range] = ()) -> None:
        """Emits what the segment holds and was not told yet, but for the items in `without`."""
        states = bytearray(segment.read_states().translate(_UNFINISHED))
        if not segment.has_extras and states.count(SCORED) == self.n and not any(self.told):
            self.told = bytearray(b"\1") * self.n
            self._emit(segment, bytes(states), segment.elapsed_us.tobytes(), {})
            return
        for first, end in without:
            states[first:end] = bytes(end - first)
        # As one long number: this is looked at ten times a second for each job.
        told = 255 * int.from_bytes(self.told, "little")
        states = (int.from_bytes(states, "little") & ~told).to_bytes(len(states), "little")
        if not any(states):
            return
        self._mark(states)
        elapsed_us = segment.elapsed_us.tobytes()
        if PENDING in states:
            column = memoryview(bytearray(elapsed_us)).cast("Q")
            for index, state in enumerate(states):
                if state == PENDING:  # told before, or to be told later, with its time
                    column[index] = 0
            elapsed_us = column.tobytes()
        extras = {
            index: extra
            for index, extra in segment.extras().items()
            if (state := states[index]) != PENDING and _fits(state, extra)
        }
        if FAILED in states:
            lost = [Reason.RAISED.value, "the reward failed; its message was lost"]
            extras |= {i: lost for i, s in enumerate(states) if s == FAILED and i not in extras}
        self._emit(segment, states, elapsed_us, extras)

    def _emit(
        self, segment: Segment, states: bytes, elapsed_us: bytes, extras: dict[int, list[Any]]
    ) -> None:
        rewards = segment.rewards.tobytes()
        isolation = segment.isolation[0]
        components = segment.components.tobytes()
        self.emit(Part(states, rewards, components, elapsed_us, extras, isolation))

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
                    extras[index] = fault_of(why)
        if extras:
            self._mark(states)
            self.emit(Part(bytes(states), bytes(8 * n), b"", elapsed.tobytes(), extras))

    def _mark(self, states: bytes | bytearray) -> None:
        new = int.from_bytes(states.translate(_NOT_0), "little")
        told = int.from_bytes(self.told, "little") | new
        self.told = bytearray(told.to_bytes(len(states), "little"))


def _is_judgement(told: Any) -> bool:
    """Whether this is a `JudgementRecord.as_list`."""
    match told:
        case [str(), float(), dict(), float() | None, str(), [int(), int(), int(), int()], str()]:
            taken = cast("list[int]", told[5])
            shares = cast("dict[str, Any]", told[2])
            floats = all(type(share) is float for share in shares.values())
            return floats and all(0 <= count < 2**31 for count in taken)
        case _:
            return False


def _fits(state: int, extra: list[Any]) -> bool:
    """Whether a worker's extra is one for this state; a worker may hold foreign code."""
    match extra:
        case [int(reason), str(), *_]:
            return state == FAILED and reason in _REASONS
        case [str(), list(), str(), str(), *more] if len(more) < 2:
            steps = cast("list[Any]", extra[1])
            judgements = cast("list[Any]", more[0]) if more else []
            floats = all(type(step) is float for step in steps)
            return state == SCORED and floats and all(map(_is_judgement, judgements))
        case _:
            return False


def ranges_in(states: bytes | bytearray, wanted: int, within: Iterable[Range]) -> list[Range]:
    """The runs of items in `within` whose state is `wanted`."""
    found: list[Range] = []
    others = _OTHERS[wanted]
    for first, end in within:
        at = states.find(wanted, first, end)
        if at < 0:
            continue
        # Of the range alone: a call's items may be asked for in thousands of small ranges.
        told = states[at:end].translate(others)
        begin = 0
        while begin >= 0:
            stop = told.find(1, begin)
            if stop < 0:
                found.append((at + begin, end))
                break
            found.append((at + begin, at + stop))
            begin = told.find(0, stop)
    return found
