"""A replica's workers under rewards that hang, crash, leak, fork and lie: one item pays alone."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio
from rewardplane.replica import supervisor as crew_module
from rewardplane.replica.replica import Pool
from rewardplane.rewards.types import Reason, Score, ScoreError

from ..support.rig import executions, groups_of, poison, pool_of, rewards, run, run_timed

LIMITED = {"memory_limit_mb": 1024}

# One event loop for all: a replica takes a second to start, and most tests can share one.
pytestmark = pytest.mark.asyncio(loop_scope="module")


def _shared(name: str) -> Any:
    @pytest_asyncio.fixture(scope="module", loop_scope="module", name=f"{name}_pool")
    async def shared() -> AsyncIterator[Pool]:
        async with pool_of(poison(name, **LIMITED)) as pool:
            await pool.check_health()
            yield pool

    return shared


one_pool, group_pool, whole_pool = map(_shared, ("one", "group", "whole"))


def children(name: str = "") -> list[psutil.Process]:
    """The processes under this one."""
    return [
        p
        for p in psutil.Process().children(recursive=True)
        if p.status() != psutil.STATUS_ZOMBIE and name in p.name()
    ]


async def gone(pid: int, within_s: float) -> bool:
    """Whether a process is no more after some time."""
    until_s = time.monotonic() + within_s
    while time.monotonic() < until_s:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        await asyncio.sleep(0.02)
    return False


async def test_outcomes_come_in_order(one_pool: Pool) -> None:
    texts = [str(i / 7) for i in range(1000)]
    outcomes = await run(one_pool, groups_of(texts[:3], texts[3:4], texts[4:]))
    assert rewards(outcomes) == [i / 7 for i in range(1000)]


@pytest.mark.parametrize(
    ("command", "reason", "words"),
    [
        ("hang", Reason.TIMED_OUT, "time-out of 1 s"),
        ("power", Reason.TIMED_OUT, "time-out of 1 s"),
        ("sleep 30", Reason.TIMED_OUT, "time-out of 1 s"),
        ("signal SIGSTOP", Reason.TIMED_OUT, "time-out of 1 s"),
        ("exit 3", Reason.CRASHED, "exit code 3"),
        ("exit 0", Reason.CRASHED, "exit code 0"),
        ("segfault", Reason.CRASHED, "SIGSEGV"),
        ("abort", Reason.CRASHED, "SIGABRT"),
        ("signal SIGKILL", Reason.CRASHED, "SIGKILL"),
        ("signal SIGTERM", Reason.CRASHED, "SIGTERM"),
        ("allocate", Reason.OUT_OF_MEMORY, "memory"),
        ("systemexit", Reason.RAISED, "SystemExit"),
        ("keyboard", Reason.RAISED, "KeyboardInterrupt"),
        ("stopiteration", Reason.RAISED, "no more"),
        ("raise a b", Reason.RAISED, "ValueError: a b"),
        ("recurse", Reason.RAISED, "RecursionError"),
        ("string", Reason.INVALID_RESULT, "'one'"),
        ("nan", Reason.INVALID_RESULT, "nan"),
        ("infinite", Reason.INVALID_RESULT, "inf"),
        ("huge", Reason.INVALID_RESULT, ""),
        ("none", Reason.NOT_APPLICABLE, "None"),
    ],
)
async def test_a_poisonous_item_pays_alone(
    one_pool: Pool, command: str, reason: Reason, words: str, tmp_path: Path
) -> None:
    texts = ["1", "2", command, "3", "4"]
    begin_s = time.monotonic()
    outcomes = await run(one_pool, groups_of(texts, log=tmp_path / "log"), timeout_s=1)
    assert time.monotonic() - begin_s < 1 + 5
    poisoned = outcomes.pop(2)
    assert isinstance(poisoned, ScoreError)
    assert poisoned.reason is reason
    assert words in poisoned.message
    assert rewards(outcomes) == [1.0, 2.0, 3.0, 4.0]
    # What killed its process is not run again; what ran out of memory is, in a fresh one.
    again = 2 if reason is Reason.OUT_OF_MEMORY else 1
    expected = dict.fromkeys(texts, 1) | {command: again}
    assert executions(tmp_path / "log") == expected
    assert rewards(await run(one_pool, groups_of(["5"]))) == [5.0]


@pytest.mark.parametrize(
    "command", ["close", "closeall", "shout 5", "fork", "thread", "child 300", "words 5000"]
)
async def test_odd_habits_hurt_nobody(command: str, tmp_path: Path) -> None:
    texts = ["100", command, "200", *map(str, range(50))]
    async with pool_of(poison()) as pool:
        outcomes = await run(pool, groups_of(texts, texts, log=tmp_path / "log"), timeout_s=5)
        expected = [100.0, 200.0, *map(float, range(50))]
        half = len(texts)
        for part in (outcomes[:half], outcomes[half:]):
            odd = part.pop(1)
            assert rewards(part) == expected
            assert isinstance(odd, ScoreError) == command.startswith("words")
        assert max(executions(tmp_path / "log").values()) == 2  # each text stands twice
        # And what is left behind hurts no later shard.
        assert rewards(await run(pool, groups_of(["7"]))) == [7.0]
    async with asyncio.timeout(10):  # the kernel ends what it was told to end in a while
        while children("sleep"):
            await asyncio.sleep(0.05)


async def test_what_a_timed_out_reward_started_ends_with_it(one_pool: Pool, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    outcomes = await run(one_pool, groups_of([f"childhang 300 {note}"]), timeout_s=0.5)
    assert rewards(outcomes) == ["TIMED_OUT"]
    assert await gone(int(note.read_text()), within_s=2)


async def test_a_leak_is_paid_by_the_process_not_by_an_item(one_pool: Pool, tmp_path: Path) -> None:
    # 40 items that keep 200 MB each, where 1 GB is all there is.
    texts = [f"leak {200 + i}" for i in range(40)]
    outcomes = await run(one_pool, groups_of(texts, log=tmp_path / "log"))
    assert rewards(outcomes) == [1.0] * 40
    assert max(executions(tmp_path / "log").values()) <= 2


async def test_more_items_hang_than_may_straggle(one_pool: Pool) -> None:
    count = crew_module.MAX_STRAGGLERS + 4
    texts = [t for i in range(count) for t in ("hang", str(i))]
    outcomes, times_s = await run_timed(one_pool, groups_of(texts), timeout_s=1.2)
    assert rewards(outcomes) == [t for i in range(count) for t in ("TIMED_OUT", float(i))]
    # Half of them have to wait for the others to be killed.
    assert max(times_s) < 2 * 1.2 + 5


async def test_others_go_on_while_one_hangs(one_pool: Pool) -> None:
    texts = [*map(str, range(20)), "hang", *map(str, range(20, 200))]
    await run(one_pool, groups_of(["1"]))
    outcomes, times_s = await run_timed(one_pool, groups_of(texts), timeout_s=4)
    assert rewards(outcomes[:20] + outcomes[21:]) == [float(i) for i in range(200)]
    assert max(times_s[:20] + times_s[21:]) < 3
    assert 4 <= times_s[20] < 6


async def test_another_job_goes_on_while_one_hangs(one_pool: Pool) -> None:
    await run(one_pool, groups_of(["1"]))
    hanging = asyncio.create_task(run(one_pool, groups_of(["hang"]), timeout_s=4))
    await asyncio.sleep(0.1)
    begin_s = time.monotonic()
    assert rewards(await run(one_pool, groups_of(["2"]))) == [2.0]
    assert time.monotonic() - begin_s < 3
    assert rewards(await hanging) == ["TIMED_OUT"]


async def test_a_slow_item_that_ends_keeps_its_score_and_its_worker(one_pool: Pool) -> None:
    (first,) = rewards(await run(one_pool, groups_of(["pid"])))
    texts = ["sleep 1.5 9", "pid", "2"]
    slow, other, two = rewards(await run(one_pool, groups_of(texts), timeout_s=10))
    assert (slow, two) == (9.0, 2.0)
    assert other != first  # the rest went on in another process
    # The process of the slow one was put in reserve, not thrown away.
    assert psutil.pid_exists(int(float(first)))


async def test_a_slow_reward_spawns_no_crowd() -> None:
    """Where every item takes long, none of them stalls, once that is known."""
    async with pool_of(poison()) as pool:
        await run(pool, groups_of(["sleep 0.6"]))
        pids = rewards(await run(pool, groups_of(["pid", "sleep 0.7", "pid", "sleep 0.7", "pid"])))
        assert len({pid for pid in pids if pid != 1.0}) == 1


async def test_a_worker_killed_from_outside_loses_one_item(one_pool: Pool) -> None:
    (pid,) = rewards(await run(one_pool, groups_of(["pid"])))
    texts = [f"sleep 0.05 {i}" for i in range(30)]
    running = asyncio.create_task(run(one_pool, groups_of(texts)))
    await asyncio.sleep(0.4)
    os.kill(int(float(pid)), signal.SIGKILL)
    outcomes = rewards(await running)
    assert outcomes.count("CRASHED") == 1
    crashed = outcomes.index("CRASHED")
    assert outcomes[:crashed] + outcomes[crashed + 1 :] == [
        float(i) for i in range(30) if i != crashed
    ]


async def test_an_idle_worker_killed_from_outside_loses_nothing(one_pool: Pool) -> None:
    for _ in range(5):
        (pid,) = rewards(await run(one_pool, groups_of(["pid"])))
        os.kill(int(float(pid)), signal.SIGKILL)
        assert rewards(await run(one_pool, groups_of(["4"]))) == [4.0]


@pytest.mark.parametrize("what", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_lost_fork_server_is_replaced(what: signal.Signals) -> None:
    async with pool_of(poison()) as pool:
        (pid,) = rewards(await run(pool, groups_of(["pid"])))
        fork_server = psutil.Process(int(float(pid))).parent()
        assert fork_server is not None
        os.kill(fork_server.pid, what)
        await asyncio.sleep(0.1)
        if what is signal.SIGKILL:  # its workers went with it
            assert rewards(await run(pool, groups_of(["4", "5"]))) == [4.0, 5.0]
            (pid,) = rewards(await run(pool, groups_of(["pid"])))
            running = asyncio.create_task(run(pool, groups_of(["1", "sleep 0.5", "2"])))
            await asyncio.sleep(0.3)
            fork_server = psutil.Process(int(float(pid))).parent()
            assert fork_server is not None
            fork_server.kill()
            # What ran is not to blame: it runs again.
            assert [type(reward) for reward in rewards(await running)] == [float] * 3
        else:
            outcomes = await run(pool, groups_of(["exit 3"]), timeout_s=1)
            assert rewards(outcomes) == ["CRASHED"]
            fork_server.send_signal(signal.SIGCONT)
            assert rewards(await run(pool, groups_of(["5"]))) == [5.0]


# ---- calls that hold many items ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("hang", "TIMED_OUT"),
        ("exit 3", "CRASHED"),
        ("allocate", "OUT_OF_MEMORY"),
        ("signal SIGKILL", "CRASHED"),
    ],
)
async def test_a_group_call_that_dies_is_run_item_by_item(
    group_pool: Pool, command: str, reason: str, tmp_path: Path
) -> None:
    texts = [*map(str, range(7)), command, *map(str, range(8, 16))]
    log = tmp_path / "log"
    outcomes = await run(
        group_pool, groups_of(["100", "101"], texts, ["102"], log=log), timeout_s=1
    )
    expected: list[float | str] = [float(i) for i in range(16)]
    expected[7] = reason
    assert rewards(outcomes) == [100.0, 101.0, *expected, 102.0]
    counted = executions(log)
    assert counted["100"] == counted["102"] == 1
    assert all(counted[t] == 2 for t in texts[:7])
    assert all(counted[t] == 1 for t in texts[8:])
    assert counted[command] == 2


@pytest.mark.parametrize(
    ("command", "left"),
    [
        ("short", 1.0),
        ("long", "INVALID_RESULT"),
        ("dict", "INVALID_RESULT"),
        ("raise it", "RAISED"),
    ],
)
async def test_a_group_call_that_fails_whole_is_run_item_by_item(
    group_pool: Pool, command: str, left: float | str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    groups = groups_of(["1", "2"], ["4", command, "5"], ["3"], log=log)
    outcomes = rewards(await run(group_pool, groups))
    assert outcomes == [1.0, 2.0, 4.0, left, 5.0, 3.0]
    calls = {"call of 2": 1, "call of 3": 1, "call of 1": 4}
    assert calls.items() <= executions(log).items()


async def test_a_whole_group_that_fails_whole_is_not(whole_pool: Pool, tmp_path: Path) -> None:
    log = tmp_path / "log"
    outcomes = rewards(await run(whole_pool, groups_of(["1", "raise it", "2"], log=log)))
    assert outcomes == ["RAISED"] * 3
    assert executions(log) == {"call of 3": 1}


async def test_an_item_of_a_failed_group_call_may_still_crash(
    group_pool: Pool, tmp_path: Path
) -> None:
    # First the call raises; alone, "2" scores and the next one ends the process.
    texts = ["2", "exit 3 if alone", "3", "raise it", "4"]
    log = tmp_path / "log"
    outcomes = rewards(await run(group_pool, groups_of(texts, log=log)))
    assert outcomes == [2.0, "CRASHED", 3.0, "RAISED", 4.0]
    counted = executions(log)
    assert (counted["call of 5"], counted["call of 1"]) == (1, 5)
    assert max(counted[text] for text in texts) <= 2


async def test_bad_results_within_a_group_call_fail_their_items(group_pool: Pool) -> None:
    outcomes = rewards(await run(group_pool, groups_of(["1", "nan", "string", "none", "2"])))
    assert outcomes == [1.0, "INVALID_RESULT", "INVALID_RESULT", "NOT_APPLICABLE", 2.0]


@pytest.mark.parametrize(("command", "reason"), [("hang", "TIMED_OUT"), ("exit 3", "CRASHED")])
async def test_a_whole_group_is_never_split(
    whole_pool: Pool, command: str, reason: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    groups = groups_of(["1", "2", "3"], ["1", command], ["1"] * 4, log=log)
    outcomes = rewards(await run(whole_pool, groups, timeout_s=1))
    assert outcomes == [3.0] * 3 + [reason] * 2 + [4.0] * 4
    assert executions(log) == {"call of 3": 1, "call of 2": 1, "call of 4": 1}


async def test_a_whole_group_out_of_memory_runs_whole_again(
    whole_pool: Pool, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    groups = groups_of(["leak 600"], ["leak 600", "1"], ["leak 600", "leak 600"], log=log)
    outcomes = rewards(await run(whole_pool, groups))
    assert outcomes == [1.0, 2.0, 2.0, "OUT_OF_MEMORY", "OUT_OF_MEMORY"]
    assert executions(log) == {"call of 1": 1, "call of 2": 3}


async def test_a_batch_that_dies_is_run_item_by_item() -> None:
    async with pool_of(poison("Batch")) as pool:
        outcomes = rewards(await run(pool, groups_of(["1", "2"], ["exit 3", "3"], ["4"])))
        assert outcomes == [1.0, 2.0, "CRASHED", 3.0, 4.0]


# ---- time ---------------------------------------------------------------------------------------


async def test_what_is_done_is_told_while_the_rest_runs(one_pool: Pool) -> None:
    await run(one_pool, groups_of(["1"]))
    texts = [f"sleep 0.2 {i}" for i in range(8)]
    _, times_s = await run_timed(one_pool, groups_of(texts))
    assert times_s[0] < times_s[-1] - 1
    assert times_s == sorted(times_s)
    assert len(set(times_s)) >= 4


async def test_the_deadline_tells_apart_who_ran_and_who_waited(one_pool: Pool) -> None:
    await run(one_pool, groups_of(["sleep 1"]))
    texts = ["1", "sleep 0.5 2", "sleep 60", "3", "4"]
    begin_s = time.monotonic()
    outcomes = await run(one_pool, groups_of(texts), deadline_s=1.5, start_s=1.5)
    assert time.monotonic() - begin_s < 2.5
    assert rewards(outcomes) == [1.0, 2.0, "DEADLINE", "QUEUE_TIMEOUT", "QUEUE_TIMEOUT"]
    assert rewards(await run(one_pool, groups_of(["5"]))) == [5.0]


async def test_no_item_starts_after_its_queue_time_out(one_pool: Pool, tmp_path: Path) -> None:
    await run(one_pool, groups_of(["sleep 0.3"]))
    texts = [f"sleep 0.3 {i}" for i in range(10)]
    log = tmp_path / "log"
    outcomes = rewards(await run(one_pool, groups_of(texts, log=log), start_s=1.0))
    started = len(outcomes) - outcomes.count("QUEUE_TIMEOUT")
    assert outcomes == [float(i) for i in range(started)] + ["QUEUE_TIMEOUT"] * (10 - started)
    assert 2 <= started <= 4
    assert sum(executions(log).values()) == started


async def test_a_second_run_is_not_bound_by_the_queue_time_out(group_pool: Pool) -> None:
    await run(group_pool, groups_of(["1"]))
    outcomes = await run(group_pool, groups_of(["1", "hang", "2"]), timeout_s=1, start_s=0.5)
    assert rewards(outcomes) == [1.0, "TIMED_OUT", 2.0]


@pytest.mark.parametrize("name", ["one", "one_async"])
async def test_a_deadline_that_has_passed_starts_nothing(name: str, tmp_path: Path) -> None:
    async with pool_of(poison(name)) as pool:
        log = tmp_path / "log"
        outcomes = await run(pool, groups_of(["1", "2"], log=log), deadline_s=-1.0, start_s=-1.0)
        assert rewards(outcomes) == ["QUEUE_TIMEOUT"] * 2
        assert not executions(log)


async def test_waiting_for_a_set_up_ends_with_the_queue_time_out() -> None:
    async with pool_of(poison("Batch", kwargs={"wait": "30"})) as pool:
        begin_s = time.monotonic()
        assert rewards(await run(pool, groups_of(["1"]), start_s=1.0)) == ["QUEUE_TIMEOUT"]
        assert time.monotonic() - begin_s < 10


# ---- cancelling -------------------------------------------------------------------------------


async def cancelled_after(pool: Pool, seconds: float, *texts: str, **options: Any) -> None:
    task = asyncio.create_task(run(pool, groups_of(texts), **options))
    await asyncio.sleep(seconds)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancelled_work_stops(one_pool: Pool, tmp_path: Path) -> None:
    (pid,) = rewards(await run(one_pool, groups_of(["pid"])))
    await cancelled_after(one_pool, 0.3, "hang", "1")
    assert await gone(int(float(pid)), within_s=2)
    log = tmp_path / "log"
    assert rewards(await run(one_pool, groups_of(["2"], log=log))) == [2.0]


async def test_work_cancelled_between_two_items_keeps_its_worker(one_pool: Pool) -> None:
    (pid,) = rewards(await run(one_pool, groups_of(["pid"])))
    await cancelled_after(one_pool, 0.3, *["sleep 0.05"] * 100)
    assert rewards(await run(one_pool, groups_of(["pid"]))) == [pid]


async def test_cancelling_many_hurts_no_other(one_pool: Pool) -> None:
    """Each cancelled job's worker is killed; the job that waits behind must not be blamed."""
    await run(one_pool, groups_of(["1"]))
    cancelled = [
        asyncio.create_task(cancelled_after(one_pool, 0.1 + 0.05 * i, "hang")) for i in range(8)
    ]
    outcomes = await run(one_pool, groups_of([str(i) for i in range(20)]))
    assert rewards(outcomes) == [float(i) for i in range(20)]
    await asyncio.gather(*cancelled)


