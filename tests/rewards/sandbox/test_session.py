"""Children that are kept and asked."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio
from rewardplane.rewards.sandbox.level import Level
from rewardplane.rewards.sandbox.limits import Limits
from rewardplane.rewards.sandbox.pool import SandboxPool
from rewardplane.rewards.sandbox.session import Session
from rewardplane.rewards.sandbox.verdict import SessionEnded, Verdict

from .pools import gone, started

LIMITS = Limits(cpu_s=0.3, wall_s=2.0, memory_mb=128, output_bytes=1000)
SERVER = """
while (message := channel.receive()) is not None:
    exec(message)
"""


@pytest_asyncio.fixture
async def pool() -> AsyncIterator[SandboxPool]:
    async with started(Level.NAMESPACED) as pool:
        yield pool


@pytest_asyncio.fixture
async def session(pool: SandboxPool) -> AsyncIterator[Session]:
    session = await pool.open("program", SERVER.encode(), LIMITS)
    yield session
    await session.close()


async def test_it_keeps_its_state(session: Session) -> None:
    assert await session.ask(b"x = 1; channel.send(b'one')", wall_s=1) == b"one"
    for n in range(2, 50):
        ask = b"x += 1; print(x); channel.send(str(x).encode())"
        assert await session.ask(ask, wall_s=1) == str(n).encode()
    assert session.alive


async def test_large_messages_pass_both_ways(session: Session) -> None:
    blob = b"#" * (5 << 20)
    length = await session.ask(b"channel.send(str(len(message)).encode())#" + blob, wall_s=2)
    assert int(length) == 41 + len(blob)
    assert len(await session.ask(b"channel.send(bytes(1 << 20))", wall_s=2)) == 1 << 20


async def test_output_is_that_since_the_last_answer(session: Session) -> None:
    ask = b"import sys; print('out', flush=True); channel.send(b'')"
    for _ in range(3):
        await session.ask(ask, wall_s=1)
        assert session.stdout == b"out\n"
    await session.ask(b"channel.send(b'')", wall_s=1)
    assert session.stdout == b""


ENDS = {
    "loop": ("while True: pass", Verdict.CPU_LIMIT),
    "sleep": ("import time; time.sleep(60)", Verdict.WALL_LIMIT),
    "memory": ("x = bytearray(1 << 31)", Verdict.MEMORY_LIMIT),
    "raise": ("1/0", Verdict.RUNTIME_ERROR),
    "exit": ("import os; os._exit(0)", Verdict.RUNTIME_ERROR),
    "segfault": ("import ctypes; ctypes.string_at(0)", Verdict.KILLED),
    "long answer": ("channel.send(bytes((1 << 20) + 1))", Verdict.OUTPUT_LIMIT),
    "a lie about the length": (
        "import os; os.write(channel.fileno(), b'\\xff' * 4)",
        Verdict.OUTPUT_LIMIT,
    ),
    "hangs up and stays": (
        "import os, time; os.close(channel.fileno()); time.sleep(60)",
        Verdict.RUNTIME_ERROR,
    ),
    "half an answer": (
        "import os, time; os.write(channel.fileno(), b'\\x05\\0\\0\\0ab'); time.sleep(60)",
        Verdict.WALL_LIMIT,
    ),
}


@pytest.mark.parametrize("name", ENDS)
async def test_how_it_ends(pool: SandboxPool, session: Session, name: str) -> None:
    source, verdict = ENDS[name]
    async with asyncio.timeout(10):
        wall_s = 0.8 if verdict is Verdict.WALL_LIMIT else 10.0
        with pytest.raises(SessionEnded) as ended:
            await session.ask(source.encode(), wall_s=wall_s)
    assert ended.value.verdict is verdict, ended.value
    assert not session.alive
    with pytest.raises(SessionEnded):
        await session.ask(b"channel.send(b'')", wall_s=1)
    again = await pool.open("program", SERVER.encode(), LIMITS)
    assert await again.ask(b"channel.send(b'new')", wall_s=1) == b"new"
    await again.close()
    assert pool.take_figures().get("faults", 0) == 0


async def test_time_between_questions_does_not_count_and_computing_does(pool: SandboxPool) -> None:
    quiet = await pool.open("program", SERVER.encode(), LIMITS)
    busy = await pool.open("program", SERVER.encode(), LIMITS)
    spin = b"import threading\ndef f():\n  while True: pass\nthreading.Thread(target=f).start()\n"
    await busy.ask(spin + b"channel.send(b'')", wall_s=1)
    for _ in range(30):
        await asyncio.sleep(0.1)
        if not busy.alive:
            break
    with pytest.raises(SessionEnded) as ended:
        await busy.ask(b"channel.send(b'')", wall_s=1)
    assert ended.value.verdict is Verdict.CPU_LIMIT
    assert await quiet.ask(b"channel.send(b'still')", wall_s=1) == b"still"
    await quiet.close()


async def test_many_sessions_and_runs_share_a_slot(pool: SandboxPool) -> None:
    sessions = [await pool.open("program", SERVER.encode(), LIMITS) for _ in range(5)]
    for n, session in enumerate(sessions):
        await session.ask(f"me = {n}; channel.send(b'')".encode(), wall_s=1)
    run = await pool.run("program", b"channel.send(b'run')", LIMITS)
    assert run.answer == b"run"
    answers = [s.ask(b"channel.send(str(me).encode())", wall_s=1) for s in sessions]
    assert await asyncio.gather(*answers) == [b"0", b"1", b"2", b"3", b"4"]
    for session in sessions:
        await session.close()


async def test_a_session_that_ends_leaves_the_scratch_of_a_run_alone(
    pool: SandboxPool, session: Session
) -> None:
    source = (
        b"import time; open('/tmp/x', 'w').write('mine'); time.sleep(0.3)\n"
        b"channel.send(open('/tmp/x').read().encode())"
    )
    run = asyncio.create_task(pool.run("program", source, LIMITS))
    await asyncio.sleep(0.1)
    await session.close()
    assert (await run).answer == b"mine"


async def test_a_session_has_a_scratch_of_its_own(session: Session) -> None:
    ask = b"open('/tmp/x', 'w').write('mine'); channel.send(open('x').read().encode())"
    assert await session.ask(ask, wall_s=1) == b"mine"


async def test_a_zygote_that_dies_is_the_sandboxs_fault(
    pool: SandboxPool, session: Session
) -> None:
    task = asyncio.create_task(session.ask(b"import time; time.sleep(60)", wall_s=5))
    await asyncio.sleep(0.05)
    pids = pool.zygote_pids()
    os.kill(pids[0], signal.SIGKILL)
    with pytest.raises(SessionEnded) as ended:
        await task
    assert ended.value.verdict is Verdict.SANDBOX_ERROR
    await gone(pids)
    again = await pool.open("program", SERVER.encode(), LIMITS)
    assert await again.ask(b"channel.send(b'new')", wall_s=1) == b"new"
    await again.close()


async def test_cancelling_a_question_ends_the_session(session: Session) -> None:
    task = asyncio.create_task(session.ask(b"import time; time.sleep(60)", wall_s=5))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not session.alive


async def test_a_session_may_rest_for_longer_than_a_question_may_starve() -> None:
    async with started() as pool:
        server = b"while (m := channel.receive()) is not None: channel.send(m)"
        limits = replace(LIMITS, cpu_s=0.1, starved_s=0.3)
        session = await pool.open("program", server, limits)
        await asyncio.sleep(0.8)
        assert await session.ask(b"hi", wall_s=1) == b"hi"
        await session.close()
