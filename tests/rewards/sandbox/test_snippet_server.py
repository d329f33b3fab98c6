"""Reward functions from source text, in warm confined processes."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from rewardplane.rewards.code.snippet_server import (
    GUEST,
    Crashed,
    OutOfMemory,
    Raised,
    SnippetServer,
    TimedOut,
)
from rewardplane.rewards.code.snippet_source import check_source
from rewardplane.rewards.sandbox.level import Level
from rewardplane.rewards.sandbox.pool import Profile, SandboxPool
from rewardplane.rewards.types import InvalidResult, RewardFault

from .pools import started

COMMANDS = """
import os, sys, time
CALLS = []

def grade(sample, item):
    CALLS.append(1)
    command, _, rest = sample["output_text"].partition(" ")
    if command == "number":
        return float(rest)
    if command == "calls":
        return len(CALLS)
    if command == "pid":
        return os.getpid()
    if command == "sleep":
        time.sleep(float(rest))
        return 1
    if command == "burn":
        while True: pass
    if command == "raise":
        raise ValueError(rest)
    if command == "exit":
        os._exit(int(rest))
    if command == "sysexit":
        sys.exit(0)
    if command == "eat":
        return len(bytearray(int(rest)))
    if command == "print":
        print(rest)
        print("to stderr", file=sys.stderr)
        return 0.5
    if command == "flood":
        while True: print("x" * 1000)
    if command == "read":
        return len(open(rest).read())
    if command == "environ":
        return len(os.environ.get(rest, ""))
    if command == "forge":
        os.write(4, eval(rest))
        return 1.0
    return eval(rest)
