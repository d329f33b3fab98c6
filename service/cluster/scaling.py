"""How many replicas a reward or a model should have: a function of its load and its history.

Work is told in seconds of one replica, times as seconds of one clock. Knows no Ray: the simulator
(`tests/load/simulate.py`) runs what Serve runs.

- **Backlog.** As many as do what waits within `haste_s`, a hundredth of the job's step; new ones
  are counted from when they could be there, and never more than there are items to work at.
- **Deadlines.** As many as do what is due before each deadline, the earliest first.
- **Arrivals.** As many as do what comes all the time, and half as many more.
- **A batch is finished with what it had.** What it found, and what was needed at any time since the
  oldest batch came, stays until that one is over.
- **History.** Trainers come in bursts. The time from the end of a job's burst to its next one
  repeats itself: replicas are started ahead of it and stopped between, where that is long enough to
  start others. (Windows of pre-warming and of keeping, after Shahrad et al., "Serverless in the
  Wild", ATC '20; scaling by the history of a job's batches, after DistRS, NSDI '26.)
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from rewardplane.gateway.load import JobLoad, Load

HASTE = 0.01
"""The share of a step that its rewards may take longer for want of replicas."""
MIN_HASTE_S, FIRST_HASTE_S, MAX_HASTE_S = 0.25, 1.0, 30.0
MIN_GAPS = 3
"""Bursts of a job after which its next one is expected."""
GAPS, PEAKS = 24, 4
MARGIN_S = 0.5
"""How exactly a load is known to begin or to end."""
NEWS_S = 1.5
"""How old a load may be when it is acted upon, and how long that takes."""
MAX_JOBS = 128
RATE_S, HEADROOM = 30.0, 1.5
"""Of work that comes all the time: over how long it is counted, and what it gets of that."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Between which numbers, and how long idle replicas are kept for want of a history."""

    least: int
    most: int
    idle_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Decision:
    """How many there should be, and how many of them what is there needs now."""

    replicas: int
    needed: int


