"""Kinds of fault that public bug reports have, mended as kinds: a row each of what is due.

The rows are in `data/answers.jsonl`; a gold that is no text is a JSON reference. `right` null: it
is INVALID_REFERENCE.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rewardplane.rewards import Example, Reason, Response, Score, ScoreError
from rewardplane.rewards.registry import build
from rewardplane.rewards.run import Clip, run_item

CASES = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "data" / "answers.jsonl")
    .read_text(encoding="utf-8")
    .splitlines()
]


@pytest.mark.parametrize(
    "case", CASES, ids=lambda c: f"{c['kind']}-{c['gold']}-{c['response']}"[:60]
)
def test_right_or_wrong(case: dict[str, Any]) -> None:
    kind, params, gold = case["kind"], case.get("params", {}), case["gold"]
    if isinstance(gold, str):
        example = Example(references={"answer": gold})
    else:
        example = Example(json_references={"answer": json.dumps(gold)})
    outcome = run_item(build(kind, params), (example, Response(case["response"])), Clip())
    if case["right"] is None:
        assert isinstance(outcome, ScoreError)
        assert outcome.reason is Reason.INVALID_REFERENCE
        return
    assert isinstance(outcome, Score), outcome
    assert outcome.reward == float(case["right"])


def test_what_was_read_comes_back() -> None:
    def outcome(kind: str, text: str, gold: str, **params: Any) -> Score:
        item = (Example(references={"answer": gold}), Response(text))
        scored = run_item(build(kind, params), item, Clip())
        assert isinstance(scored, Score)
        return scored

    assert outcome("math", "The answer is 19.", "18").answer == "19."
    assert outcome("math", "The answer is 19.", "18").explanation == ""
    assert outcome("math", r"\boxed{19}", "18", explain=True).explanation == "read 19, gold 18"
    assert outcome("numeric", "A: 19", "18", explain=True).explanation == "read 19, gold 18"
    assert outcome("numeric", "none", "18", explain=True).explanation == "read nothing, gold 18"
    assert outcome("choice", "(A) and (C)", "B", explain=True).explanation == "read A, C, gold B"
    assert outcome("exact", "a", "b", explain=True).explanation == "read a, gold b"
    assert outcome("contains", "ab", "b", explain=True).answer == "b"
    assert outcome("regex", "x18", "", pattern="[0-9]+", explain=True).answer == "18"
    assert outcome("json_key", '{"a": [1]}', "b", key="a", explain=True).answer == "[1]"
    assert len(outcome("math", "\\boxed{" + "9" * 1500 + "}", "18").answer) == 500
