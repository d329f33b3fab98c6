"""A call on its way: its items' outcomes as columns, filled by the lanes, in any order.

Items of a call are numbered through all its groups: group 0's responses, then group 1's, and so on.
"""

from __future__ import annotations

import logging
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Any, Protocol

from rewardplane.access.caller import Usage
from rewardplane.replica.job import Part, Range, ranges_in
from rewardplane.replica.segment import (
    DETAILS,
    FAILED,
    JUDGEMENTS,
    PENDING,
    SCORED,
    WORDS,
    fault_of,
    words_of,
)
from rewardplane.rewards.types import Outcome, Reason, Score, ScoreError
from rewardplane.wire.frame import Span
from rewardplane.wire.item_errors import DEADLINE_EXECUTING, NEVER_STARTED, OWN_FAULT

from .job_waits import Wait
from .served import ServedReward
from .tracing import Trace

_log = logging.getLogger(__name__)

LEFT_OUT = 4
"""The state of an item of a member's call that is not to run: a gate does not hold, or its outcome
comes from elsewhere. No item of a client's call has it."""


PIECE_GROUPS = 512
PIECE_ITEMS = 4096
"""How much of a call is looked at in one piece, at the most: a millisecond or two."""


@dataclass(slots=True)
class Piece:
    """Items of one reward of a call, first … end - 1, and the groups that end among them."""

    served: ServedReward
    groups: range
    first: int
    end: int


class Plan(Protocol):
    """What runs calls of its own for some items of a call."""

    def expire(self) -> None:
        """The time to answer has come: those calls end with what they have."""
        ...

    def close(self) -> None:
        """The call is over: those calls are too."""
        ...


@dataclass(slots=True)
class CallOptions:
    """What a call wants and how long it waits; times are `time.monotonic()` seconds."""

    request_id: str
    label: str
    started_s: float
    answer_by_s: float
    job: str = ""
    trace_id: str = ""
    components: bool = False
    explanations: bool = False
    step_rewards: bool = False
    judgements: bool = False
    health: bool = False
    details: bool = False
    min_isolation: int = 0
    item_timeout_s: float = float("inf")
    queue_timeout_s: float = float("inf")

    @property
    def words(self) -> int:
        """What it wants of what scores say beside their numbers: `WORDS` and so on, or 0."""
        words = WORDS if self.explanations or self.step_rewards else 0
        return words | DETAILS * self.details | JUDGEMENTS * self.judgements


