"""Whatever an endpoint answers is a distribution, a finite number, or a fault; nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rewardplane.rewards.models.distribution import (
    MAX_UNSEEN,
    check_whole,
    from_probabilities,
    from_top,
    label_of,
)
from rewardplane.rewards.models.model import Label, LabelQuestion
from rewardplane.rewards.models.wires import chat, classify, decisions, systemone
from rewardplane.rewards.types import InvalidResult, JudgeUnreadable, RewardFault

LABELS = ["Yes", "No"]
QUESTIONS = [
    LabelQuestion("predicate", "?", (Label("Yes", 1.0), Label("No"))),
    LabelQuestion("choice", "?", (Label("A"), Label("B"), Label("C"))),
    LabelQuestion("score", "?", (Label("1", 1.0), Label("2", 2.0))),
]
NUMBERS = st.one_of(
    st.floats(),
    st.integers(-2, 2),
    st.sampled_from([10**400, True, False, None, "0.5", -math.inf, math.nan]),
)
KEYS = st.sampled_from(
    [
        *("choices", "message", "content", "logprobs", "top_logprobs", "token", "logprob"),
        *("answers", "q", "type", "probability", "probabilities", "noul", "value", "label"),
        *("diagnostics", "label_mass", "data", "probs", "refusal", "finish_reason", "Yes", "0"),
    ]
)
WORDS = st.sampled_from(["predicate", "choice", "score", "Yes", " no", "A", "1", "length", "", "x"])
JSON: st.SearchStrategy[Any] = st.recursive(
    st.one_of(NUMBERS, WORDS, st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=5)),
    max_leaves=20,
)
REPLIES = st.dictionaries(KEYS, JSON, max_size=4)
ROWS = st.lists(st.fixed_dictionaries({"token": WORDS, "logprob": NUMBERS}), max_size=6)


def is_distribution(probs: Mapping[str, float], labels: list[str]) -> bool:
    return (
        [*probs] == labels
        and all(0.0 <= share <= 1.0 for share in probs.values())
        and math.isclose(math.fsum(probs.values()), 1.0, abs_tol=1e-9)
    )


def completion(rows: Any, content: Any = "Yes") -> dict[str, Any]:
    logprobs = {"content": [{"token": "x", "top_logprobs": rows}]}
    return {"choices": [{"message": {"content": content}, "logprobs": logprobs}]}


@given(REPLIES | ROWS.map(completion) | JSON.map(completion))
@pytest.mark.parametrize("read", ["top_logprobs", "structured", "logprob_token_ids"])
def test_whatever_a_chat_endpoint_answers(read: Any, reply: dict[str, Any]) -> None:
    try:
        probs, mass = chat.reading(reply, LABELS, read, (1, 2))
    except RewardFault:
        return
    assert is_distribution(probs, LABELS)
    assert mass is None if read == "structured" else mass is not None and 0 < mass <= 1


ANSWERS = st.dictionaries(KEYS, JSON, max_size=5)


@given(REPLIES | ANSWERS.map(lambda answer: {"answers": [answer]}), st.sampled_from(QUESTIONS))
def test_whatever_a_decisions_endpoint_answers(
    reply: dict[str, Any], question: LabelQuestion
) -> None:
    try:
        probs, _mass = decisions.reading(reply, question)
    except RewardFault:
        return
    assert is_distribution(probs, [label.text for label in question.labels])


@given(REPLIES | ANSWERS.map(lambda answer: {"answers": {"q": answer}}), st.sampled_from(QUESTIONS))
def test_whatever_a_systemone_endpoint_answers(
    reply: dict[str, Any], question: LabelQuestion
) -> None:
    try:
        probs, mass = systemone.reading(reply, question)
    except RewardFault:
        return
    assert is_distribution(probs, [label.text for label in question.labels])
    assert mass is None or 0 <= mass <= 1


@given(REPLIES | JSON.map(lambda probs: {"data": [{"probs": probs}]}))
def test_whatever_a_classifier_answers(reply: dict[str, Any]) -> None:
    try:
        assert math.isfinite(classify.reading(reply))
    except RewardFault:
        return


def test_the_tokens_of_a_label_count_together() -> None:
    tokens = [
        ("Yes", 0.3),
        (" yes", 0.2),
        ("▁YES", 0.1),
        ("No", 0.2),
        ("Ġno", 0.1),
        ("Maybe", 0.05),
    ]
    probs, mass = from_top([(token, math.log(share)) for token, share in tokens], LABELS)
    assert probs == pytest.approx({"Yes": 0.6 / 0.9, "No": 0.3 / 0.9})
    assert mass == pytest.approx(0.9)


def test_labels_that_differ_in_case_alone_are_not_folded() -> None:
    probs, _mass = from_top([("a", math.log(0.6)), ("A", math.log(0.2))], ["a", "A"])
    assert probs == pytest.approx({"a": 0.75, "A": 0.25})


def test_a_label_out_of_sight_is_nothing_only_where_it_cannot_matter() -> None:
    seen = [("Yes", math.log(0.98)), ("x", math.log(MAX_UNSEEN / 2))]
    probs, _mass = from_top(seen, LABELS)
    assert probs == {"Yes": 1.0, "No": 0.0}
    with pytest.raises(JudgeUnreadable, match="might be as likely"):
        from_top([("Yes", math.log(0.7)), ("x", math.log(0.1))], LABELS)
    with pytest.raises(JudgeUnreadable, match="none of"):
        from_top([("x", math.log(0.7))], LABELS)


@pytest.mark.parametrize(
    "shares",
    [{"Yes": 0.9, "No": 0.9}, {"Yes": -0.5, "No": 1.0}, {"Yes": 0.02, "No": 0.01}],
)
def test_what_does_not_add_up_to_1_is_no_distribution(shares: dict[str, float]) -> None:
    with pytest.raises(InvalidResult):
        from_probabilities(shares, LABELS)


@pytest.mark.parametrize(
    ("probs", "mass"),
    [
        ({"Yes": 0.9, "No": 0.9}, None),
        ({"Yes": 0.3, "No": 0.3}, 0.6),
        ({"Yes": 4.0, "No": 1.0}, None),
        ({"Yes": math.nan, "No": 1.0}, None),
        ({"Yes": 0.5, "No": 0.5}, math.nan),
        ({"Yes": 0.5, "No": 0.5}, 7.0),
    ],
)
def test_a_model_is_held_to_its_word(probs: dict[str, float], mass: float | None) -> None:
    check_whole({"Yes": 0.25, "No": 0.75}, LABELS, 0.5)
    with pytest.raises(InvalidResult):
        check_whole(probs, LABELS, mass)


@pytest.mark.parametrize(
    ("text", "want"),
    [("yes", "Yes"), (" No.\n", "No"), ("Yes, it is", None), ("", None), ("maybe", None)],
)
def test_which_label_a_text_is(text: str, want: str | None) -> None:
    assert label_of(text, LABELS) == want


def test_a_token_that_is_told_twice_counts_once() -> None:
    rows = [("token_id:7", 0.3), ("token_id:7", 0.3), ("token_id:8", 0.3)]
    told = [{"token": token, "logprob": math.log(share)} for token, share in rows]
    reply = completion(told)
    probs, mass = chat.reading(reply, LABELS, "logprob_token_ids", [7, 8])
    assert probs == pytest.approx({"Yes": 0.5, "No": 0.5})
    assert mass == pytest.approx(0.6)
