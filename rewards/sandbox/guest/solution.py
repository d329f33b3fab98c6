"""Holds a program and calls its functions, for tests that run in a sandbox of their own.

The first question is the program's source; its answer says whether it could be loaded. Each further
one is a plain list of a function's name, arguments and keyword arguments.
"""

from __future__ import annotations

import io
import json
import sys
from typing import Any

from .call_cases import program_names
from .channel import Channel
from .stdin_cases import said
from .values import Unplain, dump, load


def main(request: bytes, channel: Channel) -> None:
    """`request`: nothing. The program comes as the first question, whose time is limited."""
    del request
    question = channel.receive()
    if question is None:
        return
    number, source = load(question)
    sys.stdin = io.StringIO()
    names = program_names()
    answer: dict[str, Any] = {"value": "null"}
    try:
        exec(compile(source, "<program>", "exec", dont_inherit=True), names)  # noqa: S102 - this is what it is for
    except BaseException as error:  # noqa: BLE001 - foreign code
        answer = _raised(error)
    channel.send(json.dumps({"to": number, **answer}).encode())
    while (question := channel.receive()) is not None:
        number, (name, arguments, keywords) = load(question)
        try:
            if name not in names and "Solution" in names:
                names[name] = getattr(names["Solution"](), name)
            answer = {"value": dump(names[name](*arguments, **keywords))}
        except Unplain as error:
            answer = {"raised": ["TypeError", f"it returned what is no plain value: {error}"]}
        except BaseException as error:  # noqa: BLE001 - foreign code
            answer = _raised(error)
        channel.send(json.dumps({"to": number, **answer}).encode())


def _raised(error: BaseException) -> dict[str, Any]:
    # By the name of Python's own that it is derived from: the tests may catch that.
    kind = next(c.__name__ for c in type(error).__mro__ if c.__module__ == "builtins")
    return {"raised": [kind, said(error)]}
