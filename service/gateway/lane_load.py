"""The load of one lane, from the shards that wait and run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import floor, frexp, ldexp

from rewardplane.replica.segment import PENDING

from .breath import Steps
from .call import Call
from .load import JobLoad, Load, by_deadline
from .shard import Shard

PIECE = 256
"""Shards and calls that are looked at without a pause."""
MAX_JOBS = 64
OTHERS = "\0others"
"""Those after the first `MAX_JOBS`."""

TELLING = 40
"""Items that tell what the next ones take; those of fewer differ by what else the host does."""
MOST, LEAST = 0.3, 0.05
"""What a new measurement may count beside those before it."""
OUTLIER = 10
"""So many times as much as before is believed at once: one that took for ever says little."""

Waiting = tuple[Call, int, float]
"""What waits of a call: how many items, and since when."""


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


def learnt(item_s: float, measured: int, mean_s: float, items: int) -> float:
    """What an item takes, after `items` took `mean_s` each.

    `item_s` is what was known before, from `measured` items: it is a guess where that is 0. All in
    seconds.
    """
    if measured:
        mean_s = min(mean_s, OUTLIER * item_s)
    share = min(MOST, max(LEAST, items / min(TELLING, measured + items)))
    return max(1e-7, (1 - share) * item_s + share * mean_s)


def looking(
    waiting: Iterable[Waiting],
    running: Callable[[], Iterable[Shard]],
    arrivals: Arrivals,
    item_s: float,
    side_by_side: int,
    now_s: float,
) -> Steps[Load]:
    """The load of a lane, as the result of the steps; `item_s` is an item's share of a replica.

    `running` is asked when all that waits has been looked at: what a replica took in a pause is
    among them.
    """
    items: dict[Call, int] = {}
    since_s = now_s
    count_waiting = 0
    for number, (call, count, submitted_s) in enumerate(waiting):
        if number % PIECE == PIECE - 1:
            yield
        if count and not call.closed:
            items[call] = items.get(call, 0) + count
            count_waiting += count
            since_s = min(since_s, submitted_s)
    for number, shard in enumerate(running()):
        if number % PIECE == PIECE - 1:
            yield
        call = shard.call
        if not call.closed:
            left = sum(call.states.count(PENDING, first, end) for first, end in shard.places)
            if left:
                # Not twice what began to run in a pause.
                items[call] = min(items.get(call, 0) + left, call.pending)
                since_s = min(since_s, shard.submitted_s)
    by_job = dict.fromkeys(arrivals.came, 0)
    by_due: dict[float, int] = {}
    for number, (call, count) in enumerate(items.items()):
        if number % PIECE == PIECE - 1:
            yield
        job = call.options.job if call.options.job in by_job else OTHERS
        by_job[job] = by_job.get(job, 0) + count
        due_s = _rounded(call.options.answer_by_s - now_s)
        by_due[due_s] = by_due.get(due_s, 0) + count
    jobs = {
        job: JobLoad(count * item_s, came[0], came[1] / side_by_side)
        for job, count in by_job.items()
        for came in (arrivals.came.get(job, (0.0, 0.0)),)
    }
    total = sum(by_job.values())
    return Load(
        total * item_s,
        count_waiting * item_s,
        now_s - since_s if items else 0.0,
        total / side_by_side,
        by_deadline((due_s, count * item_s) for due_s, count in by_due.items()),
        jobs,
    )


def _rounded(left_s: float) -> float:
    """A time that is left, rounded down by a 256th at most: of many calls, few are left to sort."""
    mantissa, exponent = frexp(left_s)
    return ldexp(floor(mantissa * 512), exponent - 9)
