"""What a reward's work amounts to on a gateway, for who decides on the number of its replicas.

Work is told in seconds of one replica: what one replica alone would need for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain

MAX_DUE = 32
"""Deadlines that are told apart."""


@dataclass(frozen=True, slots=True)
class JobLoad:
    """What one job has of it. `came_s`: all the work that came since the lane was made."""

    work_s: float = 0.0
    came_s: float = 0.0
    came_at_once: float = 0.0
    """The replicas that all which came could occupy: its items, by how many one runs at once."""


@dataclass(frozen=True, slots=True)
class Load:
    """What waits and runs. `due`: seconds until a deadline, and the work until then; sorted.

    `oldest_s` is how long ago the oldest batch came that is not over; 0: there is none.
    `at_once` is how many replicas could work at it at the same time.
    """

    work_s: float = 0.0
    waiting_s: float = 0.0
    oldest_s: float = 0.0
    at_once: float = 0.0
    due: tuple[tuple[float, float], ...] = ()
    jobs: Mapping[str, JobLoad] = field(default_factory=dict[str, JobLoad])


def merged(loads: Iterable[Load]) -> Load:
    """The loads of several lanes as one."""
    found = list(loads)
    if len(found) == 1:
        return found[0]
    jobs: dict[str, JobLoad] = {}
    for load in found:
        for name, job in load.jobs.items():
            of = jobs.get(name, JobLoad())
            jobs[name] = JobLoad(
                of.work_s + job.work_s,
                of.came_s + job.came_s,
                of.came_at_once + job.came_at_once,
            )
    return Load(
        sum(load.work_s for load in found),
        sum(load.waiting_s for load in found),
        max((load.oldest_s for load in found), default=0.0),
        sum(load.at_once for load in found),
        by_deadline(chain.from_iterable(load.due for load in found)),
        jobs,
    )


def by_deadline(work: Iterable[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Work by deadline, sorted; where they are many, several together under the earliest."""
    sorted_work = sorted(work)
    step = -(-len(sorted_work) // MAX_DUE)
    if step <= 1:
        return tuple(sorted_work)
    starts = range(0, len(sorted_work), step)
    return tuple(
        (sorted_work[at][0], sum(s for _left_s, s in sorted_work[at : at + step])) for at in starts
    )
