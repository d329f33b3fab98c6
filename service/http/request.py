"""What all contracts share: bodies in, outcomes out, errors as HTTP status codes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal, cast

from rewardplane.gateway.call import Call
from rewardplane.replica.segment import SCORED
from rewardplane.rewards.types import Outcome, Reason, Score, ScoreError, Usage
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
Wants = tuple[Literal["components", "explanations", "step_rewards", "details"], ...]
"""What scores tell beside their reward."""


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


def outcomes_of(call: Call) -> list[Outcome]:
    """The outcomes of a call, in the order of its items."""
    return [
        _outcome(call, item, served.component_names)
        for served, first, end in zip(call.served, call.offsets, call.offsets[1:], strict=False)
        for item in range(first, end)
    ]


def outcome_of(call: Call) -> Outcome:
    """The outcome of a call of one item."""
    return outcome_at(call, 0)


def outcome_at(call: Call, item: int) -> Outcome:
    """The outcome of an item of a call whose items are all of the same reward."""
    return _outcome(call, item, call.served[0].component_names)


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
