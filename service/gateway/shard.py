"""A shard on the gateway's side: items of one call and one reward that travel together."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from rewardplane.replica.job import Part, Range
from rewardplane.replica.segment import PENDING
from rewardplane.replica.work import Data
from rewardplane.v1 import frame_pb2 as frames
from rewardplane.wire.frame import Span, group_cuts, part_of

from .call import Call
from .served import ServedReward

TARGET_BYTES = 2**20
TARGET_COST_S = 0.05
GRAIN = 10
"""Parts of that which whole groups are cut into: a lane joins them to the size that balances."""
MAX_ITEMS = 4096
MAX_SLICES = 64
"""Of a group whose example is larger than its responses: each slice carries the example again."""


@dataclass(slots=True)
class Shard:
    """Whole groups, or a slice of one, of a call: `n` items, `bytes` in size.

    `places` are the items in the call. `groups` are the runs of whole groups that they make up;
    none: they are a slice of one group. The bytes are taken from the call when the shard is sent.
    `losses` counts the replicas lost under it.
    """

    call: Call
    served: ServedReward
    groups: list[Range]
    places: list[Range]
    n: int
    bytes: int
    submitted_s: float = field(default_factory=time.monotonic)
    losses: int = 0
    example: Span = (0, 0)
    responses: Span = (0, 0)
    """Of a slice: where its example and its responses lie in the request."""
    expected_s: float = 0.0
    """How long it was to wait when it was submitted, by the measured cost of what was before it."""

    @property
    def dead(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.call.closed

    def data(self) -> list[Data]:
        """The groups as a `RequestFrame`, in pieces; whole groups are views of the request."""
        call = self.call
        if not self.groups:
            return list(part_of(call.data, self.example, self.responses))
        spans, view = call.spans, memoryview(call.data)
        pieces: list[Data] = []
        for first, end in self.groups:
            begin = spans[first][0]
            at = begin
            for group in range(first, end):
                start, stop = spans[group]
                if start != at:  # another field of the request lies between
                    pieces.append(view[begin:at])
                    begin = start
                at = stop
            pieces.append(view[begin:at])
        return pieces

    @property
    def pending(self) -> list[Range]:
        """The items without an outcome, numbered within the shard."""
        ranges: list[Range] = []
        at = 0
        states = self.call.states
        for first, end in self.places:
            for item in range(first, end):
                if states[item] == PENDING:
                    if ranges and ranges[-1][1] == at:
                        ranges[-1] = (ranges[-1][0], at + 1)
                    else:
                        ranges.append((at, at + 1))
                at += 1
        return ranges

    @property
    def timeout_s(self) -> float:
        """The longest that one item may execute."""
        return min(self.call.options.item_timeout_s, self.served.settings.timeout_s)

    @property
    def start_by_s(self) -> float:
        """When (`time.monotonic()`) its last item must have started; a retry has waited already."""
        options = self.call.options
        if self.losses:
            return options.answer_by_s
        queue_s = min(options.queue_timeout_s, self.served.settings.queue_timeout_s)
        return min(options.answer_by_s, self.submitted_s + queue_s)

    def deliver(self, part: Part, waited_us: int) -> None:
        """Places a part of the outcomes in the call."""
        self.call.place(part, self.places, self.served.component_count, waited_us)

    def split(self) -> Iterator[Shard]:
        """A shard for each pending item, or, of a group that must stay whole, for each group."""
        call = self.call
        for first, end in self.places:
            item = first
            while item < end:
                group = _group_of(call, item)
                whole = call.offsets[group], call.offsets[group + 1]
                if self.served.whole_group:
                    if PENDING in call.states[whole[0] : whole[1]]:
                        yield self._part([(group, group + 1)], whole)
                    item = whole[1]
                    continue
                if call.states[item] == PENDING:
                    groups = [(group, group + 1)] if whole == (item, item + 1) else []
                    yield self._part(groups, (item, item + 1))
                item += 1

    def _part(self, groups: list[Range], place: Range) -> Shard:
        n = place[1] - place[0]
        size = self.bytes * n // self.n
        part = Shard(self.call, self.served, groups, [place], n, size, self.submitted_s)
        part.losses = self.losses
        if not groups:
            group = _group_of(self.call, place[0])
            at = place[0] - self.call.offsets[group]
            # Only what took two replicas down is cut so: no need to be quick.
            part.example, cuts = group_cuts(self.call.data, self.call.spans[group], 1)
            part.responses = cuts[at], cuts[at + n]
        return part


def shards_of(
    call: Call,
    served: ServedReward,
    groups: Iterable[tuple[int, frames.GroupFrame]],
    item_s: float,
) -> Iterator[Shard]:
    """Cuts a reward's groups, given with their indices, into shards of about 5 ms of work.

    `item_s` is the measured cost of one item. A group is cut where it takes 50 ms or more, and
    never where it must stay whole.
    """
    room = max(1, min(MAX_ITEMS, int(TARGET_COST_S / max(item_s, 1e-9))))
    grain = max(1, min(MAX_ITEMS, int(TARGET_COST_S / GRAIN / max(item_s, 1e-9))))
    now_s = time.monotonic()
    shard = Shard(call, served, [], [], 0, 0, now_s)
    for index, group in groups:
        first, end = call.offsets[index], call.offsets[index + 1]
        begin, stop = call.spans[index]
        size, data_bytes = end - first, stop - begin
        step = size if served.whole_group else _slice(size, data_bytes, room, group)
        if step < size:
            if shard.n:
                yield shard
                shard = Shard(call, served, [], [], 0, 0, now_s)
            example, cuts = group_cuts(call.data, call.spans[index], step)
            for at, responses in zip(range(first, end, step), pairwise(cuts), strict=True):
                place = at, min(at + step, end)
                part_bytes = example[1] - example[0] + responses[1] - responses[0]
                part = Shard(call, served, [], [place], place[1] - at, part_bytes, now_s)
                part.example, part.responses = example, responses
                yield part
            continue
        if shard.n and (shard.n + size > grain or shard.bytes + data_bytes > TARGET_BYTES):
            yield shard
            shard = Shard(call, served, [], [], 0, 0, now_s)
        if shard.groups and shard.groups[-1][1] == index:
            shard.groups[-1] = (shard.groups[-1][0], index + 1)
            shard.places[-1] = (shard.places[-1][0], end)
        else:
            shard.groups.append((index, index + 1))
            shard.places.append((first, end))
        shard.n += size
        shard.bytes += data_bytes
    if shard.n:
        yield shard


def _slice(size: int, data_bytes: int, room: int, group: frames.GroupFrame) -> int:
    """How many responses of a group of `size` and `data_bytes` go together."""
    if size <= room and data_bytes <= TARGET_BYTES:
        return size
    example_bytes = len(group.example)
    by_bytes = size * TARGET_BYTES // max(1, data_bytes - example_bytes)
    step = max(1, min(size, room, by_bytes))
    if example_bytes > TARGET_BYTES:
        step = max(step, -(-size // MAX_SLICES))
    return step


def _group_of(call: Call, item: int) -> int:
    return bisect_right(call.offsets, item) - 1