async def test_cancelling_while_waiting_costs_no_turn(one_pool: Pool) -> None:
    first = asyncio.create_task(run(one_pool, groups_of(["sleep 0.5"])))
    await asyncio.gather(*(cancelled_after(one_pool, 0.05, "1") for _ in range(20)))
    assert rewards(await first) == [1.0]
    assert rewards(await run(one_pool, groups_of(["2"]))) == [2.0]


async def test_a_cancelled_straggler_is_killed(one_pool: Pool) -> None:
    (pid,) = rewards(await run(one_pool, groups_of(["pid"])))
    # The hanging item is put aside for the other one; then its job is cancelled.
    await cancelled_after(one_pool, 2.0, "hang", "1", timeout_s=60)
    assert await gone(int(float(pid)), within_s=2)


# ---- set-up -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("raise no weights here", "no weights here"),
        ("exit 4", "exit code 4"),
        ("segfault", "signal 11"),
        ("systemexit", "SystemExit"),
        ("leak 3000", "memory_limit_mb is 2048"),
    ],
)
async def test_a_failed_set_up_says_why_and_does_not_loop(how: str, words: str) -> None:
    async with pool_of(poison("Broken", kwargs={"how": how})) as pool:
        begin_s = time.monotonic()
        outcomes = await run(pool, groups_of(["1", "2"]))
        assert time.monotonic() - begin_s < 10
        for outcome in outcomes:
            assert isinstance(outcome, ScoreError)
            assert outcome.reason is Reason.UNAVAILABLE
            assert words in outcome.message
        with pytest.raises(Exception, match=words):
            await pool.check_health()
        assert rewards(await run(pool, groups_of(["3"]))) == ["UNAVAILABLE"]


