"""The verdict on a test does not depend on the other tests, on their order, or on the load."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Sequence

import pytest
from rewardplane.rewards.kinds.code_tests import CodeTests
from rewardplane.rewards.registry import build
from rewardplane.rewards.types import Example, Response

PROGRAMS = {
    "right": "n = int(input())\nprint(n * n)",
    "wrong now and then": "n = int(input())\nprint(n * n if n % 3 else 7)",
    "loops": "n = int(input())\nwhile n == 2: pass\nprint(n * n)",
    "crashes": "import os\nn = int(input())\nif n in (1, 5): os.kill(os.getpid(), 11)\n"
    "print(n * n)",
    "ends itself": "import os\nn = int(input())\nif n % 2: os._exit(0)\nprint(n * n)",
    "raises": "n = int(input())\nassert n != 3\nprint(n * n)",
    "takes memory": "n = int(input())\nx = bytearray((n == 4) * (1 << 30))\nprint(n * n)",
    "spoils what comes next": "import builtins\nn = int(input())\nprint(n * n)\n"
    "if n == 0: builtins.print = lambda *a: None",
    "counts its runs": "import sys\nsys.runs = getattr(sys, 'runs', 0) + 1\nn = int(input())\n"
    "print(n * n if sys.runs == 1 else 7)",
    "leaves a file": "import os\nn = int(input())\nprint(7 if os.path.exists('x') else n * n)\n"
    "open('x', 'w').close()",
}
SHARES = {
    "right": 1.0,
    "wrong now and then": 4 / 6,
    "loops": 5 / 6,
    "crashes": 4 / 6,
    "ends itself": 3 / 6,
    "raises": 5 / 6,
    "takes memory": 5 / 6,
    "spoils what comes next": 1.0,
    "counts its runs": 1.0,
    "leaves a file": 1.0,
}
NUMBERS = range(6)
LOAD = "while True: pass"


def made(**params: object) -> CodeTests:
    reward = build("code_tests", {"cpu_s": 0.2, "memory_mb": 128, "slots": 2, **params})
    assert isinstance(reward, CodeTests)
    reward.setup()
    return reward


async def share(reward: CodeTests, program: str, shape: str, numbers: Sequence[int]) -> float:
    """Of a program for stdin, with its tests in an order and a shape."""
    if shape == "stdin":
        tests: object = {
            "inputs": [f"{n}\n" for n in numbers],
            "outputs": [f"{n * n}\n" for n in numbers],
        }
    else:
        body = "\n".join(f"    {line}" for line in program.replace("print(", "p(").splitlines())
        program = (
            f"def f(n):\n    out = []\n    input, p = lambda: n, out.append\n{body}\n"
            "    return out[0] if out else None"
        )
        if shape == "calls":
            squares = [n * n for n in numbers]
            tests = {"fn_name": "f", "inputs": [[n] for n in numbers], "outputs": squares}
        else:
            tests = [f"assert f({n}) == {n * n}" for n in numbers]
    example = Example(json_references={"tests": json.dumps(tests)})
    score = await reward.score(example, Response(f"```python\n{program}\n```"))
    return score.reward


@pytest.mark.parametrize("name", PROGRAMS)
async def test_each_test_has_the_verdict_that_it_has_alone(name: str) -> None:
    reward = made()
    try:
        orders = [list(NUMBERS), list(NUMBERS)[::-1], *(shuffled(seed) for seed in range(2))]
        for order in orders:
            found = await share(reward, PROGRAMS[name], "stdin", order)
            assert found == pytest.approx(SHARES[name]), order
    finally:
        reward.kill()


@pytest.mark.parametrize("shape", ["calls", "asserts"])
@pytest.mark.parametrize("name", ["right", "wrong now and then", "loops", "crashes", "raises"])
async def test_in_other_shapes_too(name: str, shape: str) -> None:
    reward = made()
    try:
        for seed in range(2):
            found = await share(reward, PROGRAMS[name], shape, shuffled(seed))
            assert found == pytest.approx(SHARES[name]), shape
    finally:
        reward.kill()


def shuffled(seed: int) -> list[int]:
    return random.Random(seed).sample(NUMBERS, len(NUMBERS))


async def test_a_right_program_that_has_little_of_the_machine_is_right() -> None:
    """Twelve at 0.9 of their CPU limit, all at once, on however few cores."""
    reward = made(slots=12, cpu_s=0.5)
    burn = "import time\nwhile time.process_time() < 0.43: pass\nn = int(input())\nprint(n * n)"
    try:
        rewards = await asyncio.gather(*(share(reward, burn, "stdin", [n]) for n in range(12)))
        assert rewards == [1.0] * 12
    finally:
        reward.kill()
