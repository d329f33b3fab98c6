"""What becomes of the items of an attempt that is over: told, run again, or failed."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from rewardplane.wire.item_errors import (
    DEADLINE_EXECUTING,
    MEMORY_EXIT,
    died,
    timed_out,
    unavailable,
)

from .attempt import Attempt, Ending
from .job import Job, Range
from .segment import RUNNING

_log = logging.getLogger(__name__)

MAX_FRUITLESS = 3
"""How often a worker may end before it starts anything of a job."""
MAX_LOSSES = 2
"""How often the workers of a job may be lost before it is given up."""
_LOST = "the worker processes were lost again and again with the process that forks them"
MAX_RUNS = 4
"""How often a call may run beside others that end its process; after that it runs alone."""


@dataclass(slots=True)
class Left:
    """What is left to do of an attempt."""

    together: list[Range] = field(default_factory=list[Range])
    """Items to go on with."""
    alone: list[Range] = field(default_factory=list[Range])
    """Calls, each for a process that nothing else shares: it will be known whose doing it was."""


@dataclass(slots=True, frozen=True)
class Blame:
    """Finds who is to blame. `splits`: the items of one call may be run one by one instead."""

    is_async: bool
    splits: bool
    memory_limit_bytes: int
    async_grace_s: float

    def limit_s(self, job: Job) -> float:
        """After how long a call is taken for one that does not come back."""
        return job.timeout_s + (self.async_grace_s if self.is_async else 0.0)

    def what_is_left(self, attempt: Attempt, ending: Ending) -> Left:
        """Tells what ended and decides on the rest. The worker is no more, but for DONE."""
        job, left = attempt.job, Left()
        for unit in attempt.exhausted():
            # Others may have taken the memory, or left it taken.
            apart = self._apart(unit)
            if len(apart) > 1 or not attempt.is_alone(unit):
                left.alone += apart
                job.note_run(unit)
        attempt.tell(without=left.alone)
        pending, running = attempt.pending(), attempt.items(RUNNING)
        if ending is Ending.DEADLINE:
            job.fail(running, DEADLINE_EXECUTING)
            left.together = job.expire(pending)
            return left
        if ending is Ending.DIED:
            # Where something of another job ran, that is to blame.
            if attempt.worker.lost and not attempt.worker.overran:
                # Lost with its fork server or its replica: no item's doing, so that all run again.
                job.losses += 1
                left.together = running + pending
                if job.losses > MAX_LOSSES:
                    job.fail(left.together, unavailable(_LOST))
                    left.together = []
                return left
            nobodys = not attempt.worker.running_at_death and attempt.nothing_ended()
            job.fruitless = job.fruitless + 1 if nobodys else 0
            if job.fruitless >= MAX_FRUITLESS:
                worker = attempt.worker
                job.fail(
                    pending, died(worker.exit_code, worker.peak_bytes, self.memory_limit_bytes)
                )
                return left
        for unit in attempt.units(running):
            self._settle(attempt, unit, left)
        left.together += pending
        return left

    def _settle(self, attempt: Attempt, unit: Range, left: Left) -> None:
        """Gives a call that did not come back its outcome or another try."""
        job, worker = attempt.job, attempt.worker
        job.note_run(unit)
        if not attempt.is_to_blame(unit, is_async=self.is_async, limit_s=self.limit_s(job)):
            known = worker.stepping_at_death or worker.overran
            again = left.together if known and job.runs[unit[0]] < MAX_RUNS else left.alone
            again.append(unit)
        elif len(self._apart(unit)) > 1:
            left.together += self._apart(unit)
        elif worker.exit_code == MEMORY_EXIT and not attempt.is_alone(unit):
            left.alone.append(unit)
        else:
            why = (
                timed_out(job.timeout_s)
                if worker.overran
                else died(worker.exit_code, worker.peak_bytes, self.memory_limit_bytes)
            )
            _log.warning("%s: %s (%s)", job.label, why.message, why.reason.name)
            job.fail([unit], why, attempt.elapsed_us(unit))

    def _apart(self, unit: Range) -> list[Range]:
        first, end = unit
        return [(index, index + 1) for index in range(first, end)] if self.splits else [unit]
