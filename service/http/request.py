"""What all contracts share: bodies in, items through the lanes, errors as HTTP status codes."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal, cast

from rewardplane.access.caller import Caller
from rewardplane.gateway.call import Call
from rewardplane.gateway.scorer import Scorer
from rewardplane.replica.segment import SCORED
from rewardplane.rewards.types import (
    Example,
    Outcome,
    Reason,
    Response,
    Score,
    ScoreError,
    Usage,
)
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
Wants = Sequence[Literal["components", "explanations", "step_rewards", "details"]]
"""What scores tell beside their reward."""
READ_S = 60.0
"""How long a body may take to come: until then its part of the memory is held."""


class TooLarge(Exception):
    """A body is larger than it may be."""


class Bodies:
    """The bytes of bodies that are still coming, all connections together, and their bound."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.bytes = 0

    def take(self, count: int) -> None:
        """Makes room for more bytes of a body.

        Raises:
            Overloaded: there is none now.
        """
        if self.bytes + count > self._max_bytes:
            raise Overloaded(
                f"no room: {self.bytes} of {self._max_bytes} bytes of unfinished bodies are held; "
                "try again in 1 s"
            )
        self.bytes += count

    def give_back(self, count: int) -> None:
        """These bytes are with the admission now, or dropped."""
        self.bytes -= count


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The body as it came.

    Raises:
        TooLarge: it has more than `max_bytes`.
        InvalidRequest: it did not come in time.
        Overloaded: bodies that are not complete hold all the memory that they may.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > max_bytes:
        raise TooLarge(f"{declared} bytes; at most {max_bytes}")
    chunks: list[bytes] = []
    size = 0
    bodies: Bodies = request.app.state.bodies
    try:
        async with asyncio.timeout(READ_S):
            async for chunk in request.stream():
                size += len(chunk)
                if size > max_bytes:
                    size -= len(chunk)
                    raise TooLarge(f"more than {max_bytes} bytes")
                try:
                    bodies.take(len(chunk))
                except Overloaded:
                    size -= len(chunk)
                    raise
                chunks.append(chunk)
    except TimeoutError:
        raise InvalidRequest(f"the body did not come within {READ_S:g} s") from None
    finally:
        bodies.give_back(size)
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
    job: str = "",
    step: int = 0,
    wants: Wants = (),
    caller: Caller | None = None,
) -> Call:
    """Items through the lanes, each a group of its own; `wants`: what is told beside rewards.

    Raises:
        CallError: they are refused.
    """
    request = pb.ScoreRequest(reward=reward, job=job, step=step)
    for name in wants:
        setattr(request.options, f"include_{name}", True)
    for example, response in items:
        group = request.groups.add(expected_size=1)
        group.example.CopyFrom(example_to(example))
        group.responses.append(response_to(response))
    return await scorer.score(request.SerializeToString(), timeout_s, traceparent, caller)


def outcomes_of(call: Call) -> list[Outcome]:
    """The outcomes of a call, in the order of its items."""
    return [
        _outcome(call, item, served.component_names)
        for served, first, end in zip(call.served, call.offsets, call.offsets[1:], strict=False)
        for item in range(first, end)
    ]


def outcome_of(call: Call) -> Outcome:
    """The outcome of a call of one item."""
    return _outcome(call, 0, call.served[0].component_names)


def _outcome(call: Call, item: int, names: Sequence[str]) -> Outcome:
    extra = call.extras.get(item)
    if call.states[item] != SCORED:
        lost = Reason.UNAVAILABLE.value, "the reason was lost on its way"
        number, message, *spent = extra or lost
        return ScoreError(Reason(number), message, Usage(*spent[0]) if spent else None)
    at = item * call.stride
    values = zip(names, call.components[at : at + len(names)], strict=False)
    # A member that a gate left out has no value, and JSON no NaN.
    components = {name: value for name, value in values if math.isfinite(value)}
    explanation, steps, answer, details, *_judgements = extra or ("", (), "", "")
    score = call.rewards[item], components if call.stride else {}
    return Score(*score, explanation, tuple(steps), answer, details)


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
            **({} if error.usage is None else {"usage": asdict(error.usage)}),
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
