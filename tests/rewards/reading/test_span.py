"""Thoughts, stop strings, blocks and fences: which part of a text is looked at."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rewardplane.rewards.reading.fence import unfenced
from rewardplane.rewards.reading.json_text import NoJson, read_json
from rewardplane.rewards.reading.span import STOP_STRINGS, is_marked, span
from rewardplane.rewards.reading.tag import last_block
from rewardplane.rewards.reading.thoughts import CHANNEL, TRAINED

THOUGHTS = (*TRAINED, CHANNEL)


@pytest.mark.parametrize(("opening", "closing"), THOUGHTS)
def test_each_kind_of_thought_is_cut(opening: str, closing: str) -> None:
    assert span(f"{opening}18{closing}19") == "19"
    assert span(f"18{closing}19") == "19"
    assert span(f"{opening}18") == ""
    assert span(f"x {opening}18") == ""
    assert span(f"{opening}a{closing}19{opening}20") == "19"
    assert span(f"{opening}18{closing}19", "all") == f"{opening}18{closing}19"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("18", "18"),
        ("<think>a<think>b</think>c</think>18", "18"),
        ("<think>a</think>18</s>", "18"),
        ("18<|im_end|>\n", "18"),
        ("18 <|im_end|><|endoftext|>", "18"),
        ("18\n", "18\n"),
        ("18 > 17", "18 > 17"),
        ("I put it in <b>", "I put it in <b>"),
    ],
)
def test_what_is_left(text: str, left: str) -> None:
    assert span(text) == left


def test_other_stop_strings() -> None:
    assert span("18 END", stop=("END",)) == "18"
    assert span("18</s>", stop=()) == "18</s>"


@given(st.lists(st.sampled_from([*(m for p in THOUGHTS for m in p), *STOP_STRINGS, "a", " "])))
def test_the_quick_look_misses_nothing(pieces: list[str]) -> None:
    text = "".join(pieces)
    if not is_marked(text):
        assert not any(mark in text for pair in THOUGHTS for mark in pair)
        assert not text.endswith(STOP_STRINGS)
    assert span(text) in text


@pytest.mark.parametrize(
    ("text", "block"),
    [
        ("x", None),
        ("<a>1</a><a>2</a>", "2"),
        ("<a>1</a> in <a> tags", "1"),
        ("<a>1</a> in <a></a> tags", "1"),
        ("<a>1", "1"),
        ("</a>1<a>", ""),
        ("<a> </a>", ""),
        ("<a><a>1</a></a>", "1"),
    ],
)
def test_the_last_closed_block(text: str, block: str | None) -> None:
    assert last_block(text, "a") == block


@pytest.mark.parametrize(
    "text",
    [
        "```json\n{}\n```",
        "```\n{}\n```",
        "```json\r\n{}\r\n```",
        "```json\r{}\r```",
        "~~~json\n{}\n~~~",
        "~~~\n{}\n~~~~",
        "````json\n{}\n````",
        "```json {}```",
        "```json{}```",
        "```{}```",
        "``` {} ```",
        "```JSON\n{}\n```",
        "``` json \n{}\n  ```",
        "```json\n{}```",
        "```json\n\n{}\n\n```\n",
        "  ```javascript\n{}\n```",
        "```{.json}\n{}\n```",
        "{}",
    ],
)
def test_every_spelling_of_a_fence(text: str) -> None:
    assert read_json(text, fenced=True) == {}


@pytest.mark.parametrize(
    "text",
    ["so\n```\n{}\n```", "```\n{}\n``` so", "````\n{}\n```", "```", "```json\n```", "~~~\n{}"],
)
def test_what_is_no_code_block_as_a_whole(text: str) -> None:
    with pytest.raises(NoJson):
        read_json(text, fenced=True)


@given(st.text("`~json {}\n\r ", max_size=40))
def test_a_fence_is_taken_off_or_not(text: str) -> None:
    assert unfenced(text) in text


def test_one_line_words_are_content() -> None:
    assert read_json("```true```", fenced=True) is True
    assert read_json('```"json"```', fenced=True) == "json"


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', '[{"b": {"a": 1, "a": 1}}]'])
def test_a_key_that_stands_twice(text: str) -> None:
    with pytest.raises(NoJson, match="'a' stands twice"):
        read_json(text)
