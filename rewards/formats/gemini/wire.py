"""The bodies of the two HTTP calls that Google's side makes, read and written. No HTTP here.

``:validateReinforcementTuningReward``: parse, score each of `Validation.members` as a reward of
kind `gemini` of its own, then `validation_answer`. Cloud Run: parse, score, `cloud_run_answer`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...text.protojson import int64_of
from ...types import Example, Outcome, Reason, Response, Score, ScoreError
from ..member_fault import MemberFault
from .checks import read_config
from .combine import MemberOutcome, OnMemberError, combine
from .content import example_from_json, object_of, object_or_empty, response_from_json
from .options import CloudRun, Undocumented
from .reader import BadMessage, loads, spelled
from .reward import NO_MATCH, members_of
from .schema import CompositeReward

NAN = "NaN"

STATUS_CODES: Mapping[Reason, int] = {
    Reason.NOT_APPLICABLE: 9,
    Reason.INVALID_INPUT: 3,
    Reason.INVALID_REFERENCE: 3,
    Reason.RAISED: 2,
    Reason.INVALID_RESULT: 3,
    Reason.TIMED_OUT: 4,
    Reason.OUT_OF_MEMORY: 8,
    Reason.CRASHED: 13,
    Reason.QUEUE_TIMEOUT: 14,
    Reason.DEADLINE: 4,
    Reason.CANCELLED: 1,
    Reason.RATE_LIMITED: 8,
    Reason.UNAVAILABLE: 14,
    Reason.JUDGE_UNREADABLE: 13,
    Reason.JUDGE_REFUSED: 9,
    Reason.SANDBOX_FAULT: 13,
    Reason.MODEL_CHANGED: 9,
}
"""What each reason is as a ``google.rpc.Code``."""


@dataclass(slots=True, frozen=True)
class Member:
    """A single reward of a validation: `config` is the parameter of a reward of kind `gemini`."""

    name: str
    weight: float
    config: Mapping[str, Any]
    is_cloud_run: bool


@dataclass(slots=True, frozen=True)
class Validation:
    """A ``ValidateReinforcementTuningRewardRequest``."""

    members: Sequence[Member]
    is_composite: bool
    example: Example
    response: Response
    warnings: tuple[str, ...]


def parse_validation(
    body: bytes | str,
    options: Undocumented | None = None,
    cloud_run: CloudRun | None = None,
) -> Validation:
    """The request that an HTTP body holds.

    `cloud_run.allowed_origins` decides what the service may be made to call by strangers.

    Raises:
        BadMessage: it is none, or its configuration cannot be served; all faults of it at once.
    """
    fields = object_of(loads(body), "the body")
    reading = read_config(_config(fields), options, cloud_run)
    config = reading.config
    documents = _documents(fields)
    members = [
        Member(name, weight, document, single.cloud_run_reward_scorer is not None)
        for (name, weight, single), document in zip(members_of(config), documents, strict=True)
    ]
    return Validation(
        members,
        isinstance(config, CompositeReward),
        example_from_json(_wanted(fields, "example"), "example"),
        response_from_json(_wanted(fields, "sample_response"), "sampleResponse"),
        reading.warnings,
    )


def member_outcome(member: Member, outcome: Outcome) -> MemberOutcome:
    """What came of a member that was scored as a reward of its own."""
    told = outcome.explanation if isinstance(outcome, Score) and member.is_cloud_run else ""
    aux_info = "" if told == NO_MATCH else told
    return MemberOutcome(member.name, member.weight, outcome, aux_info)


def validation_answer(
    members: Sequence[MemberOutcome],
    *,
    is_composite: bool,
    on_member_error: OnMemberError = "error",
) -> dict[str, Any]:
    """The response body: an error is the reward "NaN" with its status.

    The text `error` and `errorStatus` stand both: Google's own SDK reads the first alone.
    """
    answer: dict[str, Any] = {"rewardInfoDetails": {m.name: _info(m) for m in members}}
    try:
        answer["overallReward"] = combine(members, on_member_error)
    except MemberFault as fault:
        single = members[0].outcome
        error = ScoreError(fault.reason, str(fault))
        if not is_composite and isinstance(single, ScoreError):
            error = single
        answer["overallReward"] = NAN
        answer["error"] = f"{error.reason.name}: {error.message}"
        answer["errorStatus"] = _status(error)
    if is_composite:
        answer["rewardDetails"] = {m.name: _reward(m.outcome) for m in members}
    return answer


def refused_answer(fault: BadMessage) -> dict[str, Any]:
    """The body of an HTTP 400, as Google's APIs write it."""
    return {"error": {"code": 400, "message": str(fault), "status": "INVALID_ARGUMENT"}}


