"""What a lane sends to a replica: shards that go together, as one job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rewardplane.replica.work import Data

from .shard import Shard


def message_of(job: Sequence[Shard], now_s: float) -> tuple[Any, ...]:
    """The shards of a job as one, as a replica gets it; the most patient shard sets the times."""
    data: list[Data] = []
    ranges: list[tuple[int, int]] = []
    deadline_s = start_s = 0.0
    at = 0
    for shard in job:
        data += shard.data()
        if shard.losses or shard.call.sparse:
            ranges += [(first + at, end + at) for first, end in shard.pending]
        elif ranges and ranges[-1][1] == at:
            ranges[-1] = ranges[-1][0], at + shard.n
        else:
            ranges.append((at, at + shard.n))
        at += shard.n
        shard.call.sent += shard.places
        deadline_s = max(deadline_s, shard.call.options.answer_by_s - now_s)
        start_s = max(start_s, shard.start_by_s - now_s)
    label = job[0].call.options.label + (f" and {len(job) - 1} more" if len(job) > 1 else "")
    words = 0
    for shard in job:
        words |= shard.call.options.words
    start_s = min(start_s, deadline_s)
    return data, at, ranges, job[0].timeout_s, deadline_s, start_s, label, words
