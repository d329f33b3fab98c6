"""format, tags and length."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from rewardplane.rewards import Example, Reason, Response, Score, ScoreError
from rewardplane.rewards.registry import build
from rewardplane.rewards.run import Clip, run_item


def run(kind: str, params: dict[str, Any], response: Response) -> Any:
    return run_item(build(kind, params), (Example(), response), Clip())


@pytest.mark.parametrize(
    ("text", "once", "in_order", "nothing_outside", "not_empty"),
    [
        ("<think>a</think><answer>b</answer>", 1, 1, 1, 1),
        (" <think>a\n</think>\n\n<answer>b</answer>\n", 1, 1, 1, 1),
        ("<think>a</think><answer>b</answer></s>", 1, 1, 1, 1),
        ("<think>a</think><answer>b</answer><|im_end|>\n", 1, 1, 1, 1),
        ("<think></think><answer></answer>", 1, 1, 1, 0),
        ("<think> \n</think><answer>b</answer>", 1, 1, 1, 0),
        ("x<think>a</think><answer>b</answer>", 1, 1, 0, 1),
        ("<think>a</think>x<answer>b</answer>", 1, 1, 0, 1),
        ("<think>a</think><answer>b</answer>x", 1, 1, 0, 1),
        ("<answer>b</answer><think>a</think>", 1, 0, 0, 0),
        ("<think>a<answer>b</answer></think>", 1, 0, 0, 0),
        ("</think>a<think><answer>b</answer>", 1, 0, 0, 0),
        ("<think>a</think>", 0, 0, 0, 0),
        ("<think>a</think><answer>b", 0, 0, 0, 0),
        ("<think>a</think><think>a</think><answer>b</answer>", 0, 1, 0, 1),
        ("<think>a<think></think><answer>b</answer>", 0, 1, 1, 1),
        ("<Think>a</Think><answer>b</answer>", 0, 0, 0, 0),
        ("", 0, 0, 0, 0),
        ("no tags", 0, 0, 0, 0),
    ],
)
def test_format(text: str, once: int, in_order: int, nothing_outside: int, not_empty: int) -> None:
    outcome = run("format", {"wrong_reward": -1}, Response(text))
    parts = {"once": once, "in_order": in_order, "nothing_outside": nothing_outside}
    every = {**parts, "not_empty": not_empty}
    assert outcome == Score(1.0 if all(every.values()) else -1.0, every)
    lax = run("format", {"wrong_reward": -1, "not_empty": False}, Response(text))
    assert lax == Score(1.0 if all(parts.values()) else -1.0, every)


def test_other_stop_strings() -> None:
    text = "<think>a</think><answer>b</answer>END"
    assert run("format", {}, Response(text)).reward == 0.0
    assert run("format", {"stop": ["END"]}, Response(text)).reward == 1.0


@pytest.mark.parametrize(
    ("text", "reward"),
    [
        ("a</think><answer>b</answer>", 1.0),
        ("</think><answer>b</answer>", 0.0),
        ("<think>a</think><answer>b</answer>", 0.0),
        ("a<answer>b</answer>", 0.0),
        ("a</think>x<answer>b</answer>", 0.0),
    ],
)
def test_format_that_the_prompt_opens(text: str, reward: float) -> None:
    assert run("format", {"opened_by_prompt": True}, Response(text)).reward == reward


def test_other_tags() -> None:
    params = {"tags": ["plan", "code", "result"]}
    text = "<plan>1</plan><code>2</code><result>3</result>"
    assert run("format", params, Response(text)).reward == 1.0
    assert run("tags", params, Response(text)).reward == 1.0
    assert build("tags", params).component_names == ("found", "tag_plan", "tag_code", "tag_result")


@pytest.mark.parametrize("kind", ["format", "tags"])
@pytest.mark.parametrize("tags", [[], ["a", "a"], ["a b"], ["<a>"], [""], ["1"], ["a"] * 17])
def test_tags_that_are_none(kind: str, tags: list[str]) -> None:
    with pytest.raises(ValidationError):
        build(kind, {"tags": tags})


@pytest.mark.parametrize(
    ("text", "think", "answer"),
    [
        ("<think>a</think><answer>b</answer>", 1.0, 1.0),
        ("</answer></think><answer><think>", 0.5, 0.0),
        ("</think><think></answer><answer>", 0.5, 0.5),
        ("<answer>b</answer><think>a</think>", 1.0, 0.0),
        ("<think></think><answer> </answer>", 0.5, 0.5),
        ("a</think><answer>b</answer>", 0.5, 1.0),
        ("<think>a</think><answer>b", 1.0, 0.5),
        ("<think><think></think>", 0.5, 0.0),
        ("", 0.0, 0.0),
    ],
)
def test_tags(text: str, think: float, answer: float) -> None:
    found = (think + answer) / 2
    parts = {"found": found, "tag_think": think, "tag_answer": answer}
    assert run("tags", {}, Response(text)) == Score(found, parts)
    scaled = run("tags", {"correct_reward": 0.5, "wrong_reward": -0.5}, Response(text))
    assert scaled.reward == pytest.approx(found - 0.5)


_pieces = st.sampled_from(["<think>", "</think>", "<answer>", "</answer>", "x", " ", "<", ">"])


@settings(deadline=None)
@given(st.lists(_pieces, max_size=12).map("".join))
def test_format_is_what_a_regular_expression_says(text: str) -> None:
    marks = ("<think>", "</think>", "<answer>", "</answer>")
    head, *rest = text.split("<think>")
    whole = (
        len(rest) == 1
        and all(text.count(mark) == 1 for mark in marks)
        and text.index("<think>") < text.index("</think>") < text.index("<answer>")
        and text.index("<answer>") < text.index("</answer>")
        and not head.strip()
        and not text[text.index("</think>") + 8 : text.index("<answer>")].strip()
        and not text[text.index("</answer>") + 9 :].strip()
    )
    outcome = run("format", {"not_empty": False}, Response(text))
    assert outcome.reward == float(whole)
    assert run("tags", {"not_empty": False}, Response(text)).reward >= outcome.reward
    assert run("tags", {}, Response(text)).reward >= run("format", {}, Response(text)).reward


LENGTH = {"max_length": 100, "cache_length": 20}


@pytest.mark.parametrize(
    ("count", "penalty"),
    [
        (0, 0.0),
        (79, 0.0),
        (80, 0.0),
        (81, -0.05),
        (90, -0.5),
        (99, -0.95),
        (100, -1.0),
        (101, -1.0),
    ],
)
def test_the_soft_over_long_penalty(count: int, penalty: float) -> None:
    outcome = run("length", LENGTH, Response("", "stop", count))
    assert outcome == Score(pytest.approx(penalty), {"length": float(count)})
    in_chars = run("length", {**LENGTH, "unit": "chars"}, Response("é" * count))
    assert in_chars == outcome
    twice = run("length", {**LENGTH, "penalty": 2}, Response("", "stop", count))
    assert twice.reward == pytest.approx(2 * penalty)


def test_a_response_that_was_cut() -> None:
    assert run("length", LENGTH, Response("", "length", 5)).reward == -1.0
    assert run("length", {**LENGTH, "unit": "chars"}, Response("x", "length")).reward == -1.0
    assert run("length", LENGTH, Response("", "other", 5)).reward == 0.0


@pytest.mark.parametrize("count", [None, -1])
@pytest.mark.parametrize("finish_reason", ["stop", "length", ""])
def test_tokens_are_never_guessed(count: int | None, finish_reason: str) -> None:
    outcome = run("length", LENGTH, Response("x" * 1000, finish_reason, count))
    assert isinstance(outcome, ScoreError)
    assert outcome.reason is Reason.INVALID_INPUT
    assert "token_count" in outcome.message


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"max_length": 10},
        {"max_length": 10, "cache_length": 11},
        {"max_length": 10, "cache_length": 0},
        {"max_length": 0, "cache_length": 1},
        {**LENGTH, "unit": "words"},
        {**LENGTH, "penalty": 0},
    ],
)
def test_length_faults_are_refused_early(params: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        build("length", params)


@settings(deadline=None)
@given(st.integers(1, 10**9), st.data(), st.integers(0, 10**10))
def test_the_penalty_is_bounded_and_falls(max_length: int, data: Any, count: int) -> None:
    cache = data.draw(st.integers(1, max_length))
    params = {"max_length": max_length, "cache_length": cache}
    reward = run("length", params, Response("", "", count)).reward
    longer = run("length", params, Response("", "", count + 1)).reward
    assert -1.0 <= longer <= reward <= 0.0
    assert (reward == 0.0) is (count <= max_length - cache)
