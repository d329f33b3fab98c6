"""exact, contains and regex."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from rewardplane.rewards import Example, Reason, Response, Score, ScoreError
from rewardplane.rewards.reading.thoughts import CHANNEL, TRAINED, after_thoughts
from rewardplane.rewards.registry import build
from rewardplane.rewards.run import Clip, run_item


def outcome_of(kind: str, params: dict[str, Any], text: str, **golds: Any) -> Score | ScoreError:
    plain = {key: gold for key, gold in golds.items() if isinstance(gold, str)}
    documents = {key: gold[0] for key, gold in golds.items() if not isinstance(gold, str)}
    item = (Example(references=plain, json_references=documents), Response(text))
    return run_item(build(kind, params), item, Clip())


@pytest.mark.parametrize(
    ("params", "gold", "text", "reward"),
    [
        ({}, "Paris", "Paris", 1.0),
        ({}, "Paris", " Paris\n", 1.0),
        ({}, " Paris ", "Paris", 1.0),
        ({"strip": False}, "Paris", "Paris ", 0.0),
        ({}, "Paris", "paris", 0.0),
        ({"ignore_case": True}, "STRASSE", "straße", 1.0),
        ({}, "Paris", "It is Paris", 0.0),
        ({}, "Paris", "", 0.0),
        ({"correct_reward": 2, "wrong_reward": -1}, "a", "a", 2.0),
        ({"correct_reward": 2, "wrong_reward": -1}, "a", "b", -1.0),
        ({}, ["18"], "18", 1.0),
        ({}, ["1.50"], "1.50", 1.0),
        ({}, ['"x"'], "x", 1.0),
    ],
)
def test_exact(params: dict[str, Any], gold: Any, text: str, reward: float) -> None:
    assert outcome_of("exact", params, text, answer=gold) == Score(reward)


@pytest.mark.parametrize(
    ("params", "gold", "text", "reward"),
    [
        ({}, "Paris", "It is Paris.", 1.0),
        ({}, " Paris\n", "It is Paris.", 1.0),
        ({}, "Paris", "It is paris.", 0.0),
        ({"ignore_case": True}, "PARIS", "It is paris.", 1.0),
        ({"text": "sorry", "correct_reward": -1}, None, "I am sorry.", -1.0),
        ({"text": "sorry", "correct_reward": -1}, None, "Here it is.", 0.0),
        ({}, "x", "", 0.0),
    ],
)
def test_contains(params: dict[str, Any], gold: Any, text: str, reward: float) -> None:
    golds = {} if gold is None else {"answer": gold}
    assert outcome_of("contains", params, text, **golds) == Score(reward)


@pytest.mark.parametrize("kind", ["exact", "contains", "numeric", "math"])
@pytest.mark.parametrize(
    ("golds", "says"),
    [
        ({}, "missing"),
        ({"other": "x"}, "there are: other"),
        ({"answer": "  "}, "blank"),
        ({"answer": ""}, "blank"),
        ({"answer": ['""']}, "blank"),
        ({"answer": ["null"]}, "null"),
        ({"answer": ["true"]}, "true or false"),
        ({"answer": ["[]"]}, "a list"),
        ({"answer": ["[[1]]"]}, "a list"),
        ({"answer": ['{"a": 1}']}, "an object"),
        ({"answer": ["{"]}, "no JSON"),
        ({"answer": ["9" * 5000]}, "no JSON"),
    ],
)
def test_a_gold_that_cannot_be_read(kind: str, golds: dict[str, Any], says: str) -> None:
    outcome = outcome_of(kind, {}, "18", **golds)
    assert isinstance(outcome, ScoreError)
    assert outcome.reason is Reason.INVALID_REFERENCE
    assert says in outcome.message


@pytest.mark.parametrize("kind", ["exact", "contains"])
def test_a_list_is_no_text(kind: str) -> None:
    outcome = outcome_of(kind, {}, "1", answer=["[1]"])
    assert isinstance(outcome, ScoreError)
    assert outcome.reason is Reason.INVALID_REFERENCE


@pytest.mark.parametrize("kind", ["numeric", "math"])
def test_a_list_is_one_of_acceptable_golds(kind: str) -> None:
    for text, reward in (("1", 1.0), ("2.50", 1.0), ("3", 0.0)):
        outcome = outcome_of(kind, {}, text, answer=['[1, "2.5"]'])
        assert isinstance(outcome, Score)
        assert outcome.reward == reward
    for wrong in ("[null]", '["1", " "]', "[true]", "[" + "1," * 300 + "1]"):
        outcome = outcome_of(kind, {}, "1", answer=[wrong])
        assert isinstance(outcome, ScoreError)
        assert outcome.reason is Reason.INVALID_REFERENCE


def test_a_reference_of_the_response_goes_first() -> None:
    item = (Example(references={"answer": "a"}), Response("b", references={"answer": "b"}))
    assert run_item(build("exact", {}), item, Clip()) == Score(1.0)
    item = (Example(references={"answer": "1"}), Response("2", json_references={"answer": "2"}))
    assert run_item(build("exact", {}), item, Clip()) == Score(1.0)


@pytest.mark.parametrize(
    ("pattern", "text", "reward"),
    [
        (r"answer: (\d+)", "The answer: 18.", 1.0),
        (r"answer: (\d+)", "The answer: none.", 0.0),
        (r"^\d+$", "18", 1.0),
        (r"^\d+$", "18\n19", 0.0),
        (r"(?m)^\d+$", "x\n19", 1.0),
        (r"(?i)YES", "yes", 1.0),
        (r"a.b", "a\nb", 0.0),
        (r"(?s)a.b", "a\nb", 1.0),
        (r"é", "café", 1.0),
        (r"^.$", "é", 1.0),
        (r"^.$", "\ud800", 1.0),
        (r"x*", "", 1.0),
    ],
)
def test_regex(pattern: str, text: str, reward: float) -> None:
    assert outcome_of("regex", {"pattern": pattern}, text) == Score(reward)
    assert outcome_of("regex", {"reference": "p"}, text, p=pattern) == Score(reward)


def test_regex_takes_linear_time() -> None:
    outcome = outcome_of("regex", {"pattern": "^(a+)+$"}, "a" * 100_000 + "b")
    assert outcome == Score(0.0)


@pytest.mark.parametrize(
    "params",
    [
        {"pattern": "("},
        {"pattern": "(?=a)"},
        {"pattern": r"(a)\1"},
        {"pattern": "((a{1000}){1000}){1000}"},
        {"pattern": "\ud800"},
        {"pattern": ""},
        {},
        {"pattern": "a", "reference": "b"},
        {"pattern": "a", "unknown": 1},
        {"pattern": "a", "correct_reward": float("nan")},
    ],
)
def test_regex_faults_are_refused_early(params: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        build("regex", params)


@pytest.mark.parametrize("gold", ["(", "(?=a)", "((a{1000}){1000}){1000}", ['"\\ud800"']])
def test_regex_of_a_reference_that_cannot_be_compiled(gold: Any) -> None:
    outcome = outcome_of("regex", {"reference": "p"}, "text", p=gold)
    assert isinstance(outcome, ScoreError)
    assert outcome.reason is Reason.INVALID_REFERENCE


@settings(deadline=None)
@given(st.text(), st.text(), st.booleans(), st.booleans())
def test_text_kinds_score_any_text(gold: str, text: str, strip: bool, ignore_case: bool) -> None:
    params = {"ignore_case": ignore_case}
    exact = outcome_of("exact", {**params, "strip": strip}, text, answer=gold)
    contains = outcome_of("contains", params, text, answer=gold)
    if not gold.strip():
        assert isinstance(exact, ScoreError)
        assert isinstance(contains, ScoreError)
        return
    assert isinstance(exact, Score)
    assert isinstance(contains, Score)
    assert contains.reward >= exact.reward
    if after_thoughts(gold, (*TRAINED, CHANNEL), unfinished="nothing") == gold:
        assert outcome_of("exact", {}, gold, answer=gold) == Score(1.0)


@settings(deadline=None)
@given(st.text(max_size=20), st.text())
def test_regex_of_any_reference(pattern: str, text: str) -> None:
    outcome = outcome_of("regex", {"reference": "p"}, text, p=pattern)
    if isinstance(outcome, ScoreError):
        assert outcome.reason is Reason.INVALID_REFERENCE
    else:
        assert outcome.reward in (0.0, 1.0)
