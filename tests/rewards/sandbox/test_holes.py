"""What code beside other code could see or take, and what less than the promised level would be."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rewardplane.rewards.code.snippet_server import OutOfMemory, SnippetServer
from rewardplane.rewards.sandbox.level import Canary, Level
from rewardplane.rewards.sandbox.limits import Limits
from rewardplane.rewards.sandbox.pool import Profile, SandboxPool
from rewardplane.rewards.sandbox.process_clock import ProcessClock
from rewardplane.rewards.sandbox.seed import SeedFailed
from rewardplane.rewards.sandbox.slot import Slot
from rewardplane.rewards.sandbox.slots import Roster
from rewardplane.rewards.sandbox.verdict import SessionEnded, Verdict

from .pools import LIMITS, PROFILE, started

REWARDS = Path(__file__).parents[3] / "rewards"


def confine_only(monkeypatch: pytest.MonkeyPatch, places: set[int]) -> None:
    """Zygotes of some places get one level less than is asked for, and do not say so."""
    begin = Roster.begin

    async def less(self: Roster, place: int, level: Level) -> Slot:
        return await begin(self, place, Level.CONFINED if place in places else level)

    monkeypatch.setattr(Roster, "begin", less)


async def test_each_slot_is_looked_at_before_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    confine_only(monkeypatch, {1, 2})
    pool = SandboxPool(PROFILE, slots=3, demand=Level.NAMESPACED)
    with pytest.raises(SeedFailed, match="lacks user_namespace"):
        pool.start()


async def test_each_new_zygote_is_looked_at_before_it_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with started() as pool:
        confine_only(monkeypatch, {0})
        os.kill(pool.zygote_pids()[0], signal.SIGKILL)
        run = await pool.run("program", b"channel.send(b'ran')", LIMITS)
        assert run.verdict is Verdict.SANDBOX_ERROR
        assert "lacks user_namespace" in run.detail


async def test_each_new_zygote_is_attacked_before_it_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may say that it holds what it does not."""
    async with started() as pool:

        async def through(*_: object) -> list[Canary]:
            return [Canary("door", Level.CONFINED, stopped=False, seen="open")]

        monkeypatch.setattr("rewardplane.rewards.sandbox.pool.break_out", through)
        os.kill(pool.zygote_pids()[0], signal.SIGKILL)
        run = await pool.run("program", b"channel.send(b'ran')", LIMITS)
        assert run.verdict is Verdict.SANDBOX_ERROR
        assert "door got through a new zygote" in run.detail


SECRET = b"open('/tmp/note', 'w').write('SECRET'); import time; time.sleep(1)"
LOOK = b"""
import os
channel.receive()
told = [str(os.listdir('/tmp'))]
for name in ('/tmp/note', 'note'):
    try: told.append(open(name).read())
    except OSError: told.append('')
open('/tmp/mine', 'w').write('x')
channel.send(' '.join(told).encode())
"""


async def test_a_session_sees_nothing_of_a_run_beside_it() -> None:
    async with started() as pool:
        beside = asyncio.create_task(pool.run("program", SECRET, LIMITS))
        await asyncio.sleep(0.3)
        session = await pool.open("program", LOOK, LIMITS)
        seen = await session.ask(b"", wall_s=5)
        assert seen.strip() == b"[]"
        other = await pool.open("program", LOOK, LIMITS)
        assert (await other.ask(b"", wall_s=5)).strip() == b"[]"
        assert (await beside).verdict is Verdict.OK
        after = await pool.run(
            "program", b"import os; channel.send(str(os.listdir('/tmp')).encode())", LIMITS
        )
        assert after.answer == b"[]"
        await session.close()
        await other.close()


THREADS = b"""
import threading, time
started = []
for _ in range(%d):
    thread = threading.Thread(target=time.sleep, args=(1,), daemon=True)
    try: thread.start()
    except RuntimeError: break
    started.append(thread)
channel.send(str(len(started)).encode())
time.sleep(1)
"""


async def test_neighbours_do_not_share_a_number_of_threads() -> None:
    async with started(slots=1) as pool:
        limits = replace(LIMITS, memory_mb=1024)
        most = limits.threads
        greedy = await pool.open("program", THREADS % 200, limits)
        modest = [await pool.open("program", THREADS % (most - 1), limits) for _ in range(2)]
        counts = [int(await s.ask(b"", wall_s=5)) for s in (greedy, *modest)]
        run = await pool.run("program", THREADS % (most - 1), limits)
        assert counts[0] <= most
        assert [*counts[1:], int(run.answer)] == [most - 1] * 3
        for session in (greedy, *modest):
            await session.close()


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


async def kill_children(pool: SandboxPool, times: int) -> None:
    """As the kernel does when memory is short."""
    for _ in range(times):
        while not (found := [c for pid in pool.zygote_pids() for c in children(pid)]):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        for child in found:
            os.kill(child, signal.SIGKILL)
        while any(c in found for pid in pool.zygote_pids() for c in children(pid)):
            await asyncio.sleep(0.01)


