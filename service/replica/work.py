"""What a segment's payload asks of a worker."""

from __future__ import annotations

import marshal
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(slots=True)
class Work:
    """What a segment's payload asks for. Times are `time.monotonic_ns()`.

    `ranges` are (first, end, start by): items of the shard and when they must have started.
    """

    groups: Sequence[bytes]
    ranges: Sequence[tuple[int, int, int]]
    timeout_s: float
    deadline_ns: int

    def dump(self) -> bytes:
        """As a payload."""
        return marshal.dumps(
            (list(self.groups), list(self.ranges), self.timeout_s, self.deadline_ns)
        )

    @classmethod
    def load(cls, payload: memoryview) -> Work:
        """The work of `dump`."""
        return cls(*marshal.loads(payload))  # noqa: S302 - the owner wrote it
