"""Small cases of what goes wrong in graders of programs: each with the reward that is due."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rewardplane.rewards.kinds.code_tests import CodeTests
from rewardplane.rewards.registry import build
from rewardplane.rewards.types import Example, InvalidReference, Response

CASES = [
    json.loads(line)
    for line in Path(__file__).with_name("grading_cases.jsonl").read_text().splitlines()
]


@pytest.fixture(scope="module")
def rewards() -> Iterator[dict[str, CodeTests]]:
    """Those made so far, by their parameters: many cases share one."""
    made: dict[str, CodeTests] = {}
    yield made
    for each in made.values():
        each.kill()


def made(params: dict[str, Any]) -> CodeTests:
    reward = build("code_tests", params)
    assert isinstance(reward, CodeTests)
    reward.setup()
    return reward


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
async def test_a_case_earns_what_is_due(
    case: dict[str, Any], rewards: dict[str, CodeTests]
) -> None:
    key = json.dumps(case["params"], sort_keys=True)
    if key not in rewards:
        rewards[key] = made(case["params"])
    texts = {k: v for k, v in case["references"].items() if isinstance(v, str)}
    others = {k: json.dumps(v) for k, v in case["references"].items() if not isinstance(v, str)}
    example = Example(references=texts, json_references=others)
    response = Response(case["response"])
    if case["expected"] == "INVALID_REFERENCE":
        with pytest.raises(InvalidReference):
            await rewards[key].score(example, response)
        return
    score = await rewards[key].score(example, response)
    assert score.reward == pytest.approx(case["expected"]), score


LONG: dict[str, tuple[dict[str, Any], str]] = {
    "100 kB of input at descriptor 0": (
        {"inputs": ["7 " * 50_000 + "\n"], "outputs": ["350000\n"]},
        "print(sum(map(int, open(0).read().split())))",
    ),
    "40 outputs of 60 kB": (
        {"inputs": [f"{i}\n" for i in range(40)], "outputs": ["7" * 60_000] * 40},
        "print('7' * 60000)",
    ),
    "one of 2 MB": ({"inputs": ["1\n"], "outputs": ["7" * 2_000_000]}, "print('7' * 2000000)"),
    "a list of 300,000 numbers": (
        {"fn_name": "f", "inputs": [[300_000]], "outputs": [list(range(300_000))]},
        "def f(n): return list(range(n))",
    ),
}


@pytest.mark.parametrize("name", LONG)
async def test_what_is_long_is_compared_whole(name: str, rewards: dict[str, CodeTests]) -> None:
    tests, program = LONG[name]
    if "{}" not in rewards:
        rewards["{}"] = made({})
    example = Example(json_references={"tests": json.dumps(tests)})
    score = await rewards["{}"].score(example, Response(f"```python\n{program}\n```"))
    assert score.reward == 1.0, score.explanation[:300]