async def test_what_the_host_kills_twice_is_out_of_memory() -> None:
    async with started() as pool:
        killer = asyncio.create_task(kill_children(pool, 2))
        run = await pool.run("program", b"import time; time.sleep(4)", LIMITS)
        await killer
        assert run.verdict is Verdict.MEMORY_LIMIT
        assert "twice" in run.detail
        killer = asyncio.create_task(kill_children(pool, 1))
        run = await pool.run("program", b"import time; time.sleep(0.3)", LIMITS)
        await killer
        assert run.verdict is Verdict.OK  # it may have been another's memory


async def test_a_session_that_the_host_kills_says_so() -> None:
    async with started() as pool:
        session = await pool.open("program", b"channel.receive(); channel.receive()", LIMITS)
        killer = asyncio.create_task(kill_children(pool, 1))
        with pytest.raises(SessionEnded) as raised:
            await session.ask(b"x", wall_s=5)
        await killer
        assert raised.value.verdict is Verdict.HOST_KILLED


async def test_a_function_that_the_host_kills_twice_is_out_of_memory() -> None:
    source = "import time\ndef evaluate(example, response):\n    time.sleep(5)\n    return 1"
    async with started(profile=Profile("t", guests=("snippet",))) as pool:
        server = SnippetServer(pool, source, "evaluate", memory_mb=128, at_once=1)
        killer = asyncio.create_task(kill_children(pool, 2))
        with pytest.raises(OutOfMemory):
            await server.call([{}, {}], 5.0)
        await killer


def test_installed_as_a_wheel_it_opens_none_of_the_service(tmp_path: Path) -> None:
    """There the sandbox's own modules lie in one folder of site-packages with all the rest."""
    package = tmp_path / "site-packages" / "rewardplane"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REWARDS, package / "rewards", ignore=ignored)
    secret = package / "gateway.py"
    secret.write_text("SECRET = 1\n")
    source = f"""
    import asyncio
    from rewardplane.rewards.sandbox import pool as module
    from rewardplane.rewards.sandbox.level import Canary, Level
    from rewardplane.rewards.sandbox.limits import Limits
    assert module.__file__.startswith({str(package)!r}), module.__file__
    look = b'''
    told = []
    for path in ({str(secret)!r}, {str(package / "rewards/reward.py")!r},
                 {str(package / "rewards/sandbox/pool.py")!r}):
        try: told.append(open(path).read()[:9])
        except OSError as error: told.append(type(error).__name__)
    channel.send(repr(told).encode())
    '''
    import textwrap
    for level in (Level.CONFINED, Level.NAMESPACED):
        profile = module.Profile("t", guests=("program",))
        pool = module.SandboxPool(profile, slots=1, demand=level, at_most=level)
        pool.start()
        run = asyncio.run(pool.run("program", textwrap.dedent(look.decode()).encode(), Limits()))
        print(run.answer.decode(), run.stderr.decode())
        pool.kill()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site-packages")},
        timeout=60,
        check=False,
    )
    lines = done.stdout.split()
    assert len(lines) == 6, done.stderr[-2000:]
    assert all("Error" in word for word in lines), done.stdout


async def test_stdin_is_a_file_of_its_own_size() -> None:
    async with started() as pool:
        source = (
            b"import os, sys; channel.send(b'%d %d' % (os.fstat(0).st_size, len(sys.stdin.read())))"
        )
        for given in (b"", b"x" * 200_000):
            run = await pool.run("program", source, LIMITS, given)
            assert run.answer == b"%d %d" % (len(given), len(given))


def test_a_clock_tells_waiting_for_a_cpu_from_sleeping() -> None:
    cpu = min(os.sched_getaffinity(0))
    busy = f"import os\nos.sched_setaffinity(0, [{cpu}])\nwhile True: pass"
    sources = [busy] * 3 + ["import time; time.sleep(60)"]
    hosts = [subprocess.Popen([sys.executable, "-c", source]) for source in sources]
    try:
        clocks = [ProcessClock(host.pid) for host in hosts]
        time.sleep(0.3)
        for clock in clocks:
            clock.restart()
        begun_s, used_us = time.monotonic(), [clock.cpu_us() for clock in clocks]
        time.sleep(1.5)
        wall_us = round((time.monotonic() - begun_s) * 1e6)
        waited = [clock.waited_us(wall_us) for clock in clocks]
        used = [clock.cpu_us() - before for clock, before in zip(clocks, used_us, strict=True)]
        assert waited[0] > 0.3 * wall_us
        assert waited[0] + used[0] > 0.7 * wall_us
        assert waited[3] < 0.3 * wall_us
        assert used[3] < 0.1 * wall_us
    finally:
        for host in hosts:
            host.kill()
            host.wait()
        for clock in clocks:
            clock.close()


async def test_what_has_too_little_of_the_machine_is_the_sandboxs_fault() -> None:
    async with started() as pool:
        limits = Limits(cpu_s=0.3, wall_s=30, starved_s=0.1)
        run = await pool.run("program", b"while True: pass", limits)
        assert run.verdict is Verdict.SANDBOX_ERROR
        assert "CPU time in" in run.detail
