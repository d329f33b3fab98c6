"""One child at each level: what it can do, and how its end is told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from rewardplane.rewards.sandbox.level import Level
from rewardplane.rewards.sandbox.limits import Limits
from rewardplane.rewards.sandbox.pool import Profile, SandboxPool
from rewardplane.rewards.sandbox.verdict import Run, Verdict

from .pools import LIMITS, started

ALL = [Level.PROCESS, Level.CONFINED, Level.NAMESPACED]


@pytest_asyncio.fixture(params=ALL, ids=lambda level: level.name.lower())
async def pool(request: pytest.FixtureRequest) -> AsyncIterator[SandboxPool]:
    async with started(request.param) as pool:
        yield pool


async def run(pool: SandboxPool, source: str, limits: Limits = LIMITS) -> Run:
    return await pool.run("program", source.encode(), limits)


def on_host(name: str) -> bool:
    return (Path("/tmp") / name).exists()  # noqa: S108 - must not come to be


ENDS = {
    "nothing": ("pass", Verdict.OK),
    "raise": ("1/0", Verdict.RUNTIME_ERROR),
    "exit": ("import sys; sys.exit(3)", Verdict.RUNTIME_ERROR),
    "the builtin exit": ("exit(3)", Verdict.RUNTIME_ERROR),
    "_exit": ("import os; os._exit(0)", Verdict.OK),
    "segfault": ("import ctypes; ctypes.string_at(0)", Verdict.KILLED),
    "abort": ("import os; os.abort()", Verdict.KILLED),
    "one big block": ("x = bytearray(1 << 31)", Verdict.MEMORY_LIMIT),
    "ever more": ("x = []\nwhile True: x.append(bytearray(1 << 23))", Verdict.MEMORY_LIMIT),
    "threads that wait": (
        "import threading as t\nfor _ in range(500):\n"
        "    t.Thread(target=t.Event().wait, daemon=True).start()",
        Verdict.RUNTIME_ERROR,
    ),
    "a loop": ("while True: pass", Verdict.CPU_LIMIT),
    "a loop in C": (
        "import collections, itertools; collections.deque(itertools.repeat(0), 0)",
        Verdict.CPU_LIMIT,
    ),
    "two loops": (
        "import threading\ndef f():\n    while True: pass\n"
        "threading.Thread(target=f, daemon=True).start()\nf()",
        Verdict.CPU_LIMIT,
    ),
    "sleep": ("import time; time.sleep(60)", Verdict.WALL_LIMIT),
    "deaf": (
        "import signal, time\n"
        "for s in set(range(1, 65)) - {9, 19, 32, 33}: signal.signal(s, signal.SIG_IGN)\n"
        "while True:\n    try: time.sleep(60)\n    except BaseException: pass",
        Verdict.WALL_LIMIT,
    ),
    "flood": ("while True: print('x' * 1000)", Verdict.OUTPUT_LIMIT),
    "flood of stderr": (
        "import os\nfor _ in range(100): os.write(2, bytes(1000))",
        Verdict.OUTPUT_LIMIT,
    ),
    "long answer": ("channel.send(bytes(1 << 21))", Verdict.OUTPUT_LIMIT),
    "raises MemoryError": ("raise MemoryError", Verdict.MEMORY_LIMIT),
}
SHORT = Limits(cpu_s=0.4, memory_mb=64, output_bytes=10_000)


@pytest.mark.parametrize("name", ENDS)
async def test_how_it_ends(pool: SandboxPool, name: str) -> None:
    source, verdict = ENDS[name]
    # Where CPU time is to decide, others on this machine must not make wall time decide first.
    wall_s = 0.6 if verdict is Verdict.WALL_LIMIT else 10.0
    began = time.monotonic()
    ended = await run(pool, source, replace(SHORT, wall_s=wall_s))
    assert ended.verdict is verdict, ended
    assert time.monotonic() - began < wall_s + 1
    assert len(ended.stdout) <= SHORT.output_bytes
    assert len(ended.stderr) <= SHORT.output_bytes
    assert len(ended.answer) <= SHORT.result_bytes
    after = await run(pool, "print('clean'); channel.send(b'yes')")
    assert (after.verdict, after.stdout, after.answer) == (Verdict.OK, b"clean\n", b"yes")
    assert pool.take_figures().get("faults", 0) == 0


async def test_answer_and_output_come_back_as_they_were(pool: SandboxPool) -> None:
    source = (
        "import sys\nsys.stdout.buffer.write(bytes(range(256)))\nsys.stderr.write('err')\n"
        "channel.send(b'first')\nchannel.send(b'second')"
    )
    ended = await run(pool, source)
    assert ended.answer == b"firstsecond"
    assert ended.stdout == bytes(range(256))
    assert ended.stderr == b"err"
    assert ended.verdict is Verdict.OK
    assert 0 < ended.cpu_us < 1_000_000
    assert ended.wall_us > 0


async def test_a_large_request_arrives_whole(pool: SandboxPool) -> None:
    padding = "#" * (8 << 20)
    ended = await run(pool, f"channel.send(b'x' * 1000)\n{padding}")
    assert ended.answer == b"x" * 1000


async def test_what_programs_use_works(pool: SandboxPool) -> None:
    source = """
import asyncio, collections, datetime, decimal, fractions, heapq, itertools, json, math, random, re
import resource, signal, sqlite3, statistics, string, sys, tempfile, threading, time, zoneinfo
sys.setrecursionlimit(10**6)
resource.setrlimit(resource.RLIMIT_STACK, (1 << 24, 1 << 24))
threading.stack_size(1 << 25)
got = []
thread = threading.Thread(target=lambda: got.append(1)); thread.start(); thread.join()
async def f():
    await asyncio.sleep(0.001)
    return await asyncio.to_thread(lambda: 2)
