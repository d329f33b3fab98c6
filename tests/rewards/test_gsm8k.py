"""`math` on real model solutions whose right and wrong is known.

All 3,960 where the data lies beside the checkout, else the sample that is shipped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from rewardplane.rewards import Example, Response, Score
from rewardplane.rewards.registry import build
from rewardplane.rewards.run import Clip, run_item

ROOT = Path(__file__).parents[2]
FULL = ROOT.parent / "shared" / "data" / "gsm8k_model_solutions.jsonl"
SAMPLE = ROOT / "service" / "demo_data" / "gsm8k_sample.jsonl"
FULL_RESPONSES = 3_960
FULL_MATCHES_OF_THE_NEXT = 49

REWARD = build("math", {})


@pytest.fixture(scope="module")
def problems() -> list[dict[str, Any]]:
    source = FULL if FULL.exists() else SAMPLE
    return [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]


def scored(problem: dict[str, Any], gold: str) -> Iterator[tuple[dict[str, Any], Score]]:
    example = Example(references={"answer": gold})
    for response in problem["responses"]:
        outcome = run_item(REWARD, (example, Response(response["text"])), Clip())
        assert isinstance(outcome, Score), (problem["id"], outcome)
        yield response, outcome


def test_agrees_with_every_label(problems: list[dict[str, Any]]) -> None:
    agreed, disagreed = 0, []
    for problem in problems:
        for response, outcome in scored(problem, problem["references"]["answer"]):
            if (outcome.reward == 1.0) is response["is_correct"]:
                agreed += 1
            else:
                disagreed.append((problem["id"], response["model"], response["text"][-80:]))
    assert disagreed == []
    assert agreed == (FULL_RESPONSES if FULL.exists() else 4 * len(problems))
    assert agreed > 0


def test_the_next_gold_is_met_by_equal_numbers_only(problems: list[dict[str, Any]]) -> None:
    """Each match is explained: the number after "A:" is the next problem's gold too."""
    matches = 0
    for problem, following in zip(problems, [*problems[1:], problems[0]], strict=True):
        gold = following["references"]["answer"]
        for response, outcome in scored(problem, gold):
            stated = re.findall(r"^A: (.+)$", response["text"], re.MULTILINE)
            equal = bool(stated) and number(stated[-1]) == number(gold)
            assert (outcome.reward == 1.0) is equal, (problem["id"], stated, gold)
            matches += equal
    if FULL.exists():
        assert matches == FULL_MATCHES_OF_THE_NEXT


def number(text: str) -> Fraction | None:
    try:
        return Fraction(text.replace(",", ""))
    except ValueError:
        return None
