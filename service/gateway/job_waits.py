"""How long jobs wait for rewards: the time in which they have calls in flight, and for which one.

Of calls that overlap, each second counts once: a job that waits all the time gains one second a
second, however many calls it makes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence


class Wait:
    """The time in which at least one call is in flight, in seconds."""

    __slots__ = ("_calls", "_time")

    def __init__(self) -> None:
        self._calls = 0
        self._time: tuple[float, float | None] = 0.0, None
        """The seconds before, and since when there is a call. One value: other threads read it."""

    def begin(self, now_s: float) -> None:
        """One more call is in flight."""
        if not self._calls:
            self._time = self._time[0], now_s
        self._calls += 1

    def end(self, now_s: float) -> None:
        """One call is over."""
        self._calls -= 1
        before_s, since_s = self._time
        if not self._calls and since_s is not None:
            self._time = before_s + now_s - since_s, None

    def seconds(self, now_s: float) -> float:
        """The time so far."""
        before_s, since_s = self._time
        # A call may have begun since the reader looked at the clock. A counter never goes back.
        return before_s if since_s is None else before_s + max(0.0, now_s - since_s)


class JobWaits:
    """The waits of all jobs of a gateway; the labels of jobs are few already."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._jobs: dict[str, Wait] = {}
        self._rewards: dict[tuple[str, str], Wait] = {}

    def begin(self, job: str, rewards: Iterable[str]) -> Sequence[Wait]:
        """A call is admitted. Whoever says so gives what is returned to `end`, once."""
        now_s = self._clock()
        wait = self._jobs.get(job)
        if wait is None:
            wait = self._jobs[job] = Wait()
        wait.begin(now_s)
        waits = [wait]
        for reward in rewards:
            wait = self._rewards.get((job, reward))
            if wait is None:
                wait = self._rewards[job, reward] = Wait()
            wait.begin(now_s)
            waits.append(wait)
        return waits

    def end(self, waits: Sequence[Wait]) -> None:
        """The call is over."""
        now_s = self._clock()
        for wait in waits:
            wait.end(now_s)

    def by_job(self) -> Iterator[tuple[str, float]]:
        """Each job, and how long it has waited so far, in seconds. From any thread."""
        now_s = self._clock()
        for job, wait in list(self._jobs.items()):
            yield job, wait.seconds(now_s)

    def by_reward(self) -> Iterator[tuple[str, str, float]]:
        """Each job and reward, and how long the job has waited for it, in seconds."""
        now_s = self._clock()
        for (job, reward), wait in list(self._rewards.items()):
            yield job, reward, wait.seconds(now_s)
