"""The one place where rows become examples and responses: every shape, round by round."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import decimal
import enum
import io
import itertools
import json
import math
import pathlib
import types
import uuid
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rewardplane.client import messages as chat
from rewardplane.client.plain import document
from rewardplane.client.rows import example, groups, response
from rewardplane.rewards.references import references
from rewardplane.rewards.text.chat import prompt_messages, response_messages
from rewardplane.rewards.types import (
    Blob,
    Content,
    Example,
    FileData,
    FunctionCall,
    FunctionResponse,
    Group,
    Part,
    Response,
)
from rewardplane.wire.messages import example_from, group_to, response_from


def sent(group: Group) -> tuple[Example, list[Response]]:
    """A group as the service reads it."""
    message = type(group_to(group)).FromString(group_to(group).SerializeToString())
    return example_from(message.example), [response_from(r) for r in message.responses]


# ---- texts ---------------------------------------------------------------------------------------

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def as_numpy(value: Any) -> Any:
    """The same in numpy's types, as far as it has them."""
    if isinstance(value, bool):
        return np.bool_(value)
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return np.int64(value)
    if isinstance(value, float):
        return np.float64(value)
    if isinstance(value, list):
        array = np.empty(len(value), dtype=object)
        array[:] = [as_numpy(item) for item in value]
        return array
    if isinstance(value, dict):
        return {key: as_numpy(item) for key, item in value.items()}
    return value


@given(st.lists(st.tuples(TEXTS, TEXTS, JSON, TEXTS), max_size=8), st.booleans())
def test_every_row_arrives_as_it_was(rows: list[tuple[str, str, Any, str]], in_numpy: bool) -> None:
    prompts = [row[0] for row in rows]
    completions = [row[1] for row in rows]
    values = [as_numpy(row[2]) if in_numpy else row[2] for row in rows]
    found = groups(prompts, completions, None, {"value": values, "label": [row[3] for row in rows]})
    arrived = [(e, r) for e, responses in map(sent, found) for r in responses]
    assert [e.prompt for e, _ in arrived] == prompts
    assert [r.text for _, r in arrived] == completions
    got = [references(e, r) for e, r in arrived]
    assert [row["value"] for row in got] == [row[2] for row in rows]
    assert [row["label"] for row in got] == [row[3] for row in rows]
    # Neighbours with equal prompts and columns are one group, and no others are.
    keys = [(row[0], document(row[2]), row[3]) for row in rows]
    changes = sum(one != other for one, other in itertools.pairwise(keys))
    assert len(found) <= changes + 1


@given(st.integers(1, 5), st.integers(0, 23))
def test_groups_hold_at_most_so_many(size: int, n: int) -> None:
    found = groups(["q"] * n, [str(i) for i in range(n)], group_size=size)
    assert [len(group.responses) for group in found] == [
        min(size, n - start) for start in range(0, n, size)
    ]
    assert all(group.expected_size == size for group in found)
    assert [r.text for group in found for r in group.responses] == [str(i) for i in range(n)]


def test_nothing_said_is_an_empty_text() -> None:
    assert response(None) == Response()
    assert response("") == Response("")
    assert example(None, {}).contents == ()
    assert response([]).turns == ()


# ---- conversations -------------------------------------------------------------------------------

MESSAGES = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": TEXTS}),
    min_size=1,
    max_size=5,
)


@given(MESSAGES, MESSAGES, st.none() | TEXTS)
def test_conversations_come_back_as_they_were(
    prompt: list[dict[str, Any]], completion: list[dict[str, Any]], system: str | None
) -> None:
    if system is not None:
        prompt = [{"role": "system", "content": system}, *prompt]
    (group,) = groups([prompt], [completion])
    got, (answer,) = sent(group)
    assert prompt_messages(got) == prompt
    assert response_messages(answer) == completion
    assert answer.text == completion[-1]["content"]
    # In whatever holds them.
    array = np.empty(len(prompt), dtype=object)
    array[:] = prompt
    (again,) = groups([array], [tuple(completion)])
    assert sent(again) == (got, [answer])
    objects = [types.SimpleNamespace(**message) for message in prompt]
    assert sent(groups([objects], [completion])[0]) == (got, [answer])


