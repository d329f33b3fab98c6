"""The load of one lane, from the shards that wait and run."""

from __future__ import annotations

from collections.abc import Iterable

from rewardplane.replica.segment import PENDING

from .call import Call
from .load import JobLoad, Load, by_deadline
from .shard import Shard

MAX_JOBS = 64
OTHERS = "\0others"
"""Those after the first `MAX_JOBS`."""


class Arrivals:
    """The work that came to a lane, by job."""

    __slots__ = ("came",)

    def __init__(self) -> None:
        self.came: dict[str, list[float]] = {}

    def note(self, job: str, items: int, item_s: float) -> None:
        """So many items of a job have come, each with this share of a replica's time."""
        came = self.came.get(job)
        if came is None:
            if len(self.came) >= MAX_JOBS:
                job = OTHERS
            came = self.came.setdefault(job, [0.0, 0.0])
        came[0] += items * item_s
        came[1] += items


def load_of(
    waiting: Iterable[Shard],
    running: Iterable[Shard],
    arrivals: Arrivals,
    item_s: float,
    side_by_side: int,
    now_s: float,
) -> Load:
    """The load of a lane; `item_s` is an item's share of a replica's time."""
    items: dict[Call, int] = {}
    since_s = now_s
    count_waiting = 0
    for shard in waiting:
        if not shard.dead:
            items[shard.call] = items.get(shard.call, 0) + shard.n
            count_waiting += shard.n
            since_s = min(since_s, shard.submitted_s)
    for shard in running:
        call = shard.call
        if not call.closed:
            left = sum(call.states.count(PENDING, first, end) for first, end in shard.places)
            if left:
                items[call] = items.get(call, 0) + left
                since_s = min(since_s, shard.submitted_s)
    by_job = dict.fromkeys(arrivals.came, 0)
    for call, count in items.items():
        job = call.options.job if call.options.job in by_job else OTHERS
        by_job[job] = by_job.get(job, 0) + count
    jobs = {
        job: JobLoad(count * item_s, came[0], came[1] / side_by_side)
        for job, count in by_job.items()
        for came in (arrivals.came.get(job, (0.0, 0.0)),)
    }
    total = sum(items.values())
    due = by_deadline((call.options.answer_by_s - now_s, n * item_s) for call, n in items.items())
    at_once = total / side_by_side
    return Load(
        total * item_s,
        count_waiting * item_s,
        now_s - since_s if items else 0.0,
        at_once,
        due,
        jobs,
    )
