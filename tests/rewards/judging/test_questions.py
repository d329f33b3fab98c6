"""Questions from configurations: their labels, and the expectation over them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from rewardplane.rewards.judging.questions import Question, value_of
from rewardplane.rewards.models.asking import asked, in_words
from rewardplane.rewards.models.model import LabelQuestion

_QUESTION: TypeAdapter[Any] = TypeAdapter(Question)


def question(given_: Any) -> LabelQuestion:
    return _QUESTION.validate_python(given_).question()


@pytest.mark.parametrize(
    ("config", "labels"),
    [
        ("Is it good?", [("Yes", 1), ("No", 0)]),
        ({"kind": "score", "levels": [1, 2, 3]}, [("1", 1), ("2", 2), ("3", 3)]),
        ({"kind": "score", "levels": [0, 0.5, 1]}, [("1", 0), ("2", 0.5), ("3", 1)]),
        ({"kind": "score", "levels": {-1: "bad", 10: "good"}}, [("1", -1), ("2", 10)]),
        ({"kind": "choice", "options": {"calm": 1, "angry": -2}}, [("A", 1), ("B", -2)]),
    ],
)
def test_labels_are_one_token_and_carry_the_values(
    config: Any, labels: list[tuple[str, float]]
) -> None:
    if isinstance(config, dict):
        config = {**config, "instructions": "How?"}
    found = question(config)
    assert [(label.text, label.value) for label in found.labels] == labels


@pytest.mark.parametrize(
    "config",
    [
        "",
        {"kind": "score", "instructions": "?", "levels": [1]},
        {"kind": "score", "instructions": "?", "levels": [2, 1]},
        {"kind": "score", "instructions": "?", "levels": list(range(11))},
        {"kind": "choice", "instructions": "?", "options": {"a": 1}},
        {"kind": "choice", "instructions": "?", "options": {"a": float("nan"), "b": 1}},
        {"kind": "essay", "instructions": "?"},
    ],
)
def test_questions_that_make_no_sense_are_refused(config: Any) -> None:
    with pytest.raises(ValidationError):
        question(config)


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_the_expectation_stays_within_the_levels(weights: list[float]) -> None:
    total = sum(weights)
    if not total:
        return
    probs = dict(zip("123", (weight / total for weight in weights), strict=True))
    scored = question({"kind": "score", "instructions": "?", "levels": [1, 2, 3]})
    assert 1 <= value_of(scored, probs) <= 3


def test_the_question_stands_last() -> None:
    config = {"kind": "choice", "instructions": "Which tone?", "options": {"calm": 1, "angry": 0}}
    shown = [{"role": "user", "content": "The text."}]
    (message,) = asked(shown, question(config))
    assert message["content"] == (
        "The text.\n\nWhich tone?\nA: calm\nB: angry\nAnswer with A or B and nothing else."
    )
    assert shown[0]["content"] == "The text."
    assert asked([{"role": "assistant", "content": "x"}], question("?"))[1]["role"] == "user"
    assert "The result is Yes or No." in in_words(question("?"), reasons=True)
