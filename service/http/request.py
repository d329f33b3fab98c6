"""What all contracts share: bodies in, one item through the lanes, errors as HTTP status codes."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

from rewardplane.access.caller import Caller
from rewardplane.gateway.call import Call
from rewardplane.gateway.scorer import Scorer
from rewardplane.replica.segment import SCORED
from rewardplane.rewards.types import Example, Outcome, Reason, Response, Score, ScoreError
from rewardplane.v1 import reward_service_pb2 as pb
from rewardplane.wire.errors import (
    CallError,
    IncompleteGroup,
    InlineCode,
    InsufficientIsolation,
    InvalidRequest,
    NotReady,
    Overloaded,
    PermissionDenied,
    QuotaExceeded,
    Unauthenticated,
    UnknownReward,
    VersionGone,
)
from rewardplane.wire.messages import example_to, response_to
from starlette.requests import Request
from starlette.responses import Response as HttpResponse

_STATUS: Mapping[type[CallError], int] = {
    InvalidRequest: 400,
    UnknownReward: 404,
    VersionGone: 409,
    IncompleteGroup: 400,
    InsufficientIsolation: 412,
    InlineCode: 403,
    Unauthenticated: 401,
    PermissionDenied: 403,
    Overloaded: 429,
    QuotaExceeded: 429,
    NotReady: 503,
}
_RETRY_NOT_READY_S = 2
READ_S = 60.0
"""How long a body may take to come: until then its part of the memory is held."""


class TooLarge(Exception):
    """A body is larger than it may be."""


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The body as it came.

    Raises:
        TooLarge: it has more than `max_bytes`.
        InvalidRequest: it did not come in time.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise TooLarge(f"{declared} bytes; at most {max_bytes}")
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(READ_S):
            async for chunk in request.stream():
                size += len(chunk)
                if size > max_bytes:
                    raise TooLarge(f"more than {max_bytes} bytes")
                chunks.append(chunk)
    except TimeoutError:
        raise InvalidRequest(f"the body did not come within {READ_S:g} s") from None
    return b"".join(chunks)


def json_object(body: bytes) -> Mapping[str, Any]:
    """The body as a JSON object.

    Raises:
        InvalidRequest: it is none.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"the body is no JSON: {error}") from None
    if not isinstance(document, dict):
        raise InvalidRequest(f"the body is no JSON object but {type(document).__name__}")
    return cast("dict[str, Any]", document)


def traceparent_of(request: Request) -> str:
    """The W3C trace that the request belongs to; empty where it names none."""
    return request.headers.get("traceparent", "")[:128]


def caller_of(request: Request) -> Caller | None:
    """Who calls, as the gate said before the request was read. None: nobody asks."""
    caller: Caller | None = request.state.caller
    return caller


async def score_items(
    scorer: Scorer,
    reward: str,
    items: Sequence[tuple[Example, Response]],
    *,
    timeout_s: float,
    traceparent: str = "",
    caller: Caller | None = None,
) -> Call:
    """Items through the lanes, each a group of its own, without components or explanations.

    Raises:
        CallError: they are refused.
    """
    request = pb.ScoreRequest(reward=reward)
    for example, response in items:
        group = request.groups.add(expected_size=1)
        group.example.CopyFrom(example_to(example))
        group.responses.append(response_to(response))
    return await scorer.score(request.SerializeToString(), timeout_s, traceparent, caller)


async def score_one(
    scorer: Scorer,
    reward: str,
    example: Example,
    response: Response,
    *,
    timeout_s: float,
    traceparent: str = "",
    job: str = "",
    step: int = 0,
    caller: Caller | None = None,
) -> Call:
    """One item through the lanes; its explanation comes with it.

    Raises:
        CallError: it is refused.
    """
    request = pb.ScoreRequest(reward=reward, job=job, step=step)
    request.options.include_components = True
    request.options.include_explanations = True
    group = request.groups.add(expected_size=1)
    group.example.CopyFrom(example_to(example))
    group.responses.append(response_to(response))
    return await scorer.score(request.SerializeToString(), timeout_s, traceparent, caller)


def plain_outcomes(call: Call) -> list[Outcome]:
    """The outcomes of a call that asked for rewards alone, in the order of its items."""
    outcomes: list[Outcome] = []
    for item in range(call.n):
        if call.states[item] == SCORED:
            outcomes.append(Score(call.rewards[item]))
            continue
        lost = Reason.UNAVAILABLE.value, "the reason was lost on its way"
        number, message = call.extras.get(item) or lost
        outcomes.append(ScoreError(Reason(number), message))
    return outcomes


def outcome_of(call: Call) -> Outcome:
    """The outcome of a call of one item."""
    extra = call.extras.get(0)
    if call.states[0] != SCORED:
        number, message = extra or (Reason.UNAVAILABLE.value, "the reason was lost on its way")
        return ScoreError(Reason(number), message)
    names = call.served[0].component_names
    components = dict(zip(names, call.components, strict=False)) if call.stride else {}
    explanation, steps, answer = extra or ("", (), "")
    return Score(call.rewards[0], components, explanation, tuple(steps), answer)


def error_status(error: CallError) -> tuple[int, dict[str, str]]:
    """The status code of a refused call, and its headers."""
    headers: dict[str, str] = {}
    if isinstance(error, Overloaded):
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after_s)))
    elif isinstance(error, NotReady):
        headers["retry-after"] = str(_RETRY_NOT_READY_S)
    elif isinstance(error, Unauthenticated):
        headers["www-authenticate"] = "Bearer"  # https://www.rfc-editor.org/rfc/rfc6750#section-3
    return _STATUS.get(type(error), 500), headers


def error_json(error: ScoreError) -> dict[str, Any]:
    """An item's error, as all contracts tell it."""
    return {
        "error": {
            "reason": error.reason.name,
            "message": error.message,
            "retryable": error.retryable,
        }
    }


def item_status(reason: Reason) -> int:
    """The status code of an item whose error may pass when it is sent again."""
    return 429 if reason is Reason.RATE_LIMITED else 503


def json_response(
    value: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    """An answer. Values are finite or text: what JSON cannot hold is a fault of ours."""
    body = json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
    return HttpResponse(body, status, dict(headers or {}), "application/json")
