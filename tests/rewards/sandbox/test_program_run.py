"""Raw runs: what a program did, told as it was."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from rewardplane.rewards.kinds.program_run import ProgramRun
from rewardplane.rewards.sandbox import pool
from rewardplane.rewards.sandbox.level import Control, Level
from rewardplane.rewards.sandbox.profile import Profile
from rewardplane.rewards.types import Example, InvalidInput, Response

from .pools import started


def made(**params: Any) -> ProgramRun:
    reward = ProgramRun(**{"cpu_s": 2.0, "memory_mb": 256, "output_kb": 64, **params})
    reward.setup()
    return reward


@pytest.fixture(scope="module")
def reward() -> Iterator[ProgramRun]:
    it = made()
    yield it
    it.kill()


async def ran(reward: ProgramRun, program: str, **known: Any) -> dict[str, Any]:
    example = Example((), {}, {name: json.dumps(value) for name, value in known.items()})
    score = await reward.score(example, Response(program))
    told = json.loads(score.details_json)
    assert score.reward == float(told["return_code"] == 0)
    assert set(told) == {"return_code", "stdout", "stderr", "cpu_s", "wall_s", "files"}
    return told


@pytest.mark.parametrize(
    ("program", "code", "stdout", "stderr"),
    [
        ("print(input()[::-1])", 0, "cba\n", ""),
        ("import sys\nsys.stderr.write('x')\nsys.exit(3)", 3, "", "x"),
        ("raise SystemExit", 0, "", ""),
        ("import sys\nsys.exit('why')", 1, "", "why\n"),
        ("import os\nos.write(1, b'\\xff')\nos._exit(9)", 9, "�", ""),
        ("import atexit\natexit.register(print, 'end')\nprint('a')", 0, "a\nend\n", ""),
        ("print(__name__, __file__)", 0, "__main__ program.py\n", ""),
        ("import sys\nprint('```')", 0, "```\n", ""),
    ],
)
async def test_a_program_ends_as_it_does(
    reward: ProgramRun, program: str, code: int, stdout: str, stderr: str
) -> None:
    told = await ran(reward, program, stdin="abc\n")
    assert (told["return_code"], told["stdout"], told["stderr"]) == (code, stdout, stderr)
    assert 0 < told["cpu_s"] < 2


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("def f(:", 'File "program.py", line 1'),
        ("x = 1\nx / 0", 'File "program.py", line 2, in <module>'),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("x = bytearray(10**10)", "MemoryError"),
        ("import ctypes\nctypes.string_at(0)", "signal 11"),
        ("print('x' * 200_000)", "wrote too much"),
    ],
)
async def test_what_ended_it_stands_in_stderr(reward: ProgramRun, program: str, said: str) -> None:
    told = await ran(reward, program)
    assert told["return_code"] not in (0, None)
    assert said in told["stderr"]
    assert "raw_program" not in told["stderr"]


@pytest.mark.parametrize("program", ["while True: pass", "import time\ntime.sleep(60)"])
async def test_over_its_time_it_has_no_code(reward: ProgramRun, program: str) -> None:
    told = await ran(reward, f"print('before', flush=True)\n{program}", time_limit=0.3)
    assert told["return_code"] is None
    assert told["stdout"] == "before\n"
    assert told["wall_s"] > 0.25


async def test_files_come_and_go(reward: ProgramRun) -> None:
    encoded = base64.b64encode(b"def f(): return 7").decode()
    program = "import d.helper\nopen('out.bin', 'wb').write(bytes([d.helper.f(), 255]))"
    told = await ran(
        reward, program, files={"d/helper.py": encoded}, fetch_files=["out.bin", "none", "d"]
    )
    assert told["return_code"] == 0, told
    assert told["files"] == {"out.bin": base64.b64encode(bytes([7, 255])).decode()}
    # The next run finds nothing of it.
    told = await ran(reward, "import os\nprint(os.listdir())", fetch_files=["out.bin"])
    assert (told["stdout"], told["files"]) == ("[]\n", {})


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ({"time_limit": 60}, r"time_limit is 60: .* at most 2 s \(cpu_s of the reward\)"),
        ({"memory_limit": 1000}, "memory_limit is 1000: .* at most 256 MB"),
        ({"time_limit": "x"}, "time_limit: want a number"),
        ({"files": {"../x": ""}}, r"files: '\.\./x' is no name within"),
        ({"files": {"/etc/x": ""}}, "files: '/etc/x' is no name within"),
        ({"files": {"x": "%"}}, r"files\['x'\] is no base64"),
        ({"files": {"x": "A" * 8_000_000}}, "files: 6000000 bytes; at most 4096 kB"),
        ({"fetch_files": "x"}, "fetch_files: want a list"),
        ({"stdin": 3}, "stdin: want a text"),
    ],
)
async def test_what_it_lacks_is_refused_by_name(
    reward: ProgramRun, known: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        await ran(reward, "print(1)", **known)


async def test_files_want_a_place_to_write_to() -> None:
    reward = ProgramRun(isolation="confined")
    profile = Profile("program_run", guests=ProgramRun.guests)
    async with started(Level.CONFINED, profile=profile) as reward._pool:
        assert (await ran(reward, "print(1)"))["stdout"] == "1\n"
        with pytest.raises(InvalidInput, match=r"\(confined\) has no place to write to"):
            await ran(reward, "print(1)", fetch_files=["x"])


async def test_a_guest_kernel_over_confined_has_no_place_to_write_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool, "LEVELS", (Level.CONFINED,))
    monkeypatch.setattr(
        pool, "guest_kernel", lambda _: Control("guest_kernel", Level.GUEST_KERNEL, held=True)
    )
    reward = ProgramRun()
    reward.setup()
    try:
        assert reward.pool.report.level is Level.GUEST_KERNEL
        with pytest.raises(
            InvalidInput, match=r"files: this sandbox \(guest_kernel\) has no place"
        ):
            await ran(reward, "print(1)", files={"x": ""})
        assert (await ran(reward, "print(1)"))["stdout"] == "1\n"
    finally:
        reward.kill()
