"""How long jobs wait: the union of their calls, over all rewards and for each."""

from __future__ import annotations

from rewardplane.gateway.job_waits import JobWaits


def test_calls_that_overlap_count_once() -> None:
    now_s = 0.0
    waits = JobWaits(lambda: now_s)
    first = waits.begin("j", ["a"])
    now_s = 2.0
    second = waits.begin("j", ["b", "c"])
    other = waits.begin("k", ["a"])
    now_s = 3.0
    waits.end(first)
    now_s = 5.0
    assert dict(waits.by_job()) == {"j": 5.0, "k": 3.0}  # those in flight count so far
    waits.end(second)
    now_s = 9.0
    waits.end(other)
    now_s = 10.0
    last = waits.begin("j", ["a"])
    now_s = 11.0
    waits.end(last)
    now_s = 20.0
    assert dict(waits.by_job()) == {"j": 6.0, "k": 7.0}
    assert {(job, reward): s for job, reward, s in waits.by_reward()} == {
        ("j", "a"): 4.0,
        ("j", "b"): 3.0,
        ("j", "c"): 3.0,
        ("k", "a"): 7.0,
    }


def test_what_was_told_never_goes_back() -> None:
    """A scrape looks at the clock before it looks at the jobs, which go on meanwhile."""
    now_s = 0.0
    waits = JobWaits(lambda: now_s)
    first = waits.begin("j", ["a"])
    now_s = 2.0
    waits.end(first)
    now_s = 5.0
    waits.begin("j", ["a"])
    now_s = 4.9
    assert dict(waits.by_job()) == {"j": 2.0}
    assert list(waits.by_reward()) == [("j", "a", 2.0)]
