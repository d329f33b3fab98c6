"""Calls a function of a program once for each list of arguments, and answers what it returned.

JSON, a line each: first whether there is a program, then whether it could be loaded, then a
value by `values` for each list. A function that returns None and has changed its first argument
answers that too: problems that are solved in place expect it. It knows no expected value.
"""

from __future__ import annotations

import io
import json
import sys
import time
import types
from collections.abc import Callable
from typing import Any

from .channel import Channel
from .source import RECURSION_LIMIT, choose, prelude, said
from .streams import drop_output
from .values import Unplain, dump


def main(request: bytes, channel: Channel) -> None:
    """`request`: JSON with `candidates`, `prompt`, `function`, and `inputs`, arguments each."""
    order = json.loads(request)
    send, encode, clock_ns = channel.send, json.dumps, time.process_time_ns
    name: str = order["function"]
    wanted = [name.rpartition(".")[2]] if "." not in name else [name.partition("(")[0]]
    program = choose(order["candidates"], prompt=order["prompt"], wanted=wanted)
    if program is None:
        send(b'{"program": false}\n')
        return
    send(b'{"program": true}\n')
    drop_output()
    sys.setrecursionlimit(RECURSION_LIMIT)
    try:
        function = load_function(program.code, name)
    except MemoryError:
        raise
    except BaseException as error:  # noqa: BLE001 - foreign code
        send(encode({"load": said(error)}).encode() + b"\n")
        return
    send(b'{"load": ""}\n')
    for index, arguments in enumerate(order["inputs"]):
        answer: dict[str, Any] = {"test": index}
        before_ns = clock_ns()
        try:
            answer.update(_called(function, arguments))
        except Unplain as error:
            answer["raised"] = f"it returned what is no plain value: {error}"
        except BaseException as error:  # noqa: BLE001 - foreign code
            answer["raised"] = said(error)
        answer["us"] = (clock_ns() - before_ns) // 1000
        send(encode(answer).encode() + b"\n")


def _called(function: Callable[..., Any], arguments: list[Any]) -> dict[str, str]:
    returned = function(*arguments)
    answer = {"value": dump(returned)}
    if returned is None and arguments and isinstance(arguments[0], list | dict):
        answer["changed"] = dump(arguments[0])
    return answer


def program_names() -> dict[str, Any]:
    """The names of a program that is a module: dataclasses look theirs up by its name."""
    module = types.ModuleType("program")
    sys.modules["program"] = module
    return module.__dict__


def load_function(code: types.CodeType, name: str) -> Callable[..., Any]:
    """The function of a program, or the method of its class `Solution`, as LeetCode has it.

    `name` may also be written as an expression, ``Solution().f``.
    """
    sys.stdin = io.StringIO()
    names = program_names()
    given = prelude(code)
    names.update(given)
    exec(code, names)  # noqa: S102 - this is what it is for
    if "." in name:
        owner, _, method = name.partition(".")
        holder = names[owner.removesuffix("()")]
        return getattr(holder() if owner.endswith("()") else holder, method)
    if "Solution" in names and hasattr(names["Solution"], name):
        return getattr(names["Solution"](), name)
    if name not in names or names[name] is given.get(name):
        raise NameError(f"name {name!r} is not defined")
    return names[name]