class Call:
    """The outcomes of one call's items.

    `data` is the serialized `ScoreRequest`, `spans[g]` where group g lies in it, `served[g]` its
    reward, `offsets[g]` the number of its first item. `on_done` is called once, when no item is
    pending any more; `on_items`, where it is set, with the numbers of items that got their outcome.
    Neither may raise: lanes call them. An item's state is set last, right before it is settled, so
    that what fails in between leaves it pending.
    """

    __slots__ = (
        "caller",
        "closed",
        "components",
        "data",
        "elapsed_us",
        "extras",
        "isolation",
        "items",
        "job",
        "n",
        "offsets",
        "on_done",
        "on_items",
        "options",
        "pending",
        "plans",
        "queue_us",
        "rewards",
        "sampled",
        "sent",
        "served",
        "spans",
        "sparse",
        "states",
        "stride",
        "trace",
        "usages",
        "waits",
    )

    def __init__(
        self,
        options: CallOptions,
        served: Sequence[ServedReward],
        sizes: Sequence[int],
        data: bytes = b"",
        spans: Sequence[Span] = (),
    ) -> None:
        self.options = options
        self.served = served
        self.data = data
        self.spans = spans
        self.offsets = [0, *accumulate(sizes)]
        n = self.n = self.offsets[-1]
        self.items: Mapping[ServedReward, int] = {}
        """How many items are for which reward; set where the call is a client's."""
        self.states = bytearray(n)
        self.rewards = array("d", bytes(8 * n))
        self.elapsed_us = array("Q", bytes(8 * n))
        # One stride for all items, so that a place follows from the item's number.
        self.stride = max(s.component_count for s in served) if options.components else 0
        self.components = array("d", bytes(8 * n * self.stride))
        self.extras: dict[int, list[Any]] = {}
        self.queue_us = array("Q", bytes(8 * len(served)))
        self.isolation = bytearray(len(served))
        """Per group the lowest level that untrusted code ran under: 1 + `Level`; 0: none ran."""
        self.pending = n
        self.closed = False
        self.job = ""
        """The job as a label of metrics."""
        self.waits: Sequence[Wait] = ()
        """The waits of its job that it is a part of."""
        self.usages: tuple[Usage, ...] = ()
        """The quotas in which the items are counted."""
        self.sent: list[Range] = []
        """What went to a replica: it may have started."""
        self.plans: list[Plan] = []
        """What runs calls of its own for some of the items."""
        self.sparse = False
        """Whether only what is pending of a group is to run."""
        self.sampled: tuple[int, list[int]] | None = None
        """A group and the bytes of its responses, where `health` looks at them."""
        self.caller = ""
        """The name of who calls; empty: nobody that is known."""
        self.trace: Trace | None = None
        """Where its spans go; None: it is not traced."""
        self.on_done: Callable[[], None] | None = None
        self.on_items: Callable[[Sequence[int]], None] | None = None

    def set(self, item: int, outcome: Outcome, names: Sequence[str]) -> None:
        """Places one outcome."""
        if type(outcome) is Score:
            self.rewards[item] = outcome.reward
            if self.stride and names:
                at = item * self.stride
                for offset, name in enumerate(names):
                    self.components[at + offset] = outcome.components[name]
            if self.options.words and (words := words_of(outcome, self.options.words)):
                self.extras[item] = words
            self.states[item] = SCORED
        elif isinstance(outcome, ScoreError):
            self.extras[item] = fault_of(outcome)
            self.states[item] = FAILED

    def spread(self, first: int, end: int, elapsed_us: int) -> None:
        """Items first … end - 1 executed together for this long."""
        share_us = elapsed_us // (end - first)
        self.elapsed_us[first:end] = array("Q", [share_us]) * (end - first)

    def settle(self, items: Sequence[int]) -> None:
        """These items have their outcome now."""
        self.pending -= len(items)
        if self.on_items is not None and items:
            self.on_items(items)
        if self.pending == 0:
            self._done()

    def _done(self) -> None:
        on_done, self.on_done = self.on_done, None
        if on_done is not None:
            on_done()

    def place_score(self, item: int, reward: float, elapsed_us: int, waited_us: int) -> None:
        """Places the score of the one item of a call, where there is nothing to it but a reward."""
        if self.closed or self.states[item]:
            return
        self.rewards[item] = reward
        self.elapsed_us[item] = elapsed_us
        self.queue_us[0] = waited_us
        self.states[item] = SCORED
        self.settle((item,))

    def place(self, part: Part, places: Sequence[Range], k: int, waited_us: int) -> None:
        """Places a part of a shard whose items stand at `places`; what has its outcome keeps it.

        `waited_us` is how long its items waited before they started.
        """
        if self.closed:
            return
        self._note_groups(places, waited_us, part.isolation)
        if PENDING in part.states or any(any(self.states[a:b]) for a, b in places):
            self._place_each(part, places, k)
            return
        at = 0
        for first, end in places:
            self._place_run(part, at, first, end, k)
            at += end - first

    def _place_run(self, part: Part, at: int, first: int, end: int, k: int) -> None:
        stop = at + end - first
        self.rewards[first:end] = array("d", part.rewards[8 * at : 8 * stop])
        self.elapsed_us[first:end] = array("Q", part.elapsed_us[8 * at : 8 * stop])
        if self.stride and part.components:
            if self.stride == k:
                width = 8 * k
                columns = array("d", part.components[width * at : width * stop])
                self.components[first * k : end * k] = columns
            else:
                self._place_components(part, range(first, end), range(at, stop), k)
        for index, extra in part.extras.items():
            if at <= index < stop:
                self.extras[first + index - at] = extra
        self.states[first:end] = part.states[at:stop]
        self.settle(range(first, end))

    def _place_each(self, part: Part, places: Sequence[Range], k: int) -> None:
        at = [item for first, end in places for item in range(first, end)]
        fresh = [
            i for i, state in enumerate(part.states) if state and self.states[at[i]] == PENDING
        ]
        rewards, elapsed_us = array("d", part.rewards), array("Q", part.elapsed_us)
        for index in fresh:
            item = at[index]
            self.rewards[item] = rewards[index]
            self.elapsed_us[item] = elapsed_us[index]
            if index in part.extras:
                self.extras[item] = part.extras[index]
        if self.stride and part.components:
            self._place_components(part, [at[i] for i in fresh], fresh, k)
        for index in fresh:
            self.states[at[index]] = part.states[index]
        self.settle([at[i] for i in fresh])

    def _place_components(
        self, part: Part, items: Iterable[int], indices: Iterable[int], k: int
    ) -> None:
        components = array("d", part.components)
        for item, index in zip(items, indices, strict=True):
            at = item * self.stride
            self.components[at : at + k] = components[index * k : index * k + k]

    def leave_out(self, first: int, end: int) -> None:
        """Items first … end - 1, which are pending, are not to run; nobody is told of them."""
        self.sparse = True
        self.states[first:end] = bytes((LEFT_OUT,)) * (end - first)
        self.pending -= end - first

    def fail(self, places: Iterable[Range], why: ScoreError) -> None:
        """Gives every pending item at `places` the same error."""
        # Place by place: what was sent twice is there twice, and has its outcome the second time.
        for first, end in chain.from_iterable(
            ranges_in(self.states, PENDING, (p,)) for p in places
        ):
            # Nobody changes an extra: all items may have the same one.
            self.extras.update(dict.fromkeys(range(first, end), fault_of(why)))
            self.states[first:end] = bytes((FAILED,)) * (end - first)
            self.settle(range(first, end))

    def failed_here(self, served: ServedReward, error: Exception) -> None:
        """By a fault of ours no more comes of a reward: its pending items get that as outcome."""
        _log.error("reward %s: %s failed", served.name, self.options.label, exc_info=error)
        if not self.closed:
            offsets = self.offsets
            groups = [group for group, one in enumerate(self.served) if one is served]
            self.fail([(offsets[group], offsets[group + 1]) for group in groups], OWN_FAULT)

    def expire(self) -> None:
        """The time to answer has come; what has no outcome is an error."""
        for plan in self.plans:
            if not self.closed:
                try:
                    plan.expire()
                except Exception:  # noqa: BLE001 - our fault; what it leaves fails below
                    _log.exception("%s could not be told that its time is over", self.options.label)
        if not self.closed:
            self.fail(self.sent, DEADLINE_EXECUTING)
            self.fail([(0, self.n)], NEVER_STARTED)

    def close(self) -> None:
        """Nothing is placed any more; the request is forgotten."""
        self.closed = True
        self.on_done = self.on_items = None
        self.data = b""
        if self.plans:
            for plan in self.plans:
                try:
                    plan.close()
                except Exception:  # noqa: BLE001 - our fault, not the call's: it has its outcomes
                    _log.exception("%s could not be closed", self.options.label)

    def _note_groups(self, places: Iterable[Range], waited_us: int, isolation: int) -> None:
        for first, end in places:
            group = bisect_right(self.offsets, first) - 1
            while group < len(self.served) and self.offsets[group] < end:
                self.queue_us[group] = max(self.queue_us[group], waited_us)
                if isolation:
                    self.isolation[group] = min(self.isolation[group] or isolation, isolation)
                group += 1

    def pieces(self) -> Iterator[Piece]:
        """All items, in pieces of one reward that are soon looked at."""
        offsets, served = self.offsets, self.served
        group = 0
        while group < len(served):
            of, begin, first = served[group], group, offsets[group]
            while offsets[group + 1] - first > PIECE_ITEMS:  # a group that is itself too large
                yield Piece(of, range(group, group), first, first + PIECE_ITEMS)
                first += PIECE_ITEMS
            group += 1
            while (
                group < len(served)
                and served[group] is of
                and group - begin < PIECE_GROUPS
                and offsets[group + 1] - first <= PIECE_ITEMS
            ):
                group += 1
            yield Piece(of, range(begin, group), first, offsets[group])

    def reasons(self, first: int = 0, end: int | None = None) -> dict[Reason, int]:
        """How many of the items first … end - 1 failed for which reason; of all, by default."""
        counts: dict[Reason, int] = {}
        stop = self.n if end is None else end
        at = self.states.find(FAILED, first, stop)
        while at >= 0:
            reason = Reason(self.extras[at][0])
            counts[reason] = counts.get(reason, 0) + 1
            at = self.states.find(FAILED, at + 1, stop)
        return counts