got.append(asyncio.run(f()))
signal.signal(signal.SIGALRM, lambda *_: got.append(3)); signal.setitimer(signal.ITIMER_REAL, 0.001)
time.sleep(0.05)
got.append(sqlite3.connect(":memory:").execute("select 4").fetchone()[0])
got.append(int(zoneinfo.ZoneInfo("Europe/Berlin").utcoffset(datetime.datetime(2024, 7, 1)).seconds))
signal.signal(signal.SIGUSR1, lambda *_: got.append(5)); signal.raise_signal(signal.SIGUSR1)
open("/dev/null", "w").write("x")
got.append(sys.stdin.read())
channel.send(json.dumps(got).encode())
"""
    ended = await run(pool, source)
    assert ended.answer == b'[1, 2, 3, 4, 7200, 5, ""]', ended


@pytest.mark.parametrize("level", ALL)
async def test_modules_of_the_profile_are_there_whole_and_others_are_not(level: Level) -> None:
    profile = Profile("t", modules=("numpy",), guests=("program",))
    source = b"""
import numpy, numpy.fft, numpy.polynomial.chebyshev, numpy.ma.mrecords
values = [numpy.linalg.det(numpy.eye(40)), numpy.fft.fft(numpy.ones(8))[0].real]
for name in ('pydantic', 'rewardplane', 'rewardplane.rewards.sandbox'):
    try: __import__(name); values.append(name)
    except ImportError: pass
channel.send(repr([v if isinstance(v, str) else float(v) for v in values]).encode())
"""
    async with started(level, profile=profile) as pool:
        ended = await pool.run("program", source, LIMITS)
        if level == Level.PROCESS:  # all that lies on this host can be read
            assert ended.answer.startswith(b"[1.0, 8.0"), ended
        else:
            assert ended.answer == b"[1.0, 8.0]", ended


async def test_scratch_is_there_when_namespaced_and_never_that_of_another_run(
    pool: SandboxPool,
) -> None:
    source = "import os\nopen('/tmp/made', 'w').write('x' * 1000)\nchannel.send(b'written')"
    if pool.report.level == Level.PROCESS:
        return  # the host's own
    ended = await run(pool, source)
    look = await run(pool, "import os; channel.send(repr(os.listdir('/tmp')).encode())")
    if pool.report.level == Level.NAMESPACED:
        assert ended.answer == b"written", ended
        assert look.answer == b"[]"
        assert (await run(pool, source)).answer == b"written"
        relative = source.replace("/tmp/made", "made")  # noqa: S108 - its own
        assert (await run(pool, relative)).answer == b"written"
    else:
        assert ended.verdict is Verdict.RUNTIME_ERROR
    assert not on_host("made")


async def test_scratch_is_bounded() -> None:
    async with started(Level.NAMESPACED) as pool:
        fill = (
            "import os\n"
            "try:\n  for n in range(5000):\n    open(f'/tmp/{n}', 'wb').write(bytes(100_000))\n"
            "except OSError as e: channel.send(f'{n} {e.errno}'.encode())"
        )
        ended = await run(pool, fill)
        count, error = map(int, ended.answer.split())
        assert count < 200
        assert error == 28
        empty = "for n in range(5000): open(f'/tmp/{n}', 'w')"
        assert (await run(pool, empty)).verdict is Verdict.RUNTIME_ERROR
        big = "open('/tmp/big', 'wb').write(bytes(4 << 20))"
        assert (await run(pool, big)).verdict is Verdict.RUNTIME_ERROR
        assert (await run(pool, "open('/tmp/x', 'w').write('x')")).verdict is Verdict.OK


async def test_a_child_has_five_descriptors_and_nothing_of_the_zygote(pool: SandboxPool) -> None:
    source = (
        "import os, fcntl, json\nopen_ = []\n"
        "for fd in range(64):\n    try: os.fstat(fd); open_.append(fd)\n    except OSError: pass\n"
        "channel.send(json.dumps([open_, sorted(os.environ)]).encode())"
    )
    ended = await run(pool, source)
    assert ended.answer.startswith(b"[[0, 1, 2, 3, 4],")
    for name in ("PATH", "USER", "AWS", "TOKEN"):
        assert name.encode() not in ended.answer


async def test_what_a_run_wrote_to_memory_is_not_seen_by_the_next(pool: SandboxPool) -> None:
    """The heap of a zygote holds no request: a child finds but its own."""
    mark = "".join(map(chr, (115, 101, 99, 114, 101, 116))) + "-of-the-first-run"
    await run(pool, f"x = {mark!r} * 1000\nprint(x)\nchannel.send(x.encode())")
    seek = (
        "import ctypes, gc\nhalf = 'secret' '-of-the'\nfound = 0\n"
        "for o in gc.get_objects():\n"
        "    if isinstance(o, (str, bytes)) and 'first-' 'run' in str(o): found += 1\n"
        "channel.send(str(found).encode())"
    )
    assert (await run(pool, seek)).answer == b"0"


async def test_it_runs_as_its_own_uid_and_without_capabilities(pool: SandboxPool) -> None:
    ended = await run(pool, "import os; channel.send(f'{os.getuid()} {os.getgid()}'.encode())")
    uid, gid = map(int, ended.answer.split())
    if pool.report.level >= Level.CONFINED:
        assert uid != 0
        assert gid != 0


async def test_cancelling_ends_the_child_and_frees_the_slot(pool: SandboxPool) -> None:
    task = asyncio.create_task(run(pool, "import time; time.sleep(60)"))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(2):
        assert (await run(pool, "pass")).verdict is Verdict.OK
