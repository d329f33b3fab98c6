"""Calls a function of a program once for each list of arguments, and answers what it returned.

A line of JSON each, by `values`. It knows no expected value.
"""

from __future__ import annotations

import io
import json
import sys
import types
from collections.abc import Callable
from typing import Any

from .channel import Channel
from .stdin_cases import said
from .values import Unplain, dump


def main(request: bytes, channel: Channel) -> None:
    """`request`: JSON with `source`, `function`, and `inputs`, a list of arguments each."""
    order = json.loads(request)
    send, encode = channel.send, json.dumps
    try:
        function = load_function(order["source"], order["function"])
    except BaseException as error:  # noqa: BLE001 - foreign code
        send(encode({"load": said(error)}).encode() + b"\n")
        return
    for index, arguments in enumerate(order["inputs"]):
        answer: dict[str, Any] = {"test": index}
        try:
            answer["value"] = dump(function(*arguments))
        except Unplain as error:
            answer["raised"] = f"it returned what is no plain value: {error}"
        except BaseException as error:  # noqa: BLE001 - foreign code
            answer["raised"] = said(error)
        send(encode(answer).encode() + b"\n")


def program_names() -> dict[str, Any]:
    """The names of a program that is a module: dataclasses look theirs up by its name."""
    module = types.ModuleType("program")
    sys.modules["program"] = module
    return module.__dict__


def load_function(source: str, name: str) -> Callable[..., Any]:
    """The function of a program, or the method of its class `Solution`, as LeetCode has it."""
    sys.stdin = io.StringIO()
    names = program_names()
    exec(compile(source, "<program>", "exec", dont_inherit=True), names)  # noqa: S102 - this is what it is for
    if name not in names and "Solution" in names:
        return getattr(names["Solution"](), name)
    return names[name]
