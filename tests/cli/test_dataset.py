"""Lines of data sets: both spellings, every kind of part, and what cannot be read named by line."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from rewardplane.cli import dataset
from rewardplane.cli.dataset import BadLine, group_from_json, read
from rewardplane.rewards.references import references
from rewardplane.rewards.types import (
    Blob,
    Content,
    FileData,
    FunctionCall,
    FunctionResponse,
    Part,
)
from rewardplane.wire.messages import group_to, response_from

SAMPLE = Path(dataset.__file__).parent / "demo_data" / "gsm8k_sample.jsonl"


def written(folder: Path, *lines: str | bytes) -> Path:
    file = folder / "data.jsonl"
    file.write_bytes(b"\n".join(x.encode() if isinstance(x, str) else x for x in lines))
    return file


def test_the_sample_can_be_read() -> None:
    lines = list(read(SAMPLE))
    assert len(lines) > 50
    for line in lines:
        assert line.group.example.references["answer"]
        assert [r.text for r in line.group.responses] == [r["text"] for r in line.raw["responses"]]


@pytest.mark.parametrize("camel", [True, False])
def test_both_spellings_say_the_same(camel: bool) -> None:
    def key(name: str) -> str:
        first, *rest = name.split("_")
        return first + "".join(word.title() for word in rest) if camel else name

    data = base64.b64encode(b"\x00png").decode()
    parts = [
        {"text": "think", "thought": True},
        {"text": "say"},
        {key("inline_data"): {key("mime_type"): "image/png", "data": data}},
        {key("file_data"): {key("mime_type"): "a/b", key("file_uri"): "gs://x"}},
        {key("function_call"): {"name": "f", "args": {"x": [1, None]}, "id": "7"}},
        {key("function_response"): {"name": "f", "response": {"y": 2}}},
    ]
    raw = {
        "id": 5,
        "contents": [{"role": "user", "parts": parts}],
        key("system_instruction"): {"parts": [{"text": "be kind"}]},
        "tools": [{key("function_declarations"): []}],
        "references": {"answer": "x", "n": 5, "list": [1.5, None], "none": None, "o": {"a": True}},
        "responses": [
            "plain",
            {
                "text": "full",
                key("finish_reason"): "MAX_TOKENS",
                key("token_count"): 12,
                "references": {"answer": "mine"},
                "id": "r1",
            },
            {
                "turns": [
                    {"role": "model", "parts": [{"text": "a", "thought": True}, {"text": "b"}]}
                ]
            },
        ],
    }
    group = group_from_json(json.loads(json.dumps(raw)))
    example = group.example
    assert example.contents == [
        Content(
            "user",
            [
                Part("think", True),
                Part("say"),
                Part(Blob("image/png", b"\x00png")),
                Part(FileData("a/b", "gs://x")),
                Part(FunctionCall("f", {"x": [1, None]}, "7")),
                Part(FunctionResponse("f", {"y": 2})),
            ],
        )
    ]
    assert example.system_instruction == Content("", [Part("be kind")])
    assert json.loads(example.tools_json) == raw["tools"]
    assert example.id == "5"
    first, second, third = group.responses
    assert first.text == "plain"
    assert (second.finish_reason, second.token_count, second.id) == ("length", 12, "r1")
    assert references(example, first) == raw["references"]
    assert references(example, second)["answer"] == "mine"
    assert third.text == "b"
    sent = group_to(group).responses
    assert [response_from(r).text for r in sent] == ["plain", "full", "b"]


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        (None, ""),
        ("", ""),
        ("STOP", "stop"),
        ("FINISH_REASON_STOP", "stop"),
        ("FINISH_REASON_UNSPECIFIED", ""),
        ("MAX_TOKENS", "length"),
        ("length", "length"),
        ("SAFETY", "other"),
    ],
)
def test_finish_reasons_are_three(told: str | None, meant: str) -> None:
    group = group_from_json({"responses": [{"text": "a", "finishReason": told}]})
    assert group.responses[0].finish_reason == meant


def test_what_is_null_is_not_there() -> None:
    raw: dict[str, Any] = {
        "id": None,
        "contents": None,
        "references": None,
        "systemInstruction": None,
        "tools": None,
        "responses": [{"text": None, "turns": [{"role": None, "parts": [{"text": "a"}]}]}],
    }
    group = group_from_json(raw)
    assert group.example.id == ""
    assert not group.example.contents
    assert group.responses[0].text == "a"
    assert group.responses[0].turns[0].role == ""


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "Expecting"),
        ("[]", "want an object"),
        ("{}", "responses"),
        ('{"responses": []}', "at least one"),
        ('{"responses": "a"}', "at least one"),
        ('{"responses": [5]}', r"responses\[0\]: want an object"),
        ('{"responses": ["a", {}]}', r"responses\[1\].text"),
        ('{"responses": [{"text": "a", "tokenCount": Infinity}]}', "infinity"),
        ('{"responses": [{"text": "a", "tokenCount": "many"}]}', "many"),
        ('{"responses": ["a"], "contents": {}}', "contents: want a list"),
        ('{"responses": ["a"], "contents": [5]}', "a turn: want an object"),
        ('{"responses": ["a"], "contents": [{"parts": [{}]}]}', "no known kind"),
        ('{"responses": ["a"], "contents": [{"parts": [{"functionCall": "f"}]}]}', "functionCall"),
        (
            '{"responses": ["a"], "contents": [{"parts": [{"functionCall": {"id": "1"}}]}]}',
            "name",
        ),
        (
            '{"responses": ["a"], "contents": [{"parts": [{"inlineData": {"data": "*"}}]}]}',
            "base64",
        ),
        ('{"responses": ["a"], "references": [1]}', "references: want an object"),
        ("[" * 100_000, "recursion"),
        (b'{"responses": ["\xff"]}', "utf-8"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(tmp_path: Path, line: str | bytes, words: str) -> None:
    file = written(tmp_path, '{"responses": ["fine"]}', "", line)
    lines = read(file)
    assert next(lines).number == 1
    with pytest.raises(BadLine, match=f"(?i)line 3: .*{words}"):
        next(lines)


def test_empty_lines_and_marks_are_passed_over(tmp_path: Path) -> None:
    file = written(
        tmp_path, b'\xef\xbb\xbf{"responses": ["a"]}\r', "  ", '{"responses": ["b\u2028c"]}', ""
    )
    assert [line.number for line in read(file)] == [1, 3]
    assert [line.group.responses[0].text for line in read(file)] == ["a", "b\u2028c"]


def test_a_file_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        next(read(tmp_path / "nothing.jsonl"))
