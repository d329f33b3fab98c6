"""How many replicas: the policy as a function, without Ray."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from rewardplane.cluster.scaling import MIN_GAPS, Bounds, Decision, History, decide
from rewardplane.gateway.load import JobLoad, Load

BOUNDS = Bounds(0, 16, idle_s=30.0)


def load(
    work_s: float, *, items: float = 1000, oldest_s: float = 0.5, due_s: float = 300.0
) -> Load:
    """Work of one job that has just come, or is there already."""
    if not work_s:
        return Load()
    jobs = {"job": JobLoad(work_s, work_s, items)}
    return Load(work_s, work_s, oldest_s, items, ((due_s, work_s),), jobs)


@dataclass
class Rig:
    """A policy that is asked twice a second, with replicas that start in `start_s`."""

    bounds: Bounds = BOUNDS
    start_s: float = 3.0
    now_s: float = 0.0
    up: int = 0
    history: History = field(default_factory=lambda: History(3.0))
    starting: list[float] = field(default_factory=list[float])
    came: JobLoad = field(default_factory=JobLoad)

    def tick(self, load: Load, seconds: float = 0.5) -> Decision:
        """Decides, and lets time pass."""
        self.history.note_load(load, self.now_s)
        decision = decide(load, self.history, self.bounds, self.up, self.now_s)
        self.history.note_wanted(decision, self.up, self.now_s)
        there = self.up + len(self.starting)
        if decision.replicas > there:
            self.starting += [self.now_s + self.start_s] * (decision.replicas - there)
        elif decision.replicas < there:
            self.starting = self.starting[: max(0, decision.replicas - self.up)]
            self.up = min(self.up, decision.replicas)
        self.now_s += seconds
        self.up += sum(at_s <= self.now_s for at_s in self.starting)
        self.starting = [at_s for at_s in self.starting if at_s > self.now_s]
        return decision

    def burst(self, work_s: float) -> tuple[int, float]:
        """Work that comes at once, to its end: how many were up at first, and how long it took."""
        found, begin_s = self.up, self.now_s
        self.came = JobLoad(0, self.came.came_s + work_s, self.came.came_at_once + 1000)
        while work_s > 0:
            job = JobLoad(work_s, self.came.came_s, self.came.came_at_once)
            age_s = self.now_s - begin_s + 0.1
            self.tick(Load(work_s, work_s, age_s, 1000, ((300.0, work_s),), {"job": job}))
            work_s -= 0.5 * self.up
        return found, self.now_s - begin_s

    def idle(self, seconds: float) -> list[int]:
        """Nothing to do for so long: how many were up, each half second."""
        seen: list[int] = []
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            self.tick(Load(jobs={"job": self.came}))
            seen.append(self.up)
        return seen


def once(work: Load, bounds: Bounds = BOUNDS, up: int = 1) -> int:
    """What is decided upon work that comes out of nothing."""
    history = History(3.0)
    history.note_load(work, 0.0)
    return decide(work, history, bounds, up, 0.0).replicas


def test_no_work_wants_the_least() -> None:
    assert once(load(0)) == 0
    assert once(load(0), Bounds(2, 16)) == 2


def test_any_work_wants_one() -> None:
    assert once(load(0.001), up=0) == 1
    assert once(load(2.0), up=4) == 1, "started ones would come too late for it"


def test_a_backlog_wants_as_many_as_end_it_soon() -> None:
    assert once(load(60.0)) == 16
    assert 5 <= once(load(8.0)) <= 8


def test_no_more_are_wanted_than_there_are_items() -> None:
    assert once(load(60.0, items=3)) == 3
    assert once(load(60.0, items=0.4), up=0) == 1


def test_deadlines_are_met_the_earliest_first() -> None:
    history = History(3.0)
    urgent = Load(50.0, 50.0, 1.0, 1000, ((8.0, 20.0), (300.0, 30.0)), {})
    relaxed = Load(50.0, 50.0, 1.0, 1000, ((290.0, 20.0), (300.0, 30.0)), {})
    up = 20  # no backlog that could not wait
    assert decide(urgent, history, Bounds(0, 99), 1, 0.0).needed >= 4
    assert decide(relaxed, history, Bounds(0, 99), up, 0.0).needed == 1


def test_never_down_while_a_batch_waits_or_runs() -> None:
    rig = Rig()
    rig.burst(2.0)
    rig.idle(40)
    begin_s, work_s, seen = rig.now_s, 100.0, [0]
    while work_s > 0.01:  # a tail: the last items take for ever
        age_s = rig.now_s - begin_s + 0.1
        rig.tick(
            Load(work_s, work_s, age_s, 1000, ((300.0, work_s),), {"job": JobLoad(work_s, 102)})
        )
        work_s = work_s - 8 if work_s > 8 else work_s * 0.9
        assert rig.up >= seen[-1]
        seen.append(rig.up)
    assert seen[-1] >= 8
    rig.came = JobLoad(0, 102, 0)
    assert rig.idle(60)[-1] == 0


def test_bursts_are_expected_once_they_are_known() -> None:
    rig = Rig()
    for _ in range(MIN_GAPS + 3):
        rig.burst(30.0)
        rig.idle(50)
    for _ in range(5):
        found, took_s = rig.burst(30.0)
        assert found == 16
        assert took_s <= 2.5
        seen = rig.idle(50)
        assert min(seen) == 0, "none are kept between"
        assert seen.count(0) >= 0.6 * len(seen)


def test_a_job_that_ends_is_not_waited_for() -> None:
    rig = Rig()
    for _ in range(6):
        rig.burst(30.0)
        rig.idle(50)
    rig.burst(30.0)
    assert not any(rig.idle(600)[140:])


def test_work_that_comes_all_the_time_keeps_what_it_needs() -> None:
    rig = Rig(up=1, bounds=Bounds(1, 16))
    came_s = work_s = 0.0
    counts: list[int] = []
    for _ in range(1200):  # 3 replicas' work, in calls of a second
        came_s, work_s = came_s + 1.5, work_s + 1.5
        job = JobLoad(work_s, came_s, came_s)
        rig.tick(Load(work_s, work_s, 1.0, max(1.0, work_s), ((300.0, work_s),), {"job": job}))
        work_s = max(0.2, work_s - 0.5 * rig.up)
        counts.append(rig.up)
    assert min(counts[300:]) >= 3
    assert max(counts[300:]) <= 8


@given(
    st.lists(st.tuples(st.floats(0, 500), st.floats(0, 100), st.floats(0.1, 100)), max_size=30),
    st.integers(0, 4),
    st.integers(4, 9),
)
@settings(deadline=None)
def test_it_stays_within_its_bounds(
    told: list[tuple[float, float, float]], least: int, most: int
) -> None:
    history, bounds, now_s, came_s = History(3.0), Bounds(least, most), 0.0, 0.0
    for work_s, oldest_s, step_s in told:
        now_s += step_s
        came_s += work_s
        job = JobLoad(work_s, came_s, came_s)
        work = Load(work_s, 0.0, oldest_s, work_s, ((step_s, work_s),), {"job": job})
        history.note_load(work, now_s)
        decision = decide(work, history, bounds, least, now_s)
        assert least <= decision.replicas <= most
        assert decision.replicas >= 1 or not work_s
        history.note_wanted(decision, least, now_s)
