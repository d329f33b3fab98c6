"""A shard on the gateway's side: items of one call and one reward that travel together."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rewardplane.replica.job import Part, Range
from rewardplane.replica.segment import PENDING
from rewardplane.v1 import reward_service_pb2 as pb

if TYPE_CHECKING:
    from .call import Call
    from .served import Bound

TARGET_BYTES = 2**20
TARGET_COST_S = 0.05
MAX_ITEMS = 4096


@dataclass(slots=True)
class Shard:
    """Whole groups, or a slice of one, of a call: `n` items.

    `groups` are serialized `rewardplane.v1.Group`s, `sizes` their numbers of responses, `places`
    where the items of each stand in the call. `losses` counts the replicas lost under it.
    """

    call: Call
    bound: Bound
    groups: list[bytes]
    sizes: list[int]
    places: list[Range]
    n: int
    bytes: int
    submitted_s: float = field(default_factory=time.monotonic)
    losses: int = 0

    @property
    def dead(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.call.closed

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
        return min(self.call.ask.item_timeout_s, self.bound.settings.timeout_s)

    @property
    def start_by_s(self) -> float:
        """When (`time.monotonic()`) its last item must have started; a retry has waited already."""
        if self.losses:
            return self.call.ask.answer_by_s
        queue_s = min(self.call.ask.queue_timeout_s, self.bound.settings.queue_timeout_s)
        return min(self.call.ask.answer_by_s, self.submitted_s + queue_s)

    def deliver(self, part: Part, waited_us: int) -> None:
        """Places a part of the outcomes in the call."""
        self.call.place(part, self.places, self.bound.component_count, waited_us)

    def split(self) -> Iterator[Shard]:
        """A shard for each pending item, or, of a group that must stay whole, for each group."""
        for g, (first, end) in enumerate(self.places):
            pending = [i for i in range(first, end) if self.call.states[i] == PENDING]
            if not pending:
                continue
            if self.bound.whole_group or len(self.groups) == self.n:
                yield self._part([self.groups[g]], [self.sizes[g]], [(first, end)])
                continue
            group = pb.Group.FromString(self.groups[g])
            for item in pending:
                one = pb.Group(example=group.example, responses=[group.responses[item - first]])
                yield self._part([one.SerializeToString()], [1], [(item, item + 1)])

    def _part(self, groups: list[bytes], sizes: list[int], places: list[Range]) -> Shard:
        call, bound, size = self.call, self.bound, sum(map(len, groups))
        n, since_s = sum(sizes), self.submitted_s
        return Shard(call, bound, groups, sizes, places, n, size, since_s, self.losses)


def shards_of(
    call: Call, bound: Bound, groups: Sequence[tuple[int, pb.Group]], item_s: float
) -> Iterator[Shard]:
    """Cuts a reward's groups, given with their indices, into shards of about 50 ms of work.

    `item_s` is the measured cost of one item. A group that must stay whole is never cut.
    """
    room = max(1, min(MAX_ITEMS, int(TARGET_COST_S / max(item_s, 1e-9))))
    shard = Shard(call, bound, [], [], [], 0, 0)
    for index, group in groups:
        first, end = call.offsets[index], call.offsets[index + 1]
        data = group.SerializeToString()
        size = end - first
        step = size if bound.whole_group else _slice(size, len(data), room)
        for begin in range(0, size, step):
            stop = min(begin + step, size)
            if step < size:
                responses = group.responses[begin:stop]
                data = pb.Group(example=group.example, responses=responses).SerializeToString()
            full = shard.n + stop - begin > room or shard.bytes + len(data) > TARGET_BYTES
            if shard.groups and full:
                yield shard
                shard = Shard(call, bound, [], [], [], 0, 0)
            shard.groups.append(data)
            shard.sizes.append(stop - begin)
            shard.places.append((first + begin, first + stop))
            shard.n += stop - begin
            shard.bytes += len(data)
    if shard.groups:
        yield shard


def _slice(size: int, data_bytes: int, room: int) -> int:
    """How many responses of a group of `size` and `data_bytes` go together."""
    by_bytes = max(1, size * TARGET_BYTES // max(1, data_bytes))
    return max(1, min(size, room, by_bytes))
