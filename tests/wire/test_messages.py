"""Domain types and messages say the same, there and back."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rewardplane.rewards.types import (
    Blob,
    Content,
    Example,
    FileData,
    FunctionCall,
    FunctionResponse,
    Group,
    JudgementRecord,
    Part,
    Reason,
    Response,
    Score,
    ScoreError,
    Usage,
)
from rewardplane.v1 import reward_service_pb2 as pb
from rewardplane.wire import messages as wire

from ..support.fake_server import COMPONENTS, render

ALL = pb.ScoreOptions(include_components=True, include_explanations=True, include_step_rewards=True)

# Whatever UTF-8 can say, NUL and bidi marks included; surrogates have tests of their own.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
maps = st.dictionaries(texts, texts, max_size=3)
objects = st.dictionaries(
    texts, st.none() | st.booleans() | st.integers() | texts | st.lists(texts), max_size=3
)
data = st.one_of(
    texts,
    st.builds(Blob, texts, st.binary(max_size=20)),
    st.builds(FileData, texts, texts),
    st.builds(FunctionCall, texts, objects, texts),
    st.builds(FunctionResponse, texts, objects, texts),
)
parts = st.builds(Part, data, st.booleans())
contents = st.builds(Content, texts, st.lists(parts, max_size=3).map(tuple))
turns = st.lists(contents, max_size=3).map(tuple)
examples = st.builds(Example, turns, maps, maps, st.none() | contents, texts, texts)
responses = st.builds(
    Response,
    texts,
    st.sampled_from(["", "stop", "length", "other"]),
    st.none() | st.integers(0, 2**31 - 1),
    turns,
    maps,
    maps,
    texts,
)
finite = st.floats(allow_nan=False, allow_infinity=False)
scores = st.builds(
    Score,
    finite,
    st.fixed_dictionaries(dict.fromkeys(COMPONENTS, finite)),
    texts,
    st.lists(finite, max_size=3).map(tuple),
)
outcomes = scores | st.builds(ScoreError, st.sampled_from(Reason), texts)


def parsed(message: Any) -> Any:
    return type(message).FromString(message.SerializeToString())


@given(examples)
def test_examples_come_back(example: Example) -> None:
    assert wire.example_from(parsed(wire.example_to(example))) == example


@given(responses)
def test_responses_come_back(response: Response) -> None:
    back = wire.response_from(parsed(wire.response_to(response)))
    if not response.text and response.turns:
        response.text = response.turns[-1].text
    assert back == response
    assert type(back.token_count) is type(response.token_count)


@given(st.lists(responses, min_size=1, max_size=3), examples, st.integers(0, 9), texts, texts)
def test_a_group_is_its_example_its_responses_and_its_terms(
    members: list[Response], example: Example, size: int, reward: str, version: str
) -> None:
    message = parsed(wire.group_to(Group(example, members, size, reward, version)))
    assert message.example == wire.example_to(example)
    assert list(message.responses) == [wire.response_to(member) for member in members]
    assert (message.expected_size, message.reward, message.version) == (size, reward, version)


@given(outcomes)
def test_outcomes_come_back(outcome: Score | ScoreError) -> None:
    message = pb.Outcome()
    render(outcome, message, ALL)
    back = wire.outcome_from(parsed(message), COMPONENTS)
    assert back == outcome
    if isinstance(outcome, Score):
        # -0.0 equals 0.0, and is still another number.
        assert math.copysign(1, back.reward) == math.copysign(1, outcome.reward)


probabilities = st.floats(0, 1)
records = st.builds(
    JudgementRecord,
    texts,
    finite,
    st.dictionaries(texts, probabilities, max_size=4),
    st.none() | probabilities,
    texts,
    st.builds(Usage, *[st.integers(0, 2**31 - 1)] * 4),
    texts,
)


@given(records)
def test_judgements_come_back_through_processes_and_messages(record: JudgementRecord) -> None:
    plain = json.loads(json.dumps(record.as_list()))
    assert JudgementRecord.from_list(plain) == record
    message = pb.Judgement()
    wire.judgement_to(JudgementRecord.from_list(plain), message)
    assert wire.judgement_from(parsed(message)) == record
    outcome = pb.Outcome(score=pb.Score(reward=1.0, judgements=[message]))
    assert wire.outcome_from(parsed(outcome), ()) == Score(1.0, judgements=(record,))


@given(st.text(max_size=50))
def test_lone_surrogates_are_replaced_and_counted(text: str) -> None:
    lone = sum("\ud800" <= c <= "\udfff" for c in text)
    before = wire.surrogates_replaced()
    clean = wire.clean(text)
    assert wire.surrogates_replaced() - before == lone
    assert len(clean) == len(text)
    assert clean == "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)


@pytest.mark.parametrize("lone", ["\ud800", "a\udfffb", "\udc00\ud800", "é\ud83d"])
def test_no_field_lets_a_lone_surrogate_through(lone: str) -> None:
    both = {lone: lone}
    content = Content(
        lone,
        (
            Part(lone),
            Part(Blob(lone, b"")),
            Part(FileData(lone, lone)),
            Part(FunctionCall(lone, both, lone)),
            Part(FunctionResponse(lone, both, lone)),
        ),
    )
    example = Example((content,), both, both, content, lone, lone)
    response = Response(lone, "stop", 1, (content,), both, both, lone)
    message = wire.group_to(Group(example, (response,), 0, lone, lone))
    assert "\ufffd" in message.responses[0].text
    back = wire.example_from(parsed(message).example)
    assert "\ufffd" in back.prompt
    assert all("\ufffd" in key and "\ufffd" in back.references[key] for key in back.references)


def test_a_response_without_text_has_that_of_its_last_turn_without_thoughts() -> None:
    last = Content(
        "model", (Part("hm", thought=True), Part("4"), Part(FunctionCall("f")), Part("2"))
    )
    response = Response(turns=(Content("model", (Part("no"),)), last))
    assert wire.response_from(wire.response_to(response)).text == "42"


def test_a_token_count_of_zero_is_known_and_an_absent_one_is_not() -> None:
    assert wire.response_from(pb.Response(token_count=0)).token_count == 0
    assert wire.response_from(pb.Response()).token_count is None


@pytest.mark.parametrize("number", [-1, 4, 99])
def test_a_finish_reason_of_a_newer_peer_is_other(number: int) -> None:
    message = pb.Response.FromString(b"\x10" + bytes(_varint(number)))
    assert message.finish_reason == number
    assert wire.response_from(message).finish_reason == "other"


def test_a_finish_reason_of_another_framework_is_other() -> None:
    message = wire.response_to(Response("x", finish_reason="tool_calls"))
    assert message.finish_reason == pb.FINISH_REASON_OTHER


@pytest.mark.parametrize(
    ("retryable", "reason"), [(True, Reason.UNAVAILABLE), (False, Reason.RAISED)]
)
def test_an_error_reason_of_a_newer_service_keeps_its_retryability(
    retryable: bool, reason: Reason
) -> None:
    message = pb.Outcome()
    message.error.reason = 77
    message.error.message = "out of luck"
    message.error.retryable = retryable
    error = wire.outcome_from(message, ())
    assert isinstance(error, ScoreError)
    assert error.reason is reason
    assert "77" in error.message
    assert "out of luck" in error.message


def test_every_reason_is_in_the_protocol_and_the_other_way_round() -> None:
    names = {f"ERROR_REASON_{reason.name}": reason.value for reason in Reason}
    assert names == {k: v for k, v in pb.ErrorReason.items() if v}


@pytest.mark.parametrize("document", ["{", "[1]", "3", '"x"', "[" * 100_000])
def test_arguments_that_are_no_object_are_named_by_their_path(document: str) -> None:
    part = pb.Part(function_call=pb.FunctionCall(name="f", args_json=document))
    content = pb.Content(parts=[pb.Part(text="x"), part])
    path = r"\[1\].parts\[1\].function_call.args_json"
    with pytest.raises(wire.FieldError, match="turns" + path):
        wire.response_from(pb.Response(turns=[pb.Content(), content]))
    with pytest.raises(wire.FieldError, match="contents" + path):
        wire.example_from(pb.Example(contents=[pb.Content(), content]))


def test_an_outcome_that_is_neither_or_ill_fitting_is_refused() -> None:
    with pytest.raises(wire.FieldError, match="neither"):
        wire.outcome_from(pb.Outcome(), ())
    with pytest.raises(wire.FieldError, match="2 values for 1 names"):
        wire.outcome_from(pb.Outcome(score=pb.Score(components=[1, 2])), ["one"])


def test_non_ascii_arguments_travel_as_they_are() -> None:
    response = Response(turns=(Content("model", (Part(FunctionCall("f", {"q": "π ≈ 3"})),)),))
    document = wire.response_to(response).turns[0].parts[0].function_call.args_json
    assert "π" in document
    assert json.loads(document) == {"q": "π ≈ 3"}


def _varint(number: int) -> list[int]:
    number &= 2**64 - 1
    out: list[int] = []
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return [*out, number]
