"""ProtoJSON is read as tolerantly as Google reads it, and garbage raises one error alone."""

from __future__ import annotations

import contextlib
import enum
import json
import types
import typing
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic.alias_generators import to_snake
from rewardplane.rewards.formats.gemini.checks import read_config
from rewardplane.rewards.formats.gemini.message import ProtoMessage
from rewardplane.rewards.formats.gemini.reader import (
    BadMessage,
    loads,
    message_of,
)
from rewardplane.rewards.formats.gemini.schema import CompositeReward, SingleReward
from rewardplane.rewards.formats.gemini.wire import parse_cloud_run, parse_validation
from rewardplane.rewards.text.protojson import int64_of, number_of

from .configs import composite, match, rater

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["IDENTITY", "NaN", "1e9", "REGEX_EXTRACT"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=10,
)


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a field's type."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        kind = next(k for k in typing.get_args(kind) if k is not types.NoneType)
    if typing.get_origin(kind) is typing.Annotated:
        kind = typing.get_args(kind)[0]
    if kind is Any:
        return st.none() | st.text(max_size=4)
    if kind is str:
        return st.text(max_size=12)
    if kind is bool:
        return st.booleans()
    if kind is float:
        return st.floats(allow_nan=False)
    if kind is int:
        return st.integers(-(2**63), 2**63 - 1)
    if isinstance(kind, enum.EnumType):
        return st.sampled_from(list(kind))
    if typing.get_origin(kind) is tuple:
        return st.lists(values(typing.get_args(kind)[0]), max_size=2).map(tuple)
    return messages(kind)


def messages(cls: type[ProtoMessage]) -> st.SearchStrategy[Any]:
    """Messages with any of their fields set."""
    fields = {f.alias: values(f.annotation) for f in cls.model_fields.values() if f.alias}
    return st.fixed_dictionaries({}, optional=fields).map(lambda given: cls(**given))


def written(value: Any, draw: st.DrawFn) -> Any:
    """A message as JSON: keys in either spelling, numbers as such or as text, enums in any case."""
    if isinstance(value, enum.Enum):
        return draw(st.sampled_from([value.name, value.name.lower(), value.name.title()]))
    if isinstance(value, tuple):
        return [written(item, draw) for item in typing.cast("tuple[Any, ...]", value)]
    if isinstance(value, ProtoMessage):
        found: dict[str, Any] = {}
        for name, field in type(value).model_fields.items():
            inner = getattr(value, name)
            if inner is not None or draw(st.booleans()):
                key = draw(st.sampled_from([to_snake(str(field.alias)), str(field.alias)]))
                found[key] = written(inner, draw)
        return found
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    return str(value) if draw(st.booleans()) else value


@st.composite
def documents(draw: st.DrawFn) -> tuple[Any, Any]:
    message = draw(messages(CompositeReward))
    return message, written(message, draw)


@settings(max_examples=300, deadline=None)
@given(documents())
def test_mixed_case_round_trips(pair: tuple[Any, Any]) -> None:
    message, document = pair
    assert message_of(CompositeReward, loads(json.dumps(document))) == (message, [])


@settings(max_examples=500, deadline=None)
@given(JSON)
def test_garbage_raises_its_own_error_alone(document: Any) -> None:
    for cls in (SingleReward, CompositeReward):
        with contextlib.suppress(BadMessage):
            message, _ = message_of(cls, document)
            assert isinstance(message, cls)


def holes(document: Any) -> int:
    if isinstance(document, dict):
        return 1 + sum(map(holes, typing.cast("dict[str, Any]", document).values()))
    if isinstance(document, list):
        return 1 + sum(map(holes, typing.cast("list[Any]", document)))
    return 1


def spoiled(document: Any, at: int, junk: Any) -> Any:
    """The document with its value number `at` replaced."""
    if at == 0:
        return junk
    at -= 1
    if isinstance(document, Mapping):
        whole = dict(typing.cast("Mapping[str, Any]", document))
        for key, value in whole.items():
            if at < holes(value):
                return {**whole, key: spoiled(value, at, junk)}
            at -= holes(value)
    if isinstance(document, list):
        items = list(typing.cast("list[Any]", document))
        for index, value in enumerate(items):
            if at < holes(value):
                return [*items[:index], spoiled(value, at, junk), *items[index + 1 :]]
            at -= holes(value)
    return document


GOOD = composite((match(name="a", parse="x"), 1), (match(name="b", key="k"), 1), (rater(), 2))
VALIDATION = {
    "example": {"contents": [{"parts": [{"text": "q"}]}], "references": {"answer": "4"}},
    "sampleResponse": {"role": "model", "parts": [{"text": "4"}, {"inlineData": {"data": "AA=="}}]},
    "compositeRewardConfig": GOOD,
}
REQUEST = {
    "example": VALIDATION["example"],
    "response": VALIDATION["sampleResponse"],
    "metadata": {"step": 1, "tuningJobId": "123"},
}


@settings(max_examples=500, deadline=None)
@given(st.data(), JSON)
def test_a_request_with_garbage_somewhere_raises_that_error_alone(data: Any, junk: Any) -> None:
    for whole, parse in ((VALIDATION, parse_validation), (REQUEST, parse_cloud_run)):
        at = data.draw(st.integers(0, holes(whole) - 1))
        with contextlib.suppress(BadMessage):
            parse(json.dumps(spoiled(whole, at, junk)))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=64) | st.text(max_size=64))
def test_bodies_that_are_no_json(body: bytes | str) -> None:
    for parse in (parse_validation, parse_cloud_run):
        with pytest.raises(BadMessage):
            parse(body)


@pytest.mark.parametrize(
    "text",
    ['{"a": 1, "a": 2}', '{"a": NaN}', "[" * 100 + "]" * 100, "[" * 200_000, '"\\ud800', "", "{"],
)
def test_texts_that_are_refused(text: str) -> None:
    with pytest.raises(BadMessage):
        loads(text)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (1, 1),
        (1.0, 1),
        ("1", 1),
        ("-9223372036854775808", -(2**63)),
        (2**63 - 1, 2**63 - 1),
        (2**63, None),
        ("9223372036854775808", None),
        (1.5, None),
        (True, None),
        ("1.0", None),
        (" 1", None),
        ("٣", None),
        (float("inf"), None),
    ],
)
def test_int64(value: object, number: int | None) -> None:
    assert int64_of(value) == number


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (1, 1.0),
        ("1e3", 1000.0),
        ("Infinity", float("inf")),
        ("inf", None),
        ("1_0", None),
        (10**400, None),
        (False, None),
        ("", None),
    ],
)
def test_floats(value: object, number: float | None) -> None:
    assert number_of(value) == number


def test_all_faults_are_told_at_once() -> None:
    bad = composite((match(None, parse="("), -1), (rater(samples=99), 1))
    with pytest.raises(BadMessage) as caught:
        read_config(bad)
    paths = [fault.split(":")[0] for fault in caught.value.faults]
    assert paths == [
        "weightedRewardConfigs[0].rewardConfig.parseResponseConfig.regexExtractExpression",
        "weightedRewardConfigs[0].rewardConfig.stringMatchRewardScorer.stringMatchExpression"
        ".matchOperation",
        "weightedRewardConfigs[0].weight",
        "weightedRewardConfigs[1].rewardConfig.autoraterScorer.autoraterConfig.samplingCount",
        "weightedRewardConfigs",
    ]
