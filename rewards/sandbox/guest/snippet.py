"""Serves one reward function from source text: a session that is asked once for each item.

Each question is a list of a number and what is asked: the first time the source and the function's
name, then the arguments. Every answer is JSON with that number under `to`, and with one of `value`
(what it returned), `raised` (what it raised) and `odd` (the type of what it returned instead of a
number). Whoever asked checks it: the function's own code runs in this process and may say anything.
"""

from __future__ import annotations

import contextlib
import json
import sys
import traceback
import types
from collections.abc import Callable
from typing import Any, cast

from .channel import Channel

MAX_SAID_CHARS = 1500
FILE = "<snippet>"


def main(request: bytes, channel: Channel) -> None:
    """`request`: nothing. All comes by the channel, whose time is limited question by question."""
    del request
    question = channel.receive()
    if question is None:
        return
    number, (source, name) = json.loads(question)
    function: Callable[..., Any] | None = None
    # A dataclass looks its module up.
    names = vars(sys.modules.setdefault("snippet", types.ModuleType("snippet")))
    try:
        exec(compile(source, FILE, "exec"), names)  # noqa: S102 - this is what it is for
        function = cast("Callable[..., Any]", names[name])
        answer: dict[str, Any] = {"value": 0.0}
    except BaseException as error:  # noqa: BLE001 - foreign code: SystemExit and such are its own
        answer = {"raised": said(error)}
    _answer(channel, number, answer)
    while function is not None and (question := channel.receive()) is not None:
        number, arguments = json.loads(question)
        _answer(channel, number, _called(function, arguments))


def _answer(channel: Channel, number: int, answer: dict[str, Any]) -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BaseException):  # what it printed may be more than it may
            stream.flush()
    channel.send(json.dumps({"to": number, **answer}).encode())


def _called(function: Callable[..., Any], arguments: list[Any]) -> dict[str, Any]:
    try:
        result = function(*arguments)
        if not isinstance(result, (int, float)) and hasattr(result, "item"):
            result = result.item()  # a scalar of numpy
        if isinstance(result, (bool, int, float)):
            return {"value": float(result)}
        return {"odd": type(result).__name__}
    except BaseException as error:  # noqa: BLE001 - as above
        return {"raised": said(error)}


def said(error: BaseException) -> str:
    """What was raised, and where in the source."""
    try:
        lines = [
            f"line {frame.lineno}, in {frame.name}"
            for frame in traceback.extract_tb(error.__traceback__)
            if frame.filename == FILE
        ]
        at = f" ({' < '.join(reversed(lines[-3:]))})" if lines else ""
        return f"{type(error).__name__}: {error}"[:MAX_SAID_CHARS] + at
    except BaseException:  # noqa: BLE001 - an exception's own __str__ may raise
        return type(error).__name__