"""


@pytest.fixture(scope="module")
def pool() -> Iterator[SandboxPool]:
    """Two slots at the highest level that the host has."""
    made = SandboxPool(Profile("test", guests=(GUEST,)), slots=2, demand=Level.CONFINED)
    made.start()
    yield made
    made.kill()


@pytest.fixture
async def server(pool: SandboxPool) -> AsyncIterator[SnippetServer]:
    made = SnippetServer(pool, COMMANDS, check_source(COMMANDS), memory_mb=256, at_once=2)
    yield made
    await made.close()


async def run(server: SnippetServer, text: str, timeout_s: float = 5.0) -> float:
    return (await server.call([{"output_text": text}, {"answer": "18"}], timeout_s))[0]


async def test_numbers_come_back(server: SnippetServer) -> None:
    for text, value in (("number 0.25", 0.25), ("x True", 1.0), ("x 3", 3.0), ("x -0.0", 0.0)):
        assert await run(server, text) == value


async def test_a_process_serves_many_calls(server: SnippetServer) -> None:
    assert await run(server, "calls") == 1
    assert await run(server, "calls") == 2
    with pytest.raises(Raised):
        await run(server, "raise no")
    assert await run(server, "calls") == 4


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("x float('nan')", InvalidResult, "nan"),
        ("x float('inf')", InvalidResult, "inf"),
        ("x 1e999", InvalidResult, "inf"),
        ("x 10**400", Raised, "OverflowError"),
        ("x 'one'", InvalidResult, "str"),
        ("x None", InvalidResult, "NoneType"),
        ("x [1.0]", InvalidResult, "list"),
        ("x 1j", InvalidResult, "complex"),
        ("raise what is wrong", Raised, r"ValueError: what is wrong \(line 20, in grade\)"),
        ("x 1/0", Raised, "ZeroDivisionError"),
        ("sysexit", Raised, "SystemExit"),
        ("exit 0", Crashed, "ended"),
        ("exit 3", Crashed, "ended"),
        ("eat 8000000000", OutOfMemory, ""),
        ("flood", Raised, "File too large"),
        ("read /etc/passwd", Raised, "Error"),
        (r"forge b'\x02\x00\x00\x00{}'", InvalidResult, "not asked"),
        (r"forge b'\x09\x00\x00\x00not JSON!'", InvalidResult, "not asked"),
        (r"forge b'\xff\xff\xff\x7f'", Crashed, "output_limit"),
    ],
)
async def test_what_is_no_reward_is_its_own_error(
    server: SnippetServer, text: str, kind: type[RewardFault], said: str
) -> None:
    if text.startswith("eat"):
        with pytest.raises((OutOfMemory, Raised), match=r"MemoryError|memory"):
            await run(server, text)
    else:
        with pytest.raises(kind, match=said):
            await run(server, text)
    # What comes next is served as if nothing had been.
    assert await run(server, "number 7") == 7.0


async def test_an_answer_ahead_of_its_question_is_nobodys(server: SnippetServer) -> None:
    ahead = (
        "x (exec('import gc, json\\n"
        "for c in gc.get_objects():\\n"
        '    if type(c).__name__ == "Channel":\\n'
        "        for n in range(2, 64):\\n"
        '            c.send(json.dumps({"to": n, "value": 1.0}).encode())\'), 0.5)[1]'
    )
    for text in (ahead, "number 0.25", "number 0.25"):
        try:
            value = await run(server, text)
        except (Crashed, InvalidResult):  # the process is given up
            continue
        assert text is ahead or value == 0.25


async def test_a_dataclass_of_the_source_finds_its_module(pool: SandboxPool) -> None:
    source = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "@dataclass\nclass A:\n    x: float\n"
        "def grade(sample, item):\n    return A(0.5).x\n"
    )
    server = SnippetServer(pool, source, check_source(source), memory_mb=256, at_once=1)
    assert await run(server, "") == 0.5
    await server.close()


async def test_functions_do_not_share_a_process(pool: SandboxPool, server: SnippetServer) -> None:
    other = SnippetServer(pool, COMMANDS, "grade", memory_mb=256, at_once=1)
    assert await run(server, "calls") == 1
    assert await run(other, "calls") == 1
    await other.close()


async def test_a_call_that_overruns_is_killed_and_others_are_not(server: SnippetServer) -> None:
    begin_s = time.monotonic()
    hung = [asyncio.create_task(run(server, text, 0.5)) for text in ("burn", "sleep 60")]
    others = [asyncio.create_task(run(server, f"number {i}")) for i in range(20)]
    for task in hung:
        with pytest.raises(TimedOut):
            await task
    assert [await task for task in others] == [float(i) for i in range(20)]
    assert time.monotonic() - begin_s < 4


async def test_a_call_that_is_cancelled_leaves_nothing(server: SnippetServer) -> None:
    assert await run(server, "number 1") == 1.0
    task = asyncio.create_task(run(server, "sleep 60", 100))
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await run(server, "number 2") == 2.0


async def test_what_it_printed_comes_with_the_reward(server: SnippetServer) -> None:
    value, printed = await server.call([{"output_text": "print hello"}, {}], 5.0)
    assert (value, printed.split()) == (0.5, ["hello", "to", "stderr"])
    _value, printed = await server.call([{"output_text": "number 1"}, {}], 5.0)
    assert printed == ""


async def test_it_sees_nothing_of_the_host(server: SnippetServer, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hidden")
    secret.chmod(0o644)
    with pytest.raises(Raised, match="Error"):
        await run(server, f"read {secret}")
    assert os.environ["PATH"]
    assert await run(server, "environ PATH") == 0.0


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("raise ValueError('at the top')\ndef grade(a, b): return 1", "ValueError: at the top"),
        ("import no_such_module\ndef grade(a, b): return 1", "ModuleNotFoundError"),
        ("def grade(a, b): return 1\ndel grade", "KeyError"),
    ],
)
async def test_a_source_that_cannot_be_loaded_says_so(
    pool: SandboxPool, source: str, said: str
) -> None:
    server = SnippetServer(pool, source, "grade", memory_mb=256, at_once=1)
    with pytest.raises(Raised, match=said):
        await run(server, "")
    await server.close()


async def test_gemini_functions_get_their_dicts(pool: SandboxPool) -> None:
    source = (
        "def evaluate(example, response):\n"
        "  text = response.get('parts', [])[0]['text']\n"
        "  return 1.0 if text == example.get('references', {}).get('answer') else -1.0\n"
    )
    server = SnippetServer(pool, source, check_source(source), memory_mb=256, at_once=1)
    example = {"contents": [], "references": {"answer": "Yes"}}
    for text, reward in (("Yes", 1.0), ("No", -1.0)):
        response = {"role": "model", "parts": [{"text": text}]}
        assert (await server.call([example, response], 5.0))[0] == reward
    await server.close()


async def test_a_function_may_use_a_temporary_file() -> None:
    source = (
        "import tempfile\ndef evaluate(example, response):\n"
        "    with tempfile.TemporaryFile('w+') as file:\n        file.write('0.5')\n"
        "        file.seek(0)\n        return float(file.read())"
    )
    async with started(profile=Profile("test", guests=(GUEST,))) as pool:
        server = SnippetServer(pool, source, "evaluate", memory_mb=128, at_once=1)
        assert (await server.call([{}, {}], 5.0))[0] == 0.5
        await server.close()