async def test_health_starts_the_worker() -> None:
    others = {p.pid for p in children()}
    async with pool_of(poison()) as pool:
        await pool.check_health()
        before = {p.pid for p in children()}
        assert len(before - others) == 2  # the template and the worker
        assert rewards(await run(pool, groups_of(["1"]))) == [1.0]
        assert {p.pid for p in children()} == before


async def test_later_probes_do_not_wait_for_a_set_up() -> None:
    async with pool_of(poison("Batch", kwargs={"wait": "1.5"})) as pool:
        begin_s = time.monotonic()
        await pool.check_health()
        assert time.monotonic() - begin_s >= 1.5
        running = asyncio.create_task(run(pool, groups_of(["exit 3", "2"])))
        await asyncio.sleep(0.5)
        begin_s = time.monotonic()
        await pool.check_health()
        assert time.monotonic() - begin_s < 0.5
        assert rewards(await running) == ["CRASHED", 2.0]


async def test_stopping_amid_work_answers_all() -> None:
    others = {p.pid for p in children()}
    async with pool_of(poison()) as pool:
        await pool.check_health()
        running = asyncio.create_task(run(pool, groups_of(["1", "hang", "2"])))
        await asyncio.sleep(0.4)
        await pool.stop()
        first, hung, last = rewards(await running)
        assert first == 1.0
        assert hung == "UNAVAILABLE"
        assert last == "UNAVAILABLE"
    assert {p.pid for p in children()} == others