def test_one_message_and_one_content_are_turns() -> None:
    said = {"role": "assistant", "content": "4"}
    assert response(said).turns == response([said]).turns == (Content("model", (Part("4"),)),)
    parts = [{"type": "text", "text": "4"}]
    assert response(parts).turns == (Content("model", (Part("4"),)),)
    assert example(parts, {}).contents == (Content("user", (Part("4"),)),)
    assert response({"role": "assistant", "content": parts[0]}).turns == response(parts).turns


def test_tool_calls_keep_their_arguments() -> None:
    arguments = {"n": np.int64(3), "path": pathlib.PurePosixPath("/a"), "deep": [{"x": None}]}
    spellings: list[Any] = [
        {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}},
        {"id": "c", "name": "f", "arguments": arguments},
        {"id": "c", "function": {"name": "f", "arguments": document(arguments)}},
    ]
    for call in spellings:
        (turn,) = response([{"role": "assistant", "content": None, "tool_calls": [call]}]).turns
        want = {"n": 3, "path": "/a", "deep": [{"x": None}]}
        assert turn.parts == (Part(FunctionCall("f", want, "c")),)
    (turn,) = chat.turns([{"role": "tool", "name": "f", "tool_call_id": "c", "content": "3"}])
    assert turn == Content("tool", (Part(FunctionResponse("f", {"result": "3"}, "c")),))


def test_thoughts_are_no_part_of_the_text() -> None:
    for message in (
        {"role": "assistant", "content": "4", "reasoning_content": "hm"},
        {"role": "assistant", "content": "4", "reasoning": "hm"},
        {
            "role": "assistant",
            "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "4"}],
        },
    ):
        (turn,) = chat.turns([message])
        assert turn.parts == (Part("hm", thought=True), Part("4"))
        assert turn.text == "4"


# ---- media ---------------------------------------------------------------------------------------

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
TEXT = base64.b64encode(PNG).decode()
URI = f"data:image/png;base64,{TEXT}"
BLOB = Blob("image/png", PNG)


class Image:
    """What Pillow's images have, in what the client asks of them."""

    mode = "RGB"
    size = (1, 1)

    def save(self, file: io.BytesIO, format: str) -> None:
        assert format == "PNG"
        file.write(PNG)


@pytest.mark.parametrize(
    ("part", "want"),
    [
        ({"type": "image", "image": Image()}, BLOB),
        ({"type": "image", "image": PNG}, BLOB),
        ({"type": "image", "image": URI}, BLOB),
        ({"type": "image", "image": {"bytes": PNG, "path": None}}, BLOB),
        ({"type": "image", "base64": TEXT}, BLOB),
        ({"type": "image_url", "image_url": {"url": URI}}, BLOB),
        ({"type": "image_url", "image_url": URI}, BLOB),
        ({"type": "input_image", "image_url": URI}, BLOB),
        (
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": TEXT},
            },
            BLOB,
        ),
        (
            {"type": "image", "url": "https://x.y/a.jpg?w=1"},
            FileData("image/jpeg", "https://x.y/a.jpg?w=1"),
        ),
        ({"type": "image", "path": "/data/a.png"}, FileData("image/png", "/data/a.png")),
        ({"type": "image_url", "image_url": "gs://b/c"}, FileData("image/*", "gs://b/c")),
        (
            {"type": "video", "video": "https://x.y/a.mp4"},
            FileData("video/mp4", "https://x.y/a.mp4"),
        ),
        (
            {"type": "input_audio", "input_audio": {"data": TEXT, "format": "wav"}},
            Blob("audio/wav", PNG),
        ),
        ({"type": "file", "file": {"file_data": URI}}, BLOB),
    ],
)
def test_media_arrive_in_every_spelling(part: dict[str, Any], want: Blob | FileData) -> None:
    content = [{"type": "text", "text": "see "}, part, {"type": "text", "text": "this"}]
    (group,) = groups([[{"role": "user", "content": content}]], ["a cat"])
    got, _ = sent(group)
    assert got.contents == (Content("user", (Part("see "), Part(want), Part("this"))),)
    assert got.prompt == "see this"


