"""Some groups of a call as a call of their own: what a composite asks its members for.

A member's call holds the same bytes as its parent. Its items are numbered through the groups that
it has; `Layout` says where they stand in the parent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rewardplane.replica.job import Range
from rewardplane.v1 import frame_pb2 as frames
from rewardplane.wire.frame import Span

from .call import Call, CallOptions
from .served import ServedReward

Groups = Sequence[tuple[int, frames.GroupFrame]]


class Layout:
    """Where the items of some groups stand, in a call of their own and in its parent."""

    __slots__ = ("frames", "groups", "is_all", "offsets", "parent", "sizes", "spans")

    def __init__(self, parent: Call, groups: Groups) -> None:
        self.parent = parent
        self.groups = [index for index, _frame in groups]
        """The parent's numbers of the groups."""
        self.frames = [frame for _index, frame in groups]
        self.is_all = len(groups) == len(parent.served)
        """All groups of the parent: items have the same numbers there."""
        spans: Sequence[Span] = parent.spans
        offsets = parent.offsets
        self.spans = spans if self.is_all else [spans[index] for index in self.groups]
        self.sizes = [offsets[index + 1] - offsets[index] for index in self.groups]
        self.offsets = [0]
        for size in self.sizes:
            self.offsets.append(self.offsets[-1] + size)

    def call(self, options: CallOptions, served: ServedReward) -> Call:
        """A call of these groups to one reward."""
        parent = self.parent
        call = Call(options, [served] * len(self.groups), self.sizes, parent.data, self.spans)
        call.trace = parent.trace
        return call

    def in_parent(self, item: int, group: int) -> int:
        """The number in the parent of an item of local group `group`."""
        if self.is_all:
            return item
        return self.parent.offsets[self.groups[group]] + item - self.offsets[group]

    def with_frames(self, groups: Sequence[int] | None = None) -> Groups:
        """These local groups, all by default, each with its frame."""
        chosen = range(len(self.frames)) if groups is None else groups
        return [(group, self.frames[group]) for group in chosen]

    def runs(self, groups: Sequence[int]) -> Iterator[tuple[Range, Range]]:
        """Local items of these groups with their places in the parent, in runs as long as can be.

        `groups` rise.
        """
        at = 0
        while at < len(groups):
            first = last = groups[at]
            at += 1
            while self.is_all and at < len(groups) and groups[at] == last + 1:
                last += 1
                at += 1
            begin, end = self.offsets[first], self.offsets[last + 1]
            place = self.in_parent(begin, first)
            yield (begin, end), (place, place + end - begin)
