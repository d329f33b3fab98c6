"""The bodies of the two HTTP calls of Google's side, read and written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from rewardplane.rewards.formats.gemini.combine import MemberOutcome
from rewardplane.rewards.formats.gemini.options import CloudRun
from rewardplane.rewards.formats.gemini.reader import BadMessage
from rewardplane.rewards.formats.gemini.reward import NO_MATCH
from rewardplane.rewards.formats.gemini.wire import (
    STATUS_CODES,
    Member,
    cloud_run_answer,
    cloud_run_value,
    member_outcome,
    parse_cloud_run,
    parse_validation,
    refused_answer,
    validation_answer,
)
from rewardplane.rewards.types import (
    Blob,
    FileData,
    FunctionCall,
    FunctionResponse,
    Reason,
    Score,
    ScoreError,
)

from .configs import cloud_run, composite, match

# As the documentation prints it.
DOCUMENTED = {
    "example": {
        "contents": [{"role": "user", "parts": [{"text": "What is the capital of France?"}]}],
        "references": {"answer": "Paris"},
    },
    "response": {"parts": [{"text": "London"}]},
    "metadata": {"step": 1, "tuningJobId": 123456789},
}


def cloud(**more: Any) -> Any:
    return parse_cloud_run(json.dumps({**DOCUMENTED, **more}))


def test_the_documented_request() -> None:
    asked = cloud()
    assert asked.example.prompt == "What is the capital of France?"
    assert asked.example.references == {"answer": "Paris"}
    assert (asked.response.text, asked.response.turns) == ("London", ())
    assert (asked.step, asked.job_id) == (1, "123456789")


@pytest.mark.parametrize("key", ["tuningJobId", "tuning_job_id"])
@pytest.mark.parametrize("value", [123456789, "123456789"])
def test_both_spellings_of_the_job_as_number_or_text(key: str, value: Any) -> None:
    assert cloud(metadata={"step": "2", key: value}).job_id == "123456789"


@pytest.mark.parametrize("metadata", [None, {}])
def test_metadata_may_be_missing(metadata: Any) -> None:
    asked = cloud(metadata=metadata)
    assert (asked.step, asked.job_id) == (None, None)


@pytest.mark.parametrize(
    "more",
    [
        {"example": None},
        {"response": None},
        {"metadata": {"step": "one"}},
        {"metadata": {"tuningJobId": "x"}},
        {"metadata": []},
        {"response": {"parts": [{"text": 1}]}},
        {"response": {"parts": [{"inlineData": {"data": "*"}}]}},
        {"example": {"references": "x"}},
    ],
)
def test_what_is_no_request_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(BadMessage) as caught:
        cloud(**more)
    answer = refused_answer(caught.value)
    assert answer["error"]["code"] == 400
    assert answer["error"]["message"]


def test_all_kinds_of_parts_in_either_spelling() -> None:
    parts = [
        {"text": "hm", "thought": True, "thoughtSignature": "AA=="},
        {"text": "hi"},
        {"inline_data": {"mime_type": "image/png", "data": "_-8"}},
        {"fileData": {"mimeType": "image/png", "fileUri": "gs://b/o"}},
        {"function_call": {"name": "f", "args": {"x": 1}, "id": "1"}},
        {"functionResponse": {"name": "f", "response": {"y": 2}}},
        {"executableCode": {"code": "1"}},
        {},
    ]
    asked = cloud(response={"role": "model", "parts": parts})
    assert asked.response.text == "hi"
    (turn,) = asked.response.turns
    assert [p.data for p in turn.parts] == [
        "hm",
        "hi",
        Blob("image/png", b"\xff\xef"),
        FileData("image/png", "gs://b/o"),
        FunctionCall("f", {"x": 1}, "1"),
        FunctionResponse("f", {"y": 2}),
    ]
    assert [p.thought for p in turn.parts] == [True, *[False] * 5]


def test_an_example_has_system_instruction_tools_and_references_of_any_type() -> None:
    example = {
        "contents": [],
        "system_instruction": {"parts": [{"text": "Be kind."}]},
        "tools": [{"functionDeclarations": []}],
        "references": {"a": "x", "b": [1]},
    }
    asked = cloud(example=example).example
    assert asked.system_instruction is not None
    assert asked.system_instruction.text == "Be kind."
    assert json.loads(asked.tools_json) == example["tools"]
    assert (asked.references, asked.json_references) == ({"a": "x"}, {"b": "[1]"})


def test_the_answer_to_a_tuning_job() -> None:
    assert cloud_run_answer(Score(2.0)) == {"reward": 1.0}
    told = cloud_run_answer(Score(-0.5, explanation="why"))
    assert told == {"reward": -0.5, "user_requested_aux_info": "why"}
    error = ScoreError(Reason.TIMED_OUT, "too long")
    told = cloud_run_value(error, -1.0)
    assert told == {"reward": -1.0, "user_requested_aux_info": "TIMED_OUT: too long"}


def validation(**config: Any) -> bytes:
    body = {"example": DOCUMENTED["example"], "sampleResponse": DOCUMENTED["response"], **config}
    return json.dumps(body).encode()


def test_a_validation_is_taken_apart_into_single_rewards() -> None:
    config = composite((match(name="a"), 1), ({**match(), "foo": 1}, "2"))
    asked = parse_validation(validation(composite_reward_config=config))
    assert asked.is_composite
    assert [(m.name, m.weight, m.is_cloud_run) for m in asked.members] == [
        ("a", 1.0, False),
        ("reward_2", 2.0, False),
    ]
    assert asked.members[0].config == match(name="a")
    assert asked.response.text == "London"
    assert any("foo" in warning for warning in asked.warnings)


def test_strangers_may_have_the_service_call_allowed_origins_alone() -> None:
    body = validation(singleRewardConfig=cloud_run("http://169.254.169.254/"))
    assert parse_validation(body).members[0].is_cloud_run
    with pytest.raises(BadMessage, match="allowed origins"):
        parse_validation(body, cloud_run=CloudRun(allowed_origins=("https://x.run.app",)))


@pytest.mark.parametrize("missing", ["example", "sampleResponse", "singleRewardConfig"])
def test_a_validation_without_its_parts_is_refused(missing: str) -> None:
    body = json.loads(validation(singleRewardConfig=match()))
    del body[missing]
    with pytest.raises(BadMessage):
        parse_validation(json.dumps(body))


def test_an_error_stands_in_all_places_that_clients_read() -> None:
    error = ScoreError(Reason.UNAVAILABLE, "503")
    single = validation_answer([MemberOutcome("r", 1.0, error)], is_composite=False)
    status = {"code": 14, "message": "UNAVAILABLE: 503"}
    assert single == {
        "overallReward": "NaN",
        "error": "UNAVAILABLE: 503",
        "errorStatus": status,
        "rewardInfoDetails": {"r": {"reward": "NaN", "errorStatus": status}},
    }


def test_the_deprecated_details_are_of_composites_alone() -> None:
    good = MemberOutcome("a", 1.0, Score(0.5), "why")
    assert "rewardDetails" not in validation_answer([good], is_composite=False)
    error = ScoreError(Reason.RAISED, "x")
    bad = MemberOutcome("b", 1.0, error)
    answer = validation_answer([good, bad], is_composite=True, on_member_error="renormalise")
    assert answer["rewardDetails"] == {"a": 0.5, "b": "NaN"}
    assert answer["overallReward"] == 0.5
    assert "error" not in answer
    assert answer["rewardInfoDetails"]["a"] == {"reward": 0.5, "userRequestedAuxInfo": "why"}


@pytest.mark.parametrize(
    ("is_cloud_run", "explanation", "aux_info"),
    [(True, "why", "why"), (True, NO_MATCH, ""), (False, "why", ""), (True, "", "")],
)
def test_only_a_service_has_words_for_the_user(
    is_cloud_run: bool, explanation: str, aux_info: str
) -> None:
    member = Member("m", 1.0, {}, is_cloud_run)
    assert member_outcome(member, Score(1.0, {}, explanation)).aux_info == aux_info


def test_every_reason_has_a_status() -> None:
    assert STATUS_CODES.keys() == set(Reason)
