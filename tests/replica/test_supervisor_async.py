"""Async rewards: many calls side by side in one process, and still nobody pays for a neighbour."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from rewardplane.replica.replica import Pool
from rewardplane.rewards.types import ScoreError

from ..support.rig import executions, groups_of, poison, pool_of, rewards, run, run_timed

pytestmark = pytest.mark.asyncio(loop_scope="module")


def _shared(name: str) -> Any:
    @pytest_asyncio.fixture(scope="module", loop_scope="module", name=name)
    async def shared() -> AsyncIterator[Pool]:
        reward = poison("one_async" if name == "pool" else name, memory_limit_mb=1024)
        async with pool_of(reward) as pool:
            await pool.check_health()
            yield pool

    return shared


_pool, _group = map(_shared, ("pool", "group_async"))


async def test_sixty_four_wait_side_by_side(pool: Pool) -> None:
    texts = [f"wait 0.5 {i}" for i in range(64)]
    begin_s = time.monotonic()
    outcomes = await run(pool, groups_of(texts))
    assert rewards(outcomes) == [float(i) for i in range(64)]
    assert time.monotonic() - begin_s < 5


async def test_jobs_share_the_places() -> None:
    async with pool_of(poison("one_async", concurrency=4)) as pool:
        await pool.check_health()
        begin_s = time.monotonic()
        await asyncio.gather(*(run(pool, groups_of(["wait 0.2"] * 4)) for _ in range(3)))
        assert 0.6 <= time.monotonic() - begin_s < 2


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("never", "TIMED_OUT"),
        ("wait 60", "TIMED_OUT"),
        ("swallow", "TIMED_OUT"),
        ("cancelled", "RAISED"),
        ("cancelself", "RAISED"),
        ("later raise it", "RAISED"),
        ("systemexit", "RAISED"),
        ("keyboard", "RAISED"),
        ("nan", "INVALID_RESULT"),
    ],
)
async def test_a_bad_call_that_ends_is_an_error_of_its_own(
    pool: Pool, command: str, reason: str, tmp_path: Path
) -> None:
    texts = [*(f"wait 0.5 {i}" for i in range(5)), command, *(f"wait 0.1 {i}" for i in range(5))]
    log = tmp_path / "log"
    outcomes = rewards(await run(pool, groups_of(texts, log=log), timeout_s=1))
    assert outcomes == [0.0, 1.0, 2.0, 3.0, 4.0, reason, 0.0, 1.0, 2.0, 3.0, 4.0]
    assert set(executions(log).values()) == {1}
    assert rewards(await run(pool, groups_of(["3"]))) == [3.0]


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("hang", "TIMED_OUT"),
        ("signal SIGSTOP", "TIMED_OUT"),
        ("later hang", "TIMED_OUT"),
        ("exit 3", "CRASHED"),
        ("later exit 3", "CRASHED"),
        ("later systemexit", "CRASHED"),
        ("segfault", "CRASHED"),
        ("signal SIGKILL", "CRASHED"),
        ("inthread exit 3", "CRASHED"),
        ("stoploop", "CRASHED"),
        ("cancelall", "CRASHED"),
        ("allocate", "OUT_OF_MEMORY"),
    ],
)
async def test_only_the_culprit_pays_for_a_crash(
    pool: Pool, command: str, reason: str, tmp_path: Path
) -> None:
    texts = [*(f"wait 0.6{i} {i}" for i in range(9)), command]
    log = tmp_path / "log"
    begin_s = time.monotonic()
    outcomes = rewards(await run(pool, groups_of(texts, log=log), timeout_s=1))
    assert outcomes == [*map(float, range(9)), reason]
    assert max(executions(log).values()) <= 2
    # One time-out with its grace, one latency; or, not known who it was, four by four.
    assert time.monotonic() - begin_s < 10
    assert rewards(await run(pool, groups_of(["3"]))) == [3.0]


async def test_another_job_does_not_pay_for_a_crash(pool: Pool) -> None:
    other = asyncio.create_task(run(pool, groups_of([f"wait 1 {i}" for i in range(20)])))
    await asyncio.sleep(0.2)
    assert rewards(await run(pool, groups_of(["exit 3", "1"]))) == ["CRASHED", 1.0]
    assert rewards(await other) == [float(i) for i in range(20)]


async def test_many_crashes_among_many(pool: Pool, tmp_path: Path) -> None:
    texts = [f"later exit {i}" if i % 50 == 7 else f"wait 0.3 {i}" for i in range(300)]
    log = tmp_path / "log"
    outcomes = rewards(await run(pool, groups_of(texts, log=log), timeout_s=10))
    assert outcomes == [float(i) if i % 50 != 7 else "CRASHED" for i in range(300)]
    assert max(executions(log).values()) <= 5


async def test_memory_that_others_took_is_no_fault(pool: Pool, tmp_path: Path) -> None:
    texts = ["later leak 600", *(f"leak {300 + i}" for i in range(12))]
    log = tmp_path / "log"
    outcomes = rewards(await run(pool, groups_of(texts, log=log)))
    assert outcomes == [1.0] * 13
    assert max(executions(log).values()) <= 2


async def test_a_group_call_is_run_item_by_item_when_it_dies(
    group_async: Pool, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    groups = groups_of(["wait 0.5 1"], ["1", "exit 3", "wait 0.5 2"], ["wait 0.5 3"], log=log)
    assert rewards(await run(group_async, groups)) == [1.0, 1.0, "CRASHED", 2.0, 3.0]


@pytest.mark.parametrize(
    ("command", "reason"),
    [("raise it", "RAISED"), ("wait 60", "TIMED_OUT"), ("never", "TIMED_OUT")],
)
async def test_a_group_call_that_fails_whole_is_run_item_by_item(
    group_async: Pool, command: str, reason: str
) -> None:
    groups = groups_of(["wait 0.1 1", command, "wait 0.1 2"], ["wait 0.2 3", "4"])
    outcomes = rewards(await run(group_async, groups, timeout_s=1))
    assert outcomes == [1.0, reason, 2.0, 3.0, 4.0]


async def test_the_deadline_ends_calls_and_starts_none(pool: Pool, tmp_path: Path) -> None:
    texts = ["wait 0.2 5", "wait 60", *["wait 60"] * 70, "wait 0.1"]
    log = tmp_path / "log"
    begin_s = time.monotonic()
    outcomes = rewards(await run(pool, groups_of(texts, log=log), deadline_s=1.0, start_s=1.0))
    assert time.monotonic() - begin_s < 2.5
    assert outcomes[0] == 5.0
    assert outcomes[1:64] == ["DEADLINE"] * 63
    assert outcomes[65:] == ["QUEUE_TIMEOUT"] * 8
    assert rewards(await run(pool, groups_of(["1"]))) == [1.0]


async def test_a_stuck_loop_is_freed_though_its_job_is_over(pool: Pool) -> None:
    (pid,) = rewards(await run(pool, groups_of(["pid"])))
    outcomes = rewards(await run(pool, groups_of(["hang"]), timeout_s=1, deadline_s=0.5))
    assert outcomes == ["DEADLINE"]
    # The next job waits for the time-out of the call that holds the loop; then it has a new one.
    (other,) = rewards(await run(pool, groups_of(["pid"]), deadline_s=20))
    assert other != pid


async def test_cancelled_calls_end_and_others_go_on(pool: Pool, tmp_path: Path) -> None:
    other = asyncio.create_task(run(pool, groups_of(["wait 1.5 7", "pid"])))
    texts = ["wait 60"] * 64
    task = asyncio.create_task(run(pool, groups_of(texts)))
    await asyncio.sleep(0.5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    # All places were taken; now there are some again, in the same process.
    begin_s = time.monotonic()
    (pid,) = rewards(await run(pool, groups_of(["pid"])))
    assert time.monotonic() - begin_s < 10
    assert rewards(await other) == [7.0, pid]


async def test_what_is_done_is_told_while_the_rest_runs(pool: Pool) -> None:
    texts = ["wait 0.2", "wait 1"]
    _, times_s = await run_timed(pool, groups_of(texts))
    assert times_s[0] < times_s[1] - 0.4
    assert times_s[1] >= 1


async def test_a_process_forked_by_a_call_does_not_stay() -> None:
    async with pool_of(poison("one_async")) as pool:
        texts = ["fork", *(f"wait 0.2 {i}" for i in range(10))]
        outcomes = await run(pool, groups_of(texts))
        assert rewards(outcomes) == [1.0, *map(float, range(10))]
        assert not any(isinstance(o, ScoreError) for o in outcomes)
