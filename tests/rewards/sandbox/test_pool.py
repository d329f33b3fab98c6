"""The pool: order, faults, recycling, and that nothing is lost or left."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from rewardplane.rewards.sandbox.level import Level
from rewardplane.rewards.sandbox.limits import Limits
from rewardplane.rewards.sandbox.pool import Profile, SandboxPool
from rewardplane.rewards.sandbox.verdict import Run, Verdict

from .pools import LIMITS, alive, gone, started

QUICK = b"channel.send(b'done')"


async def run(pool: SandboxPool, source: bytes = QUICK, limits: Limits = LIMITS) -> Run:
    return await pool.run("program", source, limits)


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def children_of(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def state() -> tuple[int, int, int]:
    """Descriptors of this process, its memory in pages, and the mounts of this host."""
    statm = Path("/proc/self/statm").read_text().split()
    mounts = len(Path("/proc/self/mountinfo").read_text().splitlines())
    return descriptors(os.getpid()), int(statm[1]), mounts


async def test_slots_run_side_by_side_and_others_wait_in_order() -> None:
    async with started(slots=2) as pool:
        nap = b"import time; time.sleep(0.5); channel.send(b'done')"
        ended: list[int] = []

        async def one(n: int) -> None:
            assert (await run(pool, nap)).answer == b"done"
            ended.append(n // 2)

        began = time.monotonic()
        await asyncio.gather(*[one(n) for n in range(6)])
        assert 1.5 <= time.monotonic() - began < 2.9  # 3 where they did not
        assert ended == sorted(ended)


async def test_a_run_that_is_cancelled_while_it_waits_takes_no_slot() -> None:
    async with started() as pool:
        first = asyncio.create_task(run(pool, b"import time; time.sleep(0.3)"))
        await asyncio.sleep(0.05)
        waiting = [asyncio.create_task(run(pool)) for _ in range(5)]
        await asyncio.sleep(0.05)
        for task in waiting[:4]:
            task.cancel()
        await first
        assert (await waiting[4]).answer == b"done"
        assert (await run(pool)).answer == b"done"


async def test_the_pool_goes_from_loop_to_loop() -> None:
    pool = SandboxPool(Profile("t", guests=("program",)), slots=1, demand=Level.PROCESS)
    await asyncio.to_thread(pool.start)
    for _ in range(3):
        ended = await asyncio.to_thread(lambda: asyncio.run(run(pool)))
        assert ended.answer == b"done"
    await pool.close()


async def test_a_slot_gets_a_new_zygote_after_so_many_runs() -> None:
    profile = Profile("t", guests=("program",), recycle_runs=10)
    async with started(profile=profile) as pool:
        before = pool.zygote_pids()
        for _ in range(35):
            assert (await run(pool)).answer == b"done"
        figures = pool.take_figures()
        assert figures["restarts_runs"] == 3
        assert figures["runs_ok"] == 35
        await gone(before)


async def test_a_slot_gets_a_new_zygote_after_so_long() -> None:
    async with started(profile=Profile("t", guests=("program",), recycle_s=0.01)) as pool:
        for _ in range(3):
            await asyncio.sleep(0.02)
            assert (await run(pool)).answer == b"done"
        assert pool.take_figures()["restarts_age"] == 3


async def test_a_session_outlives_the_recycling_of_its_slot() -> None:
    profile = Profile("t", guests=("program",), recycle_runs=2)
    async with started(profile=profile) as pool:
        server = b"while (m := channel.receive()) is not None: channel.send(m)"
        session = await pool.open("program", server, LIMITS)
        old = pool.zygote_pids()
        for _ in range(5):
            await run(pool)
        assert await session.ask(b"hi", wall_s=1) == b"hi"
        await session.close()
        await gone(old)


async def test_a_zygote_killed_amid_runs_costs_nothing() -> None:
    """No item lost, none wrong: a killed zygote is the sandbox's fault, never the code's."""
    async with started(slots=2) as pool:
        stop = asyncio.Event()
        kills = 0

        async def killer() -> None:
            nonlocal kills
            while not stop.is_set():
                await asyncio.sleep(random.uniform(0.04, 0.1))
                if pids := pool.zygote_pids():
                    os.kill(random.choice(pids), signal.SIGKILL)
                    kills += 1

        async def items(first: int) -> list[Run]:
            source = "import time; time.sleep(0.005); channel.send(b'%d')"
            return [await run(pool, (source % n).encode()) for n in range(first, first + 50)]

        task = asyncio.create_task(killer())
        ended = await asyncio.gather(*[items(1000 * n) for n in range(4)])
        stop.set()
        await task
        for n, runs in enumerate(ended):
            for i, each in enumerate(runs):
                if each.verdict is not Verdict.SANDBOX_ERROR:
                    assert each.answer == str(1000 * n + i).encode(), each
        assert kills >= 10
        lost = sum(r.verdict is Verdict.SANDBOX_ERROR for runs in ended for r in runs)
        assert lost == 0, f"{lost} of 200 after {kills} kills"


async def test_a_zygote_that_hangs_is_replaced_and_its_run_is_not_to_blame() -> None:
    async with started() as pool:
        os.kill(pool.zygote_pids()[0], signal.SIGSTOP)
        async with asyncio.timeout(20):
            ended = await run(pool, QUICK, Limits(wall_s=1.0))
        assert (ended.verdict, ended.answer) == (Verdict.OK, b"done")
        assert pool.take_figures()["faults"] == 1


async def test_a_seed_that_dies_is_started_anew_once() -> None:
    others = set(children_of(os.getpid()))
    async with started(slots=2) as pool:
        assert pool.seed_pid
        os.kill(pool.seed_pid, signal.SIGKILL)
        for pid in pool.zygote_pids():
            os.kill(pid, signal.SIGKILL)
        ended = await asyncio.gather(*[run(pool) for _ in range(4)])
        assert [e.answer for e in ended] == [b"done"] * 4
        started_since = set(children_of(os.getpid())) - others
        # Where this process takes up orphans, the zygotes that died lie here as zombies.
        assert [pid for pid in started_since if alive(pid)] == [pool.seed_pid]


async def test_a_seed_that_dies_under_a_memory_limit_is_not_started_anew() -> None:
    """What it would start had less memory than runs are promised: an error, never a score."""
    source = """
    import asyncio, os, resource
    from rewardplane.rewards.sandbox.level import Level
    from rewardplane.rewards.sandbox.limits import Limits
    from rewardplane.rewards.sandbox.pool import Profile, SandboxPool
    pool = SandboxPool(
        Profile("t", guests=("program",)), slots=1, demand=Level.PROCESS,
        on_lost=lambda: print("lost", flush=True),
    )
    pool.start()
    resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30))
    async def main():
        os.kill(pool.seed_pid, 9)
        os.kill(pool.zygote_pids()[0], 9)
        run = await pool.run("program", b"pass", Limits())
        print(run.verdict.name, bool(pool.lost), flush=True)
        await pool.close()
    asyncio.run(main())
    """
    host = await asyncio.create_subprocess_exec(
        sys.executable, "-c", textwrap.dedent(source), stdout=subprocess.PIPE
    )
    said, _err = await host.communicate()
    assert said == b"lost\nSANDBOX_ERROR True\n"


async def test_where_no_zygote_can_be_started_a_run_is_an_error_and_not_a_score(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with started() as pool:
        monkeypatch.setattr("rewardplane.rewards.sandbox.slots._BACKOFF_S", 0.001)

        def refuse(*_: object) -> None:
            raise OSError("no room")

        monkeypatch.setattr("rewardplane.rewards.sandbox.slots.Slot", refuse)
        os.kill(pool.zygote_pids()[0], signal.SIGKILL)
        async with asyncio.timeout(20):
            ended = await run(pool)
        assert ended.verdict is Verdict.SANDBOX_ERROR
        assert "no room" in ended.detail
        assert ended.answer == b""


async def test_code_cannot_pass_for_a_fault_of_the_sandbox() -> None:
    """Else it would be run again, and then be an error where it has earned a zero."""
    tries = [
        b"import os; os.kill(os.getpid(), 9)",
        b"import os, signal; os.kill(os.getpid(), signal.SIGSTOP)",
        b"import os; os.ftruncate(4, 0)",
        b"import os; os.ftruncate(4, 0); os._exit(1)",
        b"import resource; resource.setrlimit(resource.RLIMIT_CPU, (0, 0))\nwhile True: pass",
        b"import os; os.kill(os.getppid(), 9)",
        b"import os; [os.close(fd) for fd in range(5)]",
    ]
    async with started() as pool:
        for source in tries:
            ended = await run(pool, source, Limits(cpu_s=0.2, wall_s=2.0, memory_mb=64))
            assert ended.verdict is not Verdict.SANDBOX_ERROR, source
        figures = pool.take_figures()
        assert figures.get("faults", 0) == 0
        assert not any(name.startswith("restarts") for name in figures)


async def test_runs_leave_nothing_behind() -> None:
    async with started(slots=2) as pool:

        async def many(count: int) -> None:
            for _ in range(count):
                assert (await run(pool)).answer == b"done"

        await asyncio.gather(many(50), many(50))
        held_before, pages, mounts = state()
        zygotes = pool.zygote_pids()
        held = [descriptors(pid) for pid in zygotes]
        await asyncio.gather(many(150), many(150))
        after = state()
        assert after[0] == held_before
        assert after[1] - pages < 256
        assert after[2] == mounts
        assert [descriptors(pid) for pid in zygotes] == held


async def test_close_leaves_no_process_and_no_descriptor() -> None:
    before = state()[0]
    async with started(slots=2) as pool:
        await run(pool)
        pids = [*pool.zygote_pids(), pool.seed_pid]
        busy = asyncio.create_task(run(pool, b"import time; time.sleep(60)"))
        await asyncio.sleep(0.05)
    assert (await busy).verdict is Verdict.SANDBOX_ERROR
    await gone(pids)
    assert state()[0] == before


HOST = """
    import asyncio, os, resource, sys, time
    from rewardplane.rewards.sandbox.level import Level
    from rewardplane.rewards.sandbox.limits import Limits
    from rewardplane.rewards.sandbox.pool import Profile, SandboxPool
    pool = SandboxPool(Profile("t", guests=("program",)), slots=1, demand=Level.PROCESS,
                       at_most=Level[sys.argv[1]])
    pool.start()
    resource.setrlimit(resource.RLIMIT_DATA, (150 << 20, 150 << 20))
    async def main():
        os.kill(pool.zygote_pids()[0], 9)
        big = b"x = bytearray(200 << 20); channel.send(b'done')"
        run = await pool.run("program", big, Limits(memory_mb=300))
        print(run.answer, *pool.zygote_pids(), pool.seed_pid, flush=True)
        await pool.run("program", b"import time; time.sleep(60)", Limits(wall_s=90))
    asyncio.run(main())
"""


@pytest.mark.parametrize("level", ["PROCESS", "CONFINED", "NAMESPACED"])
async def test_a_host_that_is_killed_leaves_no_process_and_its_memory_limit_is_not_the_runs(
    level: str,
) -> None:
    with subprocess.Popen(  # noqa: ASYNC220 - it starts in a moment
        [sys.executable, "-c", textwrap.dedent(HOST), level], stdout=subprocess.PIPE
    ) as host:
        assert host.stdout is not None
        answer, *pids = host.stdout.readline().split()
        assert answer == b"b'done'"
        zygotes = list(map(int, pids))
        await asyncio.sleep(0.2)
        assert all(map(alive, zygotes))
        children = [child for pid in zygotes for child in children_of(pid)]
        assert len(children) >= 2
        host.kill()
        await gone([*zygotes, *children])
