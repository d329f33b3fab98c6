"""What an HTTP answer of an endpoint means: a JSON object, a fault, or another try."""

from __future__ import annotations

import json
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from time import time
from typing import Any, cast

from ..result import plain
from ..types import (
    InvalidInput,
    JudgeRefused,
    JudgeUnreadable,
    RateLimited,
    RewardFault,
    Unavailable,
)

_AGAIN = frozenset({408, 409, 425, 429, *range(500, 600)})
_OPERATOR = frozenset({*range(300, 400), 401, 403, 404, 405, 407})


class Again(Exception):
    """A try that failed and may be worth another. Status 0: there was no answer."""

    def __init__(self, status: int, why: str, retry_after_s: float | None = None) -> None:
        super().__init__(why)
        self.status = status
        self.retry_after_s = retry_after_s


def answer_of(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    where: str,
    unreadable: type[RewardFault] = JudgeUnreadable,
    denied: str = "",
) -> dict[str, Any]:
    """The JSON object that was answered.

    `where` begins the messages, `denied` ends those of a 401 or 403.

    Raises:
        Again: another try may help.
        RateLimited, Unavailable, InvalidInput, JudgeRefused: none will.
        RewardFault: of type `unreadable`, the answer is no JSON object.
    """
    reply = _object(body)
    fault = reply.get("error") if reply is not None else None
    if status == 200 and fault:
        # Some endpoints pass on another's failure under their own 200.
        status = _status_in(fault)
    shown = plain(body[:400].decode("utf-8", "replace"), 300)
    if status == 200:
        if reply is None:
            raise unreadable(f"{where} answered with no JSON object: {shown}")
        return reply
    why = f"{where} answered {status}: {shown}"
    code = str(cast("dict[str, Any]", fault).get("code")) if isinstance(fault, dict) else ""
    if code == "content_filter":
        raise JudgeRefused(why)
    if code == "insufficient_quota":
        raise RateLimited(why)
    if status in _AGAIN:
        raise Again(status, why, retry_after_s(headers))
    if status in _OPERATOR:
        raise Unavailable(why + (denied if status in (401, 403) else ""))
    raise InvalidInput(why)


def usage_of(reply: Mapping[str, Any]) -> tuple[int, int, int]:
    """Tokens of prompt, completion and cache, as a reply tells them; 0 where it does not.

    By the names of chat completions, or those of decisions (`input_tokens`).
    """
    told = reply.get("usage")
    usage = cast("dict[str, Any]", told) if isinstance(told, dict) else {}
    names = ("prompt_tokens", "completion_tokens")
    if "prompt_tokens" not in usage and "input_tokens" in usage:
        names = ("input_tokens", "output_tokens")
    details = usage.get(f"{names[0]}_details")
    cached = cast("dict[str, Any]", details) if isinstance(details, dict) else {}
    return (
        _count(usage.get(names[0])),
        _count(usage.get(names[1])),
        _count(cached.get("cached_tokens")),
    )


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that the endpoint asks to wait, from milliseconds, seconds or a date.

    None where it does not say, or says something else.
    """
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        told = headers.get(name)
        if told is not None and len(told) < 16 and _is_number(told):
            return float(told) * unit_s
    told = headers.get("retry-after")
    try:
        return max(0.0, parsedate_to_datetime(told).timestamp() - time()) if told else None
    except (ValueError, OverflowError):
        return None


def _is_number(told: str) -> bool:
    return told.isascii() and told.replace(".", "", 1).isdigit()


def _count(told: object) -> int:
    return told if isinstance(told, int) and not isinstance(told, bool) and told >= 0 else 0


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", document) if isinstance(document, dict) else None


def _status_in(fault: object) -> int:
    code = cast("dict[str, Any]", fault).get("code") if isinstance(fault, dict) else None
    return code if isinstance(code, int) and 300 <= code < 600 else 502
