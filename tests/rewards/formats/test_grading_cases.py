"""Cases of graders' judges as data: the four of `shared/data/grading_cases.jsonl`, and our own.

Fields: `kind`, `params`, `references` ("judge replies" is what the judge says, each time),
`response`, `expected`: the reward, "error REASON", or "see why" for an error of the judge.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rewardplane.rewards.registry import build
from rewardplane.rewards.run import Clip, run_item, run_items_async
from rewardplane.rewards.types import Example, Response, Score

from ...support.judge_server import says, serving

FILE = Path(__file__).with_name("grading_cases.jsonl")
CASES = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
async def test_case(case: dict[str, Any]) -> None:
    references = dict(case["references"])
    told = references.pop("judge replies", {})
    params = case["params"] if case["kind"] == "openai_grader" else {"config": case["params"]}
    async with serving() as judge:
        judge.replies = [says(told.get("content"), finish_reason=told.get("finish", "stop"))]
        reward: Any = build(case["kind"], {**params, "judge": {"base_url": judge.base_url}})
        reward.setup()
        item = (Example(references=references), Response(case["response"]))
        try:
            if reward.is_async:
                (outcome,) = await run_items_async(reward, [item], Clip(), 20)
            else:
                outcome = run_item(reward, item, Clip())
        finally:
            await reward.close()
    got = outcome.reward if isinstance(outcome, Score) else f"error {outcome.reason.name}"
    if case["expected"] == "see why":
        assert got in ("error JUDGE_UNREADABLE", "error JUDGE_REFUSED"), outcome
    else:
        assert got == case["expected"], outcome


def test_every_case_has_a_name_of_its_own() -> None:
    names = [case["id"] for case in CASES]
    assert len(set(names)) == len(names)
