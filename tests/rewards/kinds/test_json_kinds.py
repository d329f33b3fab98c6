"""json_schema and json_key."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from rewardplane.rewards import Example, Reason, Response, Score, ScoreError
from rewardplane.rewards.reading.json_text import MAX_DEPTH, NoJson, is_equal, read_json
from rewardplane.rewards.registry import build
from rewardplane.rewards.run import Clip, run_item

SCHEMA = {
    "type": "object",
    "properties": {"answer": {"type": "integer"}, "why": {"type": "string"}},
    "required": ["answer"],
    "additionalProperties": False,
}


def run(kind: str, params: dict[str, Any], text: str, example: Example | None = None) -> Any:
    return run_item(build(kind, params), (example or Example(), Response(text)), Clip())


@pytest.mark.parametrize(
    ("text", "reward", "parsed"),
    [
        ('{"answer": 18}', 1.0, 1.0),
        (' {"answer": 18, "why": "so"}\n', 1.0, 1.0),
        ('{"answer": "18"}', 0.0, 1.0),
        ('{"answer": 18, "more": 1}', 0.0, 1.0),
        ("{}", 0.0, 1.0),
        ("[]", 0.0, 1.0),
        ("18", 0.0, 1.0),
        ("", 0.0, 0.0),
        ("The answer is 18.", 0.0, 0.0),
        ('{"answer": 18', 0.0, 0.0),
        ('{"answer": 18} and more', 0.0, 0.0),
        ('```json\n{"answer": 18}\n```', 0.0, 0.0),
        ('{"answer": NaN}', 0.0, 0.0),
        ('{"answer": ' + "9" * 5000 + "}", 0.0, 0.0),
        ("[" * 100_000, 0.0, 0.0),
        ("[" * 900 + "]" * 900, 0.0, 0.0),
    ],
    ids=lambda v: str(v)[:30],
)
def test_json_schema(text: str, reward: float, parsed: float) -> None:
    outcome = run("json_schema", {"schema": SCHEMA}, text)
    assert (outcome.reward, outcome.components) == (reward, {"parsed": parsed})
    assert bool(outcome.explanation) is (reward == 0.0)
    by_reference = Example(json_references={"s": json.dumps(SCHEMA)})
    assert run("json_schema", {"reference": "s"}, text, by_reference) == outcome
    as_text = Example(references={"s": json.dumps(SCHEMA)})
    assert run("json_schema", {"reference": "s"}, text, as_text) == outcome


def test_a_fence_where_it_is_allowed() -> None:
    params = {"schema": SCHEMA, "allow_fence": True}
    for text in ('```json\n{"answer": 18}\n```', '```\n{"answer": 18}\n```', '{"answer": 18}'):
        assert run("json_schema", params, text).reward == 1.0
    for text in ('so\n```json\n{"answer": 18}\n```', "```json\n```", "```"):
        assert run("json_schema", params, text).components == {"parsed": 0.0}


def test_the_explanation_names_the_place() -> None:
    assert run("json_schema", {"schema": SCHEMA}, '{"answer": "x"}').explanation == (
        "$.answer: 'x' is not of type 'integer'"
    )


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"type": "nothing"}, "not a JSON schema"),
        ({"$ref": "http://127.0.0.1:9/schema"}, "not in it"),
        ({"$ref": "#/$defs/none"}, "not in it"),
        ({"$ref": "#"}, "without end"),
        ({"enum": [float("nan")]}, "no JSON|not JSON compliant"),
        ({"enum": [{1, 2}]}, "no JSON"),
    ],
)
def test_a_schema_that_is_none(schema: Any, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        build("json_schema", {"schema": schema})


@pytest.mark.parametrize("params", [{}, {"schema": {}, "reference": "x"}])
def test_exactly_one_schema(params: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="either"):
        build("json_schema", params)


@pytest.mark.parametrize("document", ['"nothing"', "18", "[]", '{"type": "x"}', '{"$ref": "#/a"}'])
def test_a_reference_that_is_no_schema(document: str) -> None:
    example = Example(json_references={"s": document})
    outcome = run("json_schema", {"reference": "s"}, "{}", example)
    assert isinstance(outcome, ScoreError)
    assert outcome.reason is Reason.INVALID_REFERENCE
    assert isinstance(run("json_schema", {"reference": "s"}, "{}"), ScoreError)


def test_a_recursive_schema_on_the_deepest_document() -> None:
    inner = {"anyOf": [{"$ref": "#/$defs/list"}, {"type": "null"}]}
    schema = {"$defs": {"list": {"type": "array", "items": inner}}, "$ref": "#/$defs/list"}
    text = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert run("json_schema", {"schema": schema}, text).reward == 1.0
    assert run("json_schema", {"schema": schema}, f"[{text}]").components == {"parsed": 0.0}


@pytest.mark.parametrize(
    ("gold", "text", "reward", "parsed"),
    [
        ("18", '{"a": "18"}', 1.0, 1.0),
        ("18", '{"a": " 18 "}', 1.0, 1.0),
        ("18", '{"a": 18}', 1.0, 1.0),
        ("18", '{"a": 18.0}', 1.0, 1.0),
        ("1,000", '{"a": 1000}', 1.0, 1.0),
        ("1/2", '{"a": 0.5}', 1.0, 1.0),
        ("true", '{"a": true}', 1.0, 1.0),
        ("1", '{"a": true}', 0.0, 1.0),
        ("18", '{"a": 19}', 0.0, 1.0),
        ("18", '{"a": null}', 0.0, 1.0),
        ("null", '{"a": null}', 1.0, 1.0),
        ("18", '{"a": "19", "a": "18"}', 0.0, 0.0),
        ("18", '{"a": [18]}', 0.0, 1.0),
        ("Yes", '{"a": "yes"}', 0.0, 1.0),
        ([18], '{"a": 18}', 1.0, 1.0),
        ([18], '{"a": 18.0}', 1.0, 1.0),
        ([18], '{"a": "18"}', 0.0, 1.0),
        ([None], '{"a": null}', 1.0, 1.0),
        ([True], '{"a": 1}', 0.0, 1.0),
        ([[1, {"b": 2.0, "c": 3}]], '{"a": [1.0, {"c": 3, "b": 2}]}', 1.0, 1.0),
        ([[1, 2]], '{"a": [2, 1]}', 0.0, 1.0),
        ("18", '{"b": {"a": 18}}', 0.0, 0.0),
        ("18", '["a"]', 0.0, 0.0),
        ("18", "18", 0.0, 0.0),
        ("18", "", 0.0, 0.0),
        ("18", '{"a": 1e999}', 0.0, 1.0),
    ],
)
def test_json_key(gold: Any, text: str, reward: float, parsed: float) -> None:
    if isinstance(gold, str):
        example = Example(references={"answer": gold})
    else:
        example = Example(json_references={"answer": json.dumps(gold[0])})
    outcome = run("json_key", {"key": "a"}, text, example)
    assert (outcome.reward, outcome.components) == (reward, {"parsed": parsed})


def test_json_key_options() -> None:
    example = Example(references={"gold": "Yes"})
    params = {"key": "a", "reference": "gold", "ignore_case": True, "strip": False}
    assert run("json_key", params, '{"a": "yes"}', example).reward == 1.0
    assert run("json_key", params, '{"a": "yes "}', example).reward == 0.0
    for missing in (
        Example(),
        Example(references={"gold": ""}),
        Example(references={"gold": " "}),
        Example(json_references={"gold": '" "'}),
    ):
        outcome = run("json_key", params, '{"a": "yes"}', missing)
        assert isinstance(outcome, ScoreError)
        assert outcome.reason is Reason.INVALID_REFERENCE
    with pytest.raises(ValidationError):
        build("json_key", {"key": ""})


json_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**20), 10**20),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(json_values, json_values)
def test_equality_is_that_of_the_documents(one: Any, other: Any) -> None:
    assert is_equal(one, one)
    assert is_equal(one, json.loads(json.dumps(one)))
    assert is_equal(one, other) is is_equal(other, one)
    assert read_json(json.dumps(one)) == one


@settings(deadline=None)
@given(st.one_of(st.text(), st.text('[]{}",:0123456789.eE-+ truefalsn`\n', max_size=60)))
def test_any_text_is_json_or_not(text: str) -> None:
    try:
        document = read_json(text, fenced=True)
    except NoJson:
        document = None
    else:
        json.dumps(document)
    example = Example(references={"answer": "x"})
    for outcome in (
        run("json_key", {"key": "a"}, text, example),
        run("json_schema", {"schema": SCHEMA}, text),
    ):
        assert isinstance(outcome, Score)
        assert outcome.reward in (0.0, 1.0)


@settings(deadline=None, max_examples=50)
@given(json_values, json_values)
def test_any_reference_is_a_schema_or_not(schema: Any, document: Any) -> None:
    example = Example(json_references={"s": json.dumps(schema)})
    outcome = run("json_schema", {"reference": "s"}, json.dumps(document), example)
    if isinstance(outcome, ScoreError):
        assert outcome.reason is Reason.INVALID_REFERENCE
