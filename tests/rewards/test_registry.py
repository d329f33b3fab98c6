"""Kinds by name, and what they say of themselves."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError
from rewardplane.rewards.registry import build, kinds
from rewardplane.rewards.reward import Unit

PARAMS: dict[str, dict[str, Any]] = {
    "exact": {},
    "contains": {},
    "regex": {"pattern": "x"},
    "json_schema": {"schema": {}},
    "json_key": {"key": "x"},
    "numeric": {},
    "math": {},
    "choice": {},
    "program_run": {},
    "format": {},
    "tags": {},
    "length": {"max_length": 10, "cache_length": 5},
    "python": {"function": "a:b"},
    "composite": {"weights": {"a": 1}, "gates": [{"reward": "b"}]},
    "panel": {"members": {"a": 1}},
    "best_of": {"reward": "a"},
    "duplicates": {},
    "diversity": {},
    "relative_length": {},
    "code_tests": {},
    "snippet": {"source": "def grade(sample, item): return 1"},
    "gemini": {
        "config": {
            "stringMatchRewardScorer": {
                "stringMatchExpression": {"matchOperation": "EXACT_MATCH", "expression": "x"}
            }
        }
    },
    "openai_grader": {
        "grader": {
            "type": "string_check",
            "name": "x",
            "input": "{{ sample.output_text }}",
            "reference": "x",
            "operation": "eq",
        }
    },
    "judge": {"model": "m", "ask": {"kind": "predicate", "instructions": "Is it right?"}},
    "pairwise": {"model": "m"},
    "rubric": {"model": "m", "items": [{"name": "right", "ask": "Is it right?"}]},
    "reward_model": {"model": "m"},
}
SANDBOXED = {"code_tests", "program_run", "snippet"}
ASK_LABELS = {"judge", "pairwise", "rubric"}
OF_GROUPS = {"duplicates", "diversity", "relative_length", "pairwise"}
INLINE = {"exact", "contains", "regex", "numeric", "choice", "format", "tags", "length"}


def test_all_kinds_are_found() -> None:
    assert set(PARAMS) == set(kinds())


@pytest.mark.parametrize("name", PARAMS)
def test_what_a_kind_says_of_itself(name: str) -> None:
    reward = build(name, PARAMS[name])
    assert reward.kind == name
    assert reward.fits_inline is (name in INLINE)
    assert reward.runs_named_code is (name == "python")
    assert reward.deterministic is (name not in {"python", *SANDBOXED, *ASK_LABELS})
    for library in reward.libraries:
        assert importlib.metadata.version(library)
    if name != "python":
        assert reward.unit is (Unit.GROUP if name in OF_GROUPS else Unit.ITEM)
        assert reward.whole_group is (name in OF_GROUPS)
        assert reward.is_async is (name in {*SANDBOXED, *ASK_LABELS, "reward_model"})
        assert reward.isolation == ("namespaced" if name in SANDBOXED else "")
        assert reward.source_files == ()
        reward.check()
    with pytest.raises(ValidationError):
        build(name, {**PARAMS[name], "unknown_parameter": 1})
    with pytest.raises(ValidationError):
        reward.kind_of_change = 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", sorted(PARAMS))
def test_parameters_make_the_same_reward_again(name: str) -> None:
    reward = build(name, PARAMS[name])
    assert build(name, reward.model_dump(by_alias=True)) == reward


def test_an_unknown_kind_is_told_the_nearest() -> None:
    with pytest.raises(KeyError, match="did you mean 'numeric'"):
        build("numerik", {})


def test_listing_the_kinds_loads_nothing_dear() -> None:
    code = (
        "import sys; from rewardplane.rewards.registry import kinds; kinds();"
        "print(sorted({'sympy', 'math_verify', 'numpy', 'ray', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
