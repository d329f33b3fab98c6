"""Programs under tests, in every shape that data sets have."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rewardplane.rewards.code.ending import Ending
from rewardplane.rewards.kinds.code_tests import CodeTests
from rewardplane.rewards.registry import build
from rewardplane.rewards.sandbox.level import IsolationUnavailable
from rewardplane.rewards.types import Example, InvalidReference, Response, SandboxFault, Score

HUMANEVAL = Path(__file__).parents[4] / "shared" / "data" / "humaneval_0_99.jsonl"
SQUARES = {"inputs": ["2\n", "3\n", "-1\n"], "outputs": ["4\n", "9\n", "1\n"]}
SQUARE = "n = int(input())\nprint(n * n)"


def made(**params: Any) -> CodeTests:
    reward = build("code_tests", {"cpu_s": 2.0, "memory_mb": 256, **params})
    assert isinstance(reward, CodeTests)
    reward.setup()
    return reward


@pytest.fixture(scope="module")
def reward() -> Iterator[CodeTests]:
    """The kind with two slots."""
    it = made(slots=2)
    yield it
    it.kill()


def example(tests: Any, **references: str) -> Example:
    if isinstance(tests, str):
        return Example(references={"tests": tests, **references})
    return Example(references=references, json_references={"tests": json.dumps(tests)})


async def scored(reward: CodeTests, tests: Any, program: str, **references: str) -> Score:
    return await reward.score(
        example(tests, **references), Response(f"So:\n```python\n{program}\n```\nDone.")
    )


# ---- shapes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tests",
    [
        SQUARES,
        json.dumps(SQUARES),
        [{"input": i, "output": o} for i, o in zip(*SQUARES.values(), strict=True)],
        {"tests": [{"input": i, "output": o} for i, o in zip(*SQUARES.values(), strict=True)]},
        {"inputs": [["2"], ["3"], ["-1"]], "outputs": [["4"], ["9"], ["1"]]},
    ],
)
async def test_inputs_and_outputs(reward: CodeTests, tests: Any) -> None:
    assert (await scored(reward, tests, SQUARE)).reward == 1.0
    score = await scored(reward, tests, "print(4)")
    assert score.reward == pytest.approx(1 / 3)
    assert score.components == {"tests_passed": pytest.approx(1 / 3), "parsed": 1.0, "verdict": 1.0}
    assert score.explanation == "1 of 3 tests passed; test 1: another answer than is expected"


@pytest.mark.parametrize(
    "program",
    [
        "import sys\nn = int(sys.stdin.readline())\nsys.stdout.write(f'{n * n}\\n')",
        "import sys\nn = int(sys.stdin.buffer.read())\nsys.stdout.buffer.write(b'%d' % (n * n))",
        "n = int(open(0).read())\nprint(n * n)",
        "import os\nn = int(os.read(0, 100))\nos.write(1, str(n * n).encode())",
        "for line in __import__('sys').stdin:\n    print(int(line) ** 2, end='   \\n\\n')",
        "def main():\n    n = int(input())\n    print(n * n)\n"
        "if __name__ == '__main__':\n    main()",
        "n = int(input())\nprint(n * n)\nexit()",
        "import sys\nn = int(input())\nprint(n * n)\nsys.exit(3)",
        "n = int(input())\nprint(n * n)\nraise SystemExit",
        "import threading\nt = threading.Thread(target=lambda: print(int(input()) ** 2))\n"
        "t.start()\nt.join()",
    ],
)
async def test_every_way_to_read_and_write(reward: CodeTests, program: str) -> None:
    score = await scored(reward, SQUARES, program)
    assert score.reward == 1.0, score


async def test_a_long_input_is_read_whole(reward: CodeTests) -> None:
    numbers = list(range(200_000))
    tests = {"inputs": [" ".join(map(str, numbers))], "outputs": [str(sum(numbers))]}
    assert (await scored(reward, tests, "print(sum(map(int, input().split())))")).reward == 1.0


@pytest.mark.parametrize(
    "tests",
    [
        {"fn_name": "f", "inputs": [[[3, 1, 2], True], [[], False]], "outputs": [[3, 2, 1], []]},
        {
            "fn_name": "f",
            "inputs": ["[3, 1, 2]\ntrue", "[]\nfalse"],
            "outputs": ["[3, 2, 1]", "[]"],
        },
        {
            "fn_name": "f",
            "tests": [
                {"input": [[3, 1, 2], True], "output": [3, 2, 1]},
                {"input": [[], False], "output": []},
            ],
        },
    ],
)
async def test_calls_and_values(reward: CodeTests, tests: Any) -> None:
    right = "def f(xs, down):\n    return sorted(xs, reverse=down)"
    assert (await scored(reward, tests, right)).reward == 1.0
    method = "class Solution:\n    def f(self, xs, down):\n        return tuple(sorted(xs)[::-1])"
    assert (await scored(reward, tests, method)).reward == 1.0
    assert (await scored(reward, tests, "def f(xs, down):\n    return xs")).reward == 0.5
    assert (await scored(reward, tests, "def g(xs, down):\n    return xs")).reward == 0.0


@pytest.mark.parametrize(
    ("tests", "references"),
    [
        (["assert f(2) == 4", "assert f(-3) == 9", "assert f(0.5) == 0.25"], {}),
        ({"test_list": ["assert f(2) == 4", "assert f(-3) == 9"]}, {}),
        ("assert f(2) == 4\nfor i in range(9):\n    assert f(i) == i * i", {}),
        ("def check(candidate):\n    assert candidate(2) == 4\n", {"entry_point": "f"}),
        ({"test": "def check(c):\n    assert c(x=2) == 4\n", "entry_point": "f"}, {}),
    ],
)
async def test_assert_statements(reward: CodeTests, tests: Any, references: dict[str, str]) -> None:
    assert (await scored(reward, tests, "def f(x): return x * x", **references)).reward == 1.0
    wrong = await scored(reward, tests, "def f(x): return 4 if x == 2 else None", **references)
    assert wrong.reward < 1.0 or len(str(tests)) < 90
    assert (await scored(reward, tests, "def f(x): return -1", **references)).reward < 0.2


async def test_plain_values_cross_between_test_and_program(reward: CodeTests) -> None:
    values = [
        None, True, 0, -1, 2**70, 1.5, float("inf"), 1 + 2j, "é\0", b"\xff", [1, [2]], (1, (2,)),
        {1, 2}, frozenset({3}), {"a": 1, 2: (3,), (4, 5): {6}}, set(), {}, (),
    ]  # fmt: skip
    tests = "\n".join(
        f"assert same({value!r}) == {value!r}" for value in values if value != float("inf")
    )
    tests += "\nassert same(float('inf')) == float('inf')\nassert same(float('nan')) != 0"
    tests += "\nassert type(same((1,))) is tuple and type(same(True)) is bool"
    assert (await scored(reward, tests, "def same(x): return x")).reward == 1.0


async def test_exceptions_cross_by_name(reward: CodeTests) -> None:
    tests = (
        "def check(candidate):\n    try:\n        candidate(0)\n"
        "    except ZeroDivisionError as e:\n"
        "        assert 'division' in str(e)\n    else:\n        assert False\n"
        "    try:\n        candidate('x')\n    except Exception as e:\n"
        "        assert str(e) == 'no' and e.args == ('no',) and type(e).__name__ == 'Odd'\n"
    )
    program = (
        "class Odd(Exception): pass\ndef f(x):\n    if x == 'x': raise Odd('no')\n    return 1 / x"
    )
    score = await scored(reward, tests, program, entry_point="f")
    assert score.reward == 1.0, score
    score = await scored(reward, tests, "def f(x): return 1", entry_point="f")
    assert score.reward == 0.0, score


async def test_what_a_test_needs_of_the_prompt_is_the_prompts_own(reward: CodeTests) -> None:
    prompt = "def helper(x):\n    return x + 1\n\ndef f(x):\n    '''Adds one.'''\n"
    tests = "def check(candidate):\n    assert candidate(1) == helper(1)\n"
    given = {"entry_point": "f", "prompt": prompt}
    assert (await scored(reward, tests, "def f(x): return helper(x)", **given)).reward == 1.0
    cheat = "def helper(x): return 0\ndef f(x): return 0"
    assert (await scored(reward, tests, cheat, **given)).reward == 0.0
    body = await reward.score(example(tests, **given), Response("    return x + 1\n"))
    assert body.reward == 1.0


async def test_asserts_that_say_nothing_of_the_program_earn_nothing(reward: CodeTests) -> None:
    tests = "assert True, 'This prints if this assert fails'\nassert f(1) == 2"
    assert (await scored(reward, tests, "def f(x): return None")).reward == 0.0
    branch = "if f(1) == 2:\n    assert f(2) == 3\nelse:\n    assert f(3) == 9"
    assert (await scored(reward, branch, "def f(x): return x + 1")).reward == 1.0
    assert (await scored(reward, branch, "def f(x): return 0")).reward == 0.0


async def test_what_the_tests_call_besides_is_not_the_programs(reward: CodeTests) -> None:
    tests = ["assert abs(f(4) - 2.0) < 0.01", "assert set(f2()) == {1, 2}"]
    honest = "def f(x): return x ** 0.5\ndef f2(): return [2, 1]\n"
    assert (await scored(reward, tests, honest)).reward == 1.0
    cheat = "def f(x): return 9.0\ndef f2(): return [3]\ndef abs(x): return 0\n"
    assert (await scored(reward, tests, cheat + "def set(x): return {1, 2}")).reward == 0.0
    tests = "def check(f):\n    assert all(map(lambda x: f(x) == x, [1, 2]))"
    program = "def f(x): raise StopIteration"
    assert (await scored(reward, tests, program, entry_point="f")).reward == 0.0


@pytest.mark.parametrize(
    "program",
    [
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "@dataclass\nclass A:\n    x: int\ndef f(x): return A(x).x ** 2",
        "f = lambda x: x * x",
        "from functools import lru_cache\n@lru_cache(None)\ndef f(x): return x * x",
    ],
)
async def test_ways_to_write_a_function(reward: CodeTests, program: str) -> None:
    for tests in (["assert f(3) == 9"], {"inputs": [[3]], "outputs": [9], "fn_name": "f"}):
        assert (await scored(reward, tests, program)).reward == 1.0


async def test_what_a_thread_writes_counts(reward: CodeTests) -> None:
    program = (
        "import threading, time\nn = int(input())\n"
        "def late():\n    time.sleep(0.05)\n    print(n * n)\n"
        "threading.Thread(target=late).start()"
    )
    assert (await scored(reward, SQUARES, program)).reward == 1.0


async def test_a_program_too_long_or_that_does_not_compile_is_none(reward: CodeTests) -> None:
    for program in ("return 1", "break", "x = 1\n" + "#" * 65_536):
        score = await scored(reward, SQUARES, program)
        assert (score.reward, score.components["parsed"]) == (0.0, 0.0)


# ---- what goes wrong -------------------------------------------------------------------------


@pytest.mark.parametrize("tests", [SQUARES, {**SQUARES, "fn_name": "f"}, ["assert f(2) == 4"]])
@pytest.mark.parametrize(
    ("program", "marks"),
    [
        ("def f(x):\n    while True: pass\nwhile True: pass", {Ending.TIME_LIMIT}),
        ("import time\ntime.sleep(60)", {Ending.TIME_LIMIT}),
        ("xs = bytearray(8 << 30)", {Ending.MEMORY_LIMIT, Ending.RAISED}),
        ("raise ValueError('no')", {Ending.RAISED}),
        ("import os\nos._exit(0)", {Ending.CRASHED, Ending.WRONG}),
        ("import os\nos.kill(os.getpid(), 11)", {Ending.CRASHED, Ending.RAISED}),
        ("import ctypes\nctypes.string_at(0)", {Ending.CRASHED}),
        ("def f(x:\n", {Ending.NO_PROGRAM}),
        ("", {Ending.NO_PROGRAM}),
        ("x = 1", {Ending.WRONG, Ending.RAISED}),
    ],
)
async def test_a_program_that_fails_is_wrong_and_no_error(
    program: str, marks: set[Ending], tests: Any
) -> None:
    reward = made(cpu_s=0.3, memory_mb=128)
    try:
        inputs = {"inputs": [[2], [3], [-1]], "outputs": [4, 9, 1]} if "fn_name" in tests else {}
        given = {**tests, **inputs} if isinstance(tests, dict) else tests
        score = await scored(reward, given, program)
        assert score.reward == 0.0
        assert score.components["verdict"] in marks, score
        assert score.components["parsed"] == float(Ending.NO_PROGRAM not in marks)
    finally:
        reward.kill()


async def test_what_passes_beside_a_test_that_ends_the_program_counts(reward: CodeTests) -> None:
    dies = "import os\nn = int(input())\nprint(n * n)\nif n == 3: os._exit(1)"
    score = await scored(reward, SQUARES, dies)
    assert score.components["tests_passed"] == pytest.approx(2 / 3)
    assert score.components["verdict"] == Ending.CRASHED


async def test_all_or_nothing_and_a_scale_of_ones_own() -> None:
    reward = made(all_or_nothing=True, correct_reward=2.0, wrong_reward=-1.0)
    try:
        assert (await scored(reward, SQUARES, SQUARE)).reward == 2.0
        score = await scored(reward, SQUARES, "print(4)")
        assert score.reward == -1.0
        assert score.components["tests_passed"] == pytest.approx(1 / 3)
    finally:
        reward.kill()


async def test_a_tolerance() -> None:
    tests = {"inputs": ["1\n"], "outputs": ["0.333333 ok\n"]}
    exact, near = made(compare="exact"), made(tolerance=1e-4)
    try:
        assert (await scored(exact, tests, "print(1 / 3, 'ok')")).reward == 0.0
        assert (await scored(near, tests, "print(1 / 3, 'ok')")).reward == 1.0
        assert (await scored(near, tests, "print(1 / 3, 'no')")).reward == 0.0
        assert (await scored(near, tests, "print(0.34, 'ok')")).reward == 0.0
        calls = {"fn_name": "f", "inputs": [[1]], "outputs": [{"x": [0.1, True]}]}
        assert (await scored(near, calls, "def f(x): return {'x': (0.10001, True)}")).reward == 1.0
        assert (await scored(near, calls, "def f(x): return {'x': (0.10001, 1)}")).reward == 0.0
    finally:
        exact.kill()
        near.kill()


@pytest.mark.parametrize(
    ("tests", "fault"),
    [
        ("", "no assert"),
        ("{", "no JSON"),
        ([], "0 inputs"),
        ({}, "nothing"),
        ({"inputs": ["1"], "outputs": []}, "1 inputs for 0 outputs"),
        ({"inputs": [1], "outputs": ["1"]}, "no text"),
        ({"inputs": [1], "outputs": ["1"], "fn_name": "f"}, "list of arguments"),
        ({"inputs": ["{"], "outputs": ["1"], "fn_name": "f"}, "no JSON"),
        ([{"input": "1"}], "input and output"),
        ("assert f(", "cannot be run: SyntaxError"),
        ("assert f(lambda: 1) == 1", "cannot cross"),
        (3, "int"),
    ],
)
async def test_tests_that_cannot_be_run_are_the_references_fault(
    reward: CodeTests, tests: Any, fault: str
) -> None:
    with pytest.raises(InvalidReference, match=fault):
        await scored(reward, tests, "def f(x): return 1")
    with pytest.raises(InvalidReference, match="missing"):
        await reward.score(Example(), Response("x"))


async def test_a_fault_of_the_sandbox_is_no_verdict_on_the_program() -> None:
    reward = made()
    reward.pool.kill()
    for tests in (SQUARES, ["assert f(1) == 1"]):
        with pytest.raises(SandboxFault):
            await scored(reward, tests, SQUARE)


def test_more_isolation_than_there_is_is_refused() -> None:
    reward = build("code_tests", {"isolation": "guest_kernel"})
    with pytest.raises(IsolationUnavailable, match="guest"):
        reward.setup()


# ---- HumanEval -------------------------------------------------------------------------------


def tasks() -> list[dict[str, str]]:
    return [json.loads(line) for line in HUMANEVAL.read_text().splitlines()]


async def human(reward: CodeTests, programs: list[str]) -> list[Score]:
    places = asyncio.Semaphore(2)

    async def one(task: dict[str, str], program: str) -> Score:
        names = ("prompt", "entry_point", "test")
        given = Example(references={name: task[name] for name in names})
        async with places:
            return await reward.score(given, Response(program))

    return await asyncio.gather(*map(one, tasks(), programs))


@pytest.fixture(scope="module")
def human_eval() -> Iterator[CodeTests]:
    """The kind as HumanEval wants it."""
    it = made(slots=2, reference="test", all_or_nothing=True, cpu_s=3.0)
    yield it
    it.kill()


async def test_canonical_solutions_pass(human_eval: CodeTests) -> None:
    whole = [f"```python\n{t['prompt']}{t['canonical_solution']}```" for t in tasks()]
    assert [s.reward for s in await human(human_eval, whole)] == [1.0] * 100
    bodies = [t["canonical_solution"] for t in tasks()]
    assert [s.reward for s in await human(human_eval, bodies)] == [1.0] * 100


MUTATIONS = {
    "returns None": "    result = None\n    return result\n",
    "off by one": None,
    "wrong type": "    return object()\n",
    "raises": "    raise ValueError('no')\n",
    "empty": "    pass\n",
}


@pytest.mark.parametrize("name", MUTATIONS)
async def test_mutations_fail(human_eval: CodeTests, name: str) -> None:
    programs: list[str] = []
    for task in tasks():
        body = MUTATIONS[name]
        program = task["prompt"] + (body or task["canonical_solution"])
        if body is None:  # what the right one returns, and one more
            entry = task["entry_point"]
            program += (
                f"\n_right = {entry}\n\ndef _more(value):\n"
                "    if isinstance(value, bool): return not value\n"
                "    if isinstance(value, (int, float)): return value + 1\n"
                "    if isinstance(value, str): return value + '1'\n"
                "    if isinstance(value, list): return [*value, 1]\n"
                "    if isinstance(value, tuple): return (*value, 1)\n"
                "    if isinstance(value, dict): return {**value, 'more': 1}\n"
                "    return 1\n\n"
                f"def {entry}(*args, **kwargs):\n    return _more(_right(*args, **kwargs))\n"
            )
        programs.append(f"```python\n{program}```")
    scores = await human(human_eval, programs)
    assert [t["task_id"] for t, s in zip(tasks(), scores, strict=True) if s.reward] == []


async def test_infinite_loops_fail() -> None:
    reward = made(slots=2, reference="test", cpu_s=0.1, all_or_nothing=True)
    try:
        programs = [f"```python\n{t['prompt']}    while True: pass\n```" for t in tasks()]
        scores = await human(reward, programs)
        assert {s.reward for s in scores} == {0.0}
        assert {s.components["verdict"] for s in scores} == {float(Ending.TIME_LIMIT)}
    finally:
        reward.kill()


async def test_hashes_and_the_tests_own_chance_are_the_same_everywhere() -> None:
    seen: list[bytes] = []
    chance = "import random\nassert keep(random.random(), hash('abc')) in (1, 2)"
    for _replica in range(2):
        reward = made()
        try:
            order = {
                "candidates": ["print(hash('abc'))"],
                "reads": False,
                "inputs": [""],
                "output_bytes": 100,
            }
            run = await reward.pool.run("stdin_cases", json.dumps(order).encode(), reward.limits)
            seen.append(re.sub(rb'"us": [0-9]+', b"", run.answer))
            known = await scored(reward, [chance], "def keep(x, h): raise ValueError((x, h))")
            seen.append(known.explanation.encode())
        finally:
            reward.kill()
    assert seen[:2] == seen[2:]
    assert b"ValueError" in seen[1]
