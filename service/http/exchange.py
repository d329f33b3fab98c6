"""A request of the HTTP port, and what it is answered."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from rewardplane.access.caller import Caller
from rewardplane.wire.errors import Overloaded


@dataclass(slots=True, frozen=True)
class Answer:
    """An answer; its body is JSON, unless `media_type` says what else."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    media_type: str = ""

    def encoded(self, date: str, *, close: bool, bodiless: bool) -> bytes:
        """The bytes on the wire. `bodiless`: as `HEAD` wants it."""
        first = _LINES[self.status]
        if self.media_type:
            first = first.replace("application/json", self.media_type)
        lines = [first, f"date: {date}\r\ncontent-length: {len(self.body)}\r\n"]
        lines += [f"{name}: {value}\r\n" for name, value in self.headers.items()]
        lines.append("connection: close\r\n\r\n" if close else "\r\n")
        head = "".join(lines).encode()
        return head if bodiless else head + self.body


@dataclass(slots=True, eq=False)
class Request:
    """A request whose head has come; it is answered when the body has, too."""

    method: str
    path: str
    headers: Mapping[bytes, bytes]
    """By names in lower case; the first of each."""
    certificate: str = ""
    """The name in the client's certificate."""
    handler: Handler = field(init=False)
    """What answers it, where it is not refused."""
    reward: str = ""
    """The reward that the path names."""
    caller: Caller | None = None
    """Who calls, as the gate said when the head had come. None: nobody asks."""
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """A header's value; `name` in lower case."""
        value = self.headers.get(name.encode())
        return None if value is None else value.decode("latin-1")

    @property
    def traceparent(self) -> str:
        """The W3C trace that the request belongs to; empty where it names none."""
        return (self.header("traceparent") or "")[:128]


Told = Callable[[Answer | Exception], None]
"""Takes what a request is answered, or the error that it is refused by; called once."""
Stop = Callable[[], None]
"""Stops what is done for a request that nobody waits for any more."""
Handler = Callable[[Request, Told], Stop | None]
"""Has a request answered, perhaps before it returns. What it raises refuses the request."""


class TooLarge(Exception):
    """A body is larger than it may be."""


class Bodies:
    """The bytes of bodies that are not with their handlers yet, all connections together."""

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


def json_answer(
    value: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Answer:
    """An answer. Values are finite or text: what JSON cannot hold is a fault of ours."""
    return Answer(_ENCODER.encode(value).encode("utf-8", "replace"), status, headers or {})


def echoed(value: object) -> Answer:
    """An answer that tells what the request brought as it came: Python's NaN, half characters."""
    return Answer(json.dumps(value).encode())


def refusal(
    status: int, reason: str, message: str, headers: Mapping[str, str] | None = None
) -> Answer:
    """What a call is answered that fails as a whole."""
    # Under the names that Google's and OpenAI's clients look for.
    error: dict[str, Any] = {
        "code": status,
        "status": reason,
        "type": "invalid_request_error" if status < 500 else "server_error",
        "message": message,
        "reason": reason,
        "retryable": status in (429, 503),
    }
    return json_answer({"error": error}, status, headers)


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
    for status in HTTPStatus
}