# ---- resources ----------------------------------------------------------------------------------


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_nothing_leaks_over_two_thousand_shards(one_pool: Pool) -> None:
    await asyncio.gather(*(run(one_pool, groups_of(["1", "raise it"])) for _ in range(50)))
    (pid,) = rewards(await run(one_pool, groups_of(["pid"])))
    worker = psutil.Process(int(float(pid)))
    files, its_files, its_bytes = open_files(), worker.num_fds(), worker.memory_info().rss
    processes = len(children())
    for _ in range(40):
        outcomes = await asyncio.gather(
            *(run(one_pool, groups_of(["1", "raise it"])) for _ in range(50))
        )
        assert all(rewards(o) == [1.0, "RAISED"] for o in outcomes)
    assert rewards(await run(one_pool, groups_of(["pid"]))) == [pid]
    assert open_files() <= files
    assert worker.num_fds() <= its_files
    assert len(children()) == processes
    assert worker.memory_info().rss < its_bytes + (8 << 20)


async def test_nothing_leaks_over_crashes_and_cancels() -> None:
    others = {p.pid for p in children()}
    async with pool_of(poison()) as pool:
        await run(pool, groups_of(["exit 3", "1"]))
        await asyncio.sleep(0.1)
        files, processes = open_files(), len(children())
        for _ in range(15):
            await run(pool, groups_of(["1", "exit 3", "signal SIGKILL", "2"]))
            await cancelled_after(pool, 0.01, "sleep 0.1", "2")
        await run(pool, groups_of(["1"]))
        await asyncio.sleep(0.3)
        assert open_files() <= files
        assert len(children()) <= processes
    assert {p.pid for p in children()} == others


async def test_scores_have_their_extras() -> None:
    async with pool_of(poison("parts", components=["half", "double"])) as pool:
        outcomes = await run(pool, groups_of(["1", "nan", "3"]))
        assert rewards(outcomes) == [1.0, "INVALID_RESULT", 3.0]
        assert all(isinstance(o, Score) for o in (outcomes[0], outcomes[2]))
