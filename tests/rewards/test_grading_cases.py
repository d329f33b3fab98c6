"""Small inputs that once ended in the wrong reward, as data: `data/grading_cases.jsonl`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rewardplane.rewards import Example, Response, Score
from rewardplane.rewards.registry import build
from rewardplane.rewards.run import Clip, run_item

CASES = [
    json.loads(line)
    for line in (Path(__file__).parent / "data" / "grading_cases.jsonl")
    .read_text(encoding="utf-8")
    .splitlines()
]
KINDS = {"math", "numeric", "choice", "exact", "contains", "regex", "format", "tags"} | {
    "json_key",
    "json_schema",
}


@pytest.mark.parametrize(
    "case", [case for case in CASES if case["kind"] in KINDS], ids=lambda case: case["id"]
)
def test_the_reward_that_is_expected(case: dict[str, Any]) -> None:
    item = (Example(references=case["references"]), Response(case["response"]))
    outcome = run_item(build(case["kind"], case["params"]), item, Clip())
    assert isinstance(outcome, Score), outcome
    assert outcome.reward == {"right": 1.0, "wrong": 0.0}.get(case["expected"], case["expected"])


def test_none_is_left_out() -> None:
    assert sum(case["kind"] in KINDS for case in CASES) >= 28