def test_a_placeholder_holds_no_medium() -> None:
    # Data sets with a column of their own for images; and tables give each part all the keys.
    content = [{"type": "image", "text": None}, {"type": "text", "text": "what?", "image": None}]
    (turn,) = chat.turns([{"role": "user", "content": content}])
    assert turn.parts == (Part("what?"),)


@pytest.mark.parametrize(
    "part",
    [
        {"type": "hologram", "hologram": 1},
        {"type": "image", "image": np.zeros((2, 2))},
        {"type": "image", "image": 3},
        {"type": "image", "base64": "a"},
        3,
    ],
)
def test_a_part_that_cannot_be_sent_is_refused(part: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        chat.turns([{"role": "user", "content": [part]}])


@pytest.mark.parametrize("value", [3, 3.5, object(), b"bytes", [3], ["text"], [{"content": "x"}]])
def test_what_is_no_text_and_no_conversation_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        response(value)
    with pytest.raises(TypeError):
        example(value, {})


# ---- values --------------------------------------------------------------------------------------


class Tensor:
    """What torch's tensors have, in what the client asks of them."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def tolist(self) -> Any:
        return self.value


class Model:
    """What pydantic's models have."""

    def model_dump(self, mode: str) -> dict[str, Any]:
        assert mode == "json"
        return {"a": 1}


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    y: Any


@pytest.mark.parametrize(
    ("value", "want"),
    [
        (None, None),
        (Tensor(3.5), 3.5),
        ([Tensor(True), Tensor([1, 2])], [True, [1, 2]]),
        (np.float16(0.5), 0.5),
        (np.array(7), 7),
        (np.datetime64("2024-02-29"), "2024-02-29"),
        (np.longdouble(1), "1.0"),
        ({np.int64(1): np.str_("a"), None: 2}, {"1": "a", "null": 2}),
        ({"deep": {np.float64(0.5): [{np.int32(2): None}]}}, {"deep": {"0.5": [{"2": None}]}}),
        (decimal.Decimal("3.50"), "3.50"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (pathlib.PurePosixPath("/a/b"), "/a/b"),
        (datetime.datetime(2024, 2, 29, 1, 2, tzinfo=datetime.UTC), "2024-02-29T01:02:00+00:00"),
        (datetime.time(1, 2), "01:02:00"),
        (datetime.timedelta(seconds=90), 90.0),
        (Colour.RED, "red"),
        ({3, 1, 2}, [1, 2, 3]),
        (Point(1, np.int64(2)), {"x": 1, "y": 2}),
        (Model(), {"a": 1}),
        (OrderedDict(a=(1, 2)), {"a": [1, 2]}),
        (types.MappingProxyType({"a": None}), {"a": None}),
        (range(3), [0, 1, 2]),
        (Image(), URI),
        (PNG, f"data:application/octet-stream;base64,{TEXT}"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_of_any_library_become_json(value: Any, want: Any) -> None:
    got = json.loads(document(value))
    assert got == want
    assert type(got) is type(want)
    row = references(example("q", {"c": value}), response("r"))
    assert row == {"c": want}


def test_nan_stays_nan() -> None:
    assert math.isnan(json.loads(document(np.float32("nan"))))


class Endless:
    def tolist(self) -> Any:
        return [self]


def test_what_has_no_json_form_is_named_with_its_column() -> None:
    loop: list[Any] = []
    loop.append(loop)
    deep: Any = None
    for _ in range(100_000):
        deep = [deep]
    for value in (object(), loop, deep, {object(): 1}, {(1, 2): 3}, 1j, Endless()):
        with pytest.raises(TypeError, match=r"column 'c': .*name the columns to send"):
            example("q", {"c": value})


@given(JSON)
def test_any_json_value_is_itself(value: Any) -> None:
    assert json.loads(document(value)) == value
    assert json.loads(document(as_numpy(value))) == value