@dataclass(slots=True)
class JobHistory:
    """The bursts of one job: when they came, how large they were."""

    begun_s: float
    last_s: float
    """When it had work the last time."""
    came: JobLoad = field(default_factory=JobLoad)
    arrivals: deque[tuple[float, float, float]] = field(
        default_factory=deque[tuple[float, float, float]]
    )
    peak: tuple[float, float] = (0.0, 0.0)
    """Of this burst: the most work that came within `haste_s`, and for how many replicas."""
    peaks: deque[tuple[float, float]] = field(
        default_factory=lambda: deque[tuple[float, float]](maxlen=PEAKS)
    )
    gaps: deque[float] = field(default_factory=lambda: deque[float](maxlen=GAPS))
    """From the end of a burst to the begin of the next."""
    steps: deque[float] = field(default_factory=lambda: deque[float](maxlen=GAPS))

    @property
    def haste_s(self) -> float:
        """Within what its work should be done."""
        if not self.steps:
            return FIRST_HASTE_S
        step_s = sorted(self.steps)[len(self.steps) // 2]
        return min(MAX_HASTE_S, max(MIN_HASTE_S, HASTE * step_s))

    @property
    def replicas(self) -> int:
        """How many the next burst will want."""
        return max(
            (_enough(work_s, self.haste_s, places) for work_s, places in (*self.peaks, self.peak)),
            default=0,
        )

    def window(self, lead_s: float) -> tuple[float, float] | None:
        """When its next burst comes, in seconds from the end of the last.

        The shortest span that holds as many of the last ones as need be met. A burst that finds
        nothing loses `lead_s`: so few may that steps take `HASTE` longer in the mean.
        None: all may.
        """
        gaps, n = sorted(self.gaps), len(self.gaps)
        step_s = self.haste_s / HASTE if self.steps else 0.0
        missed = HASTE * step_s / lead_s
        if missed >= 1:
            return None
        # The shortest span of past gaps holds fewer of those to come.
        count = min(n, math.ceil((1 - missed) * (n + 1)))
        spans = [(gaps[k + count - 1] - gaps[k], gaps[k]) for k in range(n - count + 1)]
        length_s, begin_s = min(spans)
        margin_s = MARGIN_S if count < n else max(MARGIN_S, length_s / n)
        return begin_s - margin_s, begin_s + length_s + margin_s


class History:
    """What is remembered of one reward: jobs' bursts, what was needed, how long a start takes."""

    def __init__(self, start_s: float = 5.0) -> None:
        self.start_s = start_s
        """How long a replica takes to start, as measured of late."""
        self.jobs: dict[str, JobHistory] = {}
        self.wanted = 0
        """What was decided last."""
        self.since_s = math.inf
        """When it was told of a load the first time."""
        self._arrivals: deque[tuple[float, float]] = deque()
        self._needed: deque[tuple[float, int]] = deque()
        """When how many were needed; each less than the one before it."""
        self._starting: tuple[float, int] | None = None

    @property
    def lead_s(self) -> float:
        """How long before they are needed replicas must be wanted."""
        return self.start_s + NEWS_S

    @property
    def rate(self) -> float:
        """The work that came in the last `RATE_S`, for each second of them."""
        return sum(came_s for _at_s, came_s in self._arrivals) / RATE_S

    def note_load(self, load: Load, now_s: float) -> None:
        """What is there now."""
        self.since_s = min(self.since_s, now_s)
        came = sum(self._note_job(name, job, now_s) for name, job in load.jobs.items())
        if came:
            self._arrivals.append((now_s, came))
        while self._arrivals and self._arrivals[0][0] < now_s - RATE_S:
            self._arrivals.popleft()

    def note_wanted(self, decision: Decision, up: int, now_s: float) -> None:
        """What was decided, and how many run."""
        self.wanted = decision.replicas
        self._note_needed(decision.needed, now_s)
        if self._starting is not None:
            since_s, had = self._starting
            if up > had:
                self.start_s = 0.7 * self.start_s + 0.3 * min(600.0, now_s - since_s)
                self._starting = None
            elif self.wanted <= had:
                self._starting = None
        elif self.wanted > up:
            self._starting = now_s, up

    def needed_since(self, since_s: float) -> int:
        """The most that were needed at any time since then."""
        for at_s, count in self._needed:
            if at_s >= since_s - NEWS_S:
                return count
        return 0

    def _note_needed(self, count: int, now_s: float) -> None:
        while self._needed and self._needed[-1][1] <= count:
            self._needed.pop()
        self._needed.append((now_s, count))

    def _note_job(self, name: str, job: JobLoad, now_s: float) -> float:
        """Notes what one job has; the work of it that came since it was noted last."""
        known = self.jobs.get(name)
        came = max(0.0, job.came_s - known.came.came_s) if known else job.came_s
        places = max(0.0, job.came_at_once - known.came.came_at_once) if known else job.came_at_once
        if not came and not job.work_s:
            if known:
                known.came = job
            return 0.0
        if known is None:
            # What its batch finds, it keeps.
            self._note_needed(self.wanted, now_s)
            while len(self.jobs) >= MAX_JOBS:
                del self.jobs[min(self.jobs, key=lambda name: self.jobs[name].last_s)]
            known = self.jobs[name] = JobHistory(now_s, now_s)
        elif now_s - known.last_s > self.start_s + 1.0:
            # In less no replica can be stopped and another started: that is one burst.
            known.gaps.append(now_s - known.last_s)
            known.steps.append(now_s - known.begun_s)
            known.peaks.append(known.peak)
            known.begun_s, known.peak = now_s, (0.0, 0.0)
            known.arrivals.clear()
            self._note_needed(self.wanted, now_s)
        known.came = job
        known.last_s = now_s
        if came:
            known.arrivals.append((now_s, came, places))
            oldest_s = now_s - max(known.haste_s, NEWS_S)
            while known.arrivals[0][0] < oldest_s:
                known.arrivals.popleft()
            recent = sum(a[1] for a in known.arrivals), sum(a[2] for a in known.arrivals)
            known.peak = max(known.peak, recent)
        return came


def decide(load: Load, history: History, bounds: Bounds, up: int, now_s: float) -> Decision:
    """How many replicas there should be; `up` run now.

    Reads `history`, which has been told of this load, and changes nothing.
    """
    needed = 0.0
    if load.work_s > 0:
        for_work = max(
            _for_backlog(load, history, up),
            _for_deadlines(load, history, up),
            HEADROOM * history.rate,
        )
        needed = max(1.0, min(for_work, math.ceil(load.at_once)))
    needed = _within(needed, bounds)
    count = needed
    if load.oldest_s > 0:
        count = max(count, history.needed_since(now_s - load.oldest_s))
    if not history.jobs and now_s - history.since_s < bounds.idle_s:
        count = max(count, history.wanted)  # a new version of what others have worked with
    for job in history.jobs.values():
        count = max(count, _for_next(job, history, bounds, up, now_s))
    return Decision(_within(count, bounds), needed)


def _for_backlog(load: Load, history: History, up: int) -> float:
    """As many as do what is there in haste; new ones only what is left when they have started."""
    busy = [history.jobs[name].haste_s for name, job in load.jobs.items() if job.work_s]
    haste_s = min(busy, default=FIRST_HASTE_S)
    left_s = load.work_s - up * history.start_s
    if left_s <= 0:
        return 0.0
    return min(load.work_s / haste_s, up + left_s / haste_s)


def _for_deadlines(load: Load, history: History, up: int) -> float:
    """As many as do in time what is due, the earliest first."""
    most = work_s = 0.0
    for left_s, due_s in load.due:
        work_s += due_s
        if work_s > up * left_s:
            most = max(most, work_s / max(left_s - history.start_s, MIN_HASTE_S))
    return most


def _for_next(job: JobHistory, history: History, bounds: Bounds, up: int, now_s: float) -> int:
    """What a job's next burst will want, while it may come."""
    idle_s = now_s - job.last_s
    if not idle_s:
        return 0  # it is there
    if len(job.gaps) < MIN_GAPS:
        return history.wanted if idle_s < bounds.idle_s else 0
    # What runs is not stopped where it would have to be started again at once.
    early_s = history.start_s if up > bounds.least else 0.0
    window = job.window(history.lead_s)
    if window is not None and window[0] - history.lead_s - early_s <= idle_s <= window[1]:
        return job.replicas
    return 0


def _enough(work_s: float, haste_s: float, places: float) -> int:
    """The replicas that do the work in haste, as far as there are items for them."""
    return math.ceil(min(work_s / haste_s, math.ceil(places)))


def _within(count: float, bounds: Bounds) -> int:
    return max(bounds.least, min(bounds.most, math.ceil(count)))
