"""Whatever a judge says is a verdict or a fault of a known kind, and a verdict is finite."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rewardplane.rewards.http.reply import Again, read, retry_after_s
from rewardplane.rewards.models.judgement import (
    BadVerdict,
    completion_of,
    number_of,
    schema_of,
    verdict_of,
)
from rewardplane.rewards.models.question import Option, Question
from rewardplane.rewards.types import RewardFault

SCORE = Question("q", "score")
CHOICE = Question("q", "choice", options=(Option("good", 1.0), Option("bad")))
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("result", "steps", "description", "conclusion", "choices", "message"),
                    *("content", "refusal", "finish_reason", "usage", "error", "code", "text"),
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)
TEXTS = st.text(max_size=80) | JSON.map(json.dumps) | JSON.map(lambda value: f"```\n{value}\n```")


@settings(max_examples=400, deadline=None)
@given(TEXTS, st.sampled_from([SCORE, CHOICE, Question("q", "predicate"), Question("q")]))
def test_any_text_is_a_verdict_or_none(text: str, question: Question) -> None:
    try:
        verdict = verdict_of(question, text)
    except BadVerdict:
        return
    if question.kind == "score":
        assert verdict.value is not None
        assert math.isfinite(verdict.value)
    elif question.kind != "text":
        assert verdict.label in schema_of(question)["properties"]["result"]["enum"]


@settings(max_examples=400, deadline=None)
@given(st.sampled_from([200, 204, 302, 400, 401, 429, 500]), JSON.map(json.dumps) | st.text())
def test_any_reply_is_a_completion_or_a_fault(status: int, body: str) -> None:
    try:
        completion = completion_of(read(status, {}, body.encode("utf-8", "replace"), "it"))
    except (RewardFault, Again):
        return
    assert status == 200
    assert isinstance(completion.text, str)
    assert completion.usage.calls == 1


@settings(max_examples=300, deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_finite_number_is_read_as_it_is(value: float) -> None:
    assert number_of(f" {value!r}\n") == value


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "NaN", "nan", "inf", "-Infinity", "1e999", "7/10", "the score is 7/10", "0.5."),
        *("1_000", "١", "1,5", "0x10", "1 2", "--1", "1e", ".", "true", "9" * 400, "1" * 2000),
    ],
)
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(BadVerdict, match="finite number"):
        number_of(text)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms"]), st.text(max_size=40)))
def test_any_retry_after_is_a_wait_or_none(headers: dict[str, Any]) -> None:
    wait_s = retry_after_s(headers)
    assert wait_s is None or 0 <= wait_s < math.inf
