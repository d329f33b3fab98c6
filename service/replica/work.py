"""What a segment's payload asks of a worker."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain

from rewardplane.v1 import frame_pb2 as frames

_HEAD = struct.Struct("<dQQ")  # time-out in s, deadline in ns, number of ranges
_RANGE = struct.Struct("<QQQ")

Data = bytes | memoryview


@dataclass(slots=True)
class Work:
    """What a segment's payload asks for. Times are `time.monotonic_ns()`.

    `data`, put one after the other, are a `RequestFrame` of the groups; `ranges` are (first, end,
    start by): items, numbered through all groups, and when they must have started.
    """

    data: Sequence[Data]
    ranges: Sequence[tuple[int, int, int]]
    timeout_s: float
    deadline_ns: int
    words: int = 0
    """What somebody wants of what scores say beside their numbers; in the segment's header."""
    size: int = field(init=False)
    """Of the payload in bytes."""

    def __post_init__(self) -> None:
        self.size = _HEAD.size + _RANGE.size * len(self.ranges) + sum(map(len, self.data))

    def write(self, memory: memoryview) -> None:
        """Writes the payload into `size` bytes of memory."""
        _HEAD.pack_into(memory, 0, self.timeout_s, self.deadline_ns, len(self.ranges))
        at = _HEAD.size
        for first_end_by in self.ranges:
            _RANGE.pack_into(memory, at, *first_end_by)
            at += _RANGE.size
        for piece in self.data:
            memory[at : at + len(piece)] = piece
            at += len(piece)

    @classmethod
    def load(cls, payload: memoryview) -> Work:
        """The work of `write`."""
        timeout_s, deadline_ns, count = _HEAD.unpack_from(payload)
        at = _HEAD.size + count * _RANGE.size
        ranges = list(_RANGE.iter_unpack(payload[_HEAD.size : at]))
        return cls([payload[at:]], ranges, timeout_s, deadline_ns)

    def is_whole(self, n: int) -> bool:
        """Whether all of n items are to run, in one go."""
        return len(self.ranges) == 1 and self.ranges[0][:2] == (0, n)

    def groups(self) -> Sequence[frames.GroupFrame]:
        """The groups, their examples and responses unparsed."""
        parsed = [frames.RequestFrame.FromString(data).groups for data in self.data]  # pyright: ignore[reportArgumentType] - it takes a memoryview as well
        return parsed[0] if len(parsed) == 1 else list(chain.from_iterable(parsed))
