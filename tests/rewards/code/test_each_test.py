"""The results and times of single tests, as a score's details tell them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from rewardplane.rewards.kinds.code_tests import CodeTests
from rewardplane.rewards.types import Example, Response, Score

STDIN = {"inputs": ["1\n", "2\n", "3\n"], "outputs": ["1\n", "2\n", "3\n"]}
CALLS = {"fn_name": "f", "inputs": [[1], [2], [3]], "outputs": [1, 2, 3]}
ASSERTS = [f"assert f({n}) == {n}" for n in (1, 2, 3)]
UNITTEST = """
import unittest
class TestF(unittest.TestCase):
    def test_1(self): self.assertEqual(f(1), 1)
    def test_2(self): self.assertEqual(f(2), 2)
    def test_3(self): self.assertEqual(f(3), 3)
"""
BODY = {
    "right": "return n",
    "wrong": "return n if n != 2 else 0",
    "raises": "return n if n != 2 else n / 0",
    "exits": "import os\n    return n if n != 2 else os._exit(1)",
    "slow": "sum(range(3_000_000)) if n == 3 else 0\n    return n",
}


@pytest.fixture(scope="module")
def reward() -> Iterator[CodeTests]:
    made = CodeTests(cpu_s=2.0, memory_mb=256)
    made.setup()
    yield made
    made.kill()


async def details(reward: CodeTests, tests: Any, body: str) -> dict[str, list[Any]]:
    program = f"def f(n):\n    {body}\n"
    if tests is STDIN:
        program += "print(f(int(input())))\n"
    told = {"tests": tests} if isinstance(tests, str) else {}
    known = {} if told else {"tests": json.dumps(tests)}
    score = await reward.score(Example((), told, known), Response(f"```python\n{program}```"))
    assert isinstance(score, Score)
    found = json.loads(score.details_json)
    assert set(found) == {"passed", "cpu_s"}
    assert score.components["tests_passed"] == sum(found["passed"]) / len(found["passed"])
    return found


@pytest.mark.parametrize("tests", [STDIN, CALLS, ASSERTS, UNITTEST])
@pytest.mark.parametrize("how", ["right", "wrong", "raises", "exits"])
async def test_each_test_has_its_result(reward: CodeTests, tests: Any, how: str) -> None:
    found = await details(reward, tests, BODY[how])
    assert found["passed"] == [True, how == "right", True]
    for passed, cpu_s in zip(found["passed"], found["cpu_s"], strict=True):
        assert 0 <= cpu_s < 2 if passed else cpu_s is None or 0 <= cpu_s < 2


@pytest.mark.parametrize("tests", [STDIN, CALLS, ASSERTS, UNITTEST])
async def test_a_slow_test_is_the_slow_one(reward: CodeTests, tests: Any) -> None:
    first, second, third = (await details(reward, tests, BODY["slow"]))["cpu_s"]
    assert third > 4 * (first + second)
    assert third > 0.01


async def test_a_program_cannot_say_how_long_it_took(reward: CodeTests) -> None:
    program = "import time\ntime.process_time_ns = lambda: 0\n" + (
        "n = int(input())\nsum(range(2_000_000))\nprint(n)"
    )
    example = Example(json_references={"tests": json.dumps(STDIN)})
    score = await reward.score(example, Response(f"```python\n{program}\n```"))
    assert sum(json.loads(score.details_json)["cpu_s"]) > 0.03


async def test_what_was_not_run_has_failed(reward: CodeTests) -> None:
    found = await details(reward, ASSERTS, "return n\nraise ValueError")
    assert found == {"passed": [False] * 3, "cpu_s": [None] * 3}
    example = Example(json_references={"tests": json.dumps(STDIN)})
    score = await reward.score(example, Response("no program: ("))
    assert score.details_json == ""


async def test_pieces_that_do_not_stand_alone_have_one_result(reward: CodeTests) -> None:
    pieces = ["x = f(1)", "assert x == 1", "assert f(x) == 1"]
    assert (await details(reward, pieces, "return n"))["passed"] == [True] * 3