@dataclass(slots=True, frozen=True)
class CloudRunRequest:
    """What a tuning job sends to a Cloud Run reward; `step` and `job_id` None where not told."""

    example: Example
    response: Response
    step: int | None
    job_id: str | None


def parse_cloud_run(body: bytes | str) -> CloudRunRequest:
    """The request that an HTTP body holds. The job's id may be spelled either way, as text or not.

    Raises:
        BadMessage: it is none.
    """
    fields = object_of(loads(body), "the body")
    metadata = object_or_empty(fields.get("metadata"), "metadata")
    step, job = metadata.get("step"), spelled(metadata, "tuning_job_id")
    if step is not None and int64_of(step) is None:
        raise BadMessage(["metadata.step: want an integer"])
    return CloudRunRequest(
        example_from_json(_wanted(fields, "example"), "example"),
        response_from_json(_wanted(fields, "response"), "response"),
        None if step is None else int64_of(step),
        None if job is None else _job_id(job),
    )


def cloud_run_answer(score: Score) -> dict[str, Any]:
    """The body of an HTTP 200: the reward, clipped, and the explanation for the user."""
    answer: dict[str, Any] = {"reward": max(min(score.reward, 1.0), -1.0)}
    if score.explanation:
        answer["user_requested_aux_info"] = score.explanation
    return answer


def cloud_run_value(error: ScoreError, value: float) -> dict[str, Any]:
    """The body of an HTTP 200 for an operator who wants errors to be the number `value`."""
    told = f"{error.reason.name}: {error.message}"
    return {"reward": value, "user_requested_aux_info": told}


def _config(fields: Mapping[str, Any]) -> dict[str, Any]:
    names = ("single_reward_config", "composite_reward_config")
    found = {name: spelled(fields, name) for name in names}
    given = {name: value for name, value in found.items() if value is not None}
    if not given:
        raise BadMessage(["want one of singleRewardConfig and compositeRewardConfig"])
    return given


def _documents(fields: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The JSON of each single reward of a configuration that was found sound."""
    single = spelled(fields, "single_reward_config")
    if single is not None:
        return [single]
    composite = spelled(fields, "composite_reward_config")
    members = spelled(composite, "weighted_reward_configs")
    return [spelled(member, "reward_config") for member in members]


def _wanted(fields: Mapping[str, Any], name: str) -> Any:
    value = spelled(fields, name)
    if value is None:
        raise BadMessage([f"{name}: is missing"])
    return value


def _job_id(raw: object) -> str:
    number = int64_of(raw)
    if number is None:
        raise BadMessage(["metadata.tuningJobId: want an integer"])
    return str(number)


def _info(member: MemberOutcome) -> dict[str, Any]:
    info: dict[str, Any] = {"reward": _reward(member.outcome)}
    if member.aux_info:
        info["userRequestedAuxInfo"] = member.aux_info
    if isinstance(member.outcome, ScoreError):
        info["errorStatus"] = _status(member.outcome)
    return info


def _reward(outcome: Outcome) -> float | str:
    return outcome.reward if isinstance(outcome, Score) else NAN


def _status(error: ScoreError) -> dict[str, Any]:
    message = f"{error.reason.name}: {error.message}"
    return {"code": STATUS_CODES[error.reason], "message": message}
