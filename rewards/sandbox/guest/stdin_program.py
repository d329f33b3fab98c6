"""Runs a program as Python's main module, with its stdin and stdout as files, to its own end.

Its answer is what it wrote to stdout, and that nothing but SystemExit ended it. What did is told on
the channel, for people.
"""

from __future__ import annotations

import json
import os
import sys
import types
from typing import Any

from .channel import Channel
from .judge_machine import furnish
from .source import RECURSION_LIMIT, choose, prelude, said
from .streams import drop_stderr, finish


def main(request: bytes, channel: Channel) -> None:
    """`request`: JSON with `candidates`, and `reads` where the inputs are not all blank."""
    order = json.loads(request)
    program = choose(order["candidates"], reads=order["reads"])
    if program is None:
        return
    drop_stderr()
    furnish()
    sys.argv = ["program.py"]
    sys.setrecursionlimit(RECURSION_LIMIT)
    status = _run(program.code, channel)
    finish()
    os._exit(status)


def main_names(code: types.CodeType) -> dict[str, Any]:
    """The names of a main module, for a program."""
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    names = module.__dict__
    names.update(prelude(code))
    names.update({"__name__": "__main__", "__file__": "program.py", "__builtins__": __builtins__})
    return names


def _run(code: types.CodeType, channel: Channel) -> int:
    try:
        exec(code, main_names(code))  # noqa: S102 - this is what it is for
    except SystemExit:  # whatever its status, as LiveCodeBench's and APPS' graders have it
        return 0
    except MemoryError:
        raise
    except BaseException as error:  # noqa: BLE001 - foreign code
        channel.send(said(error).encode("utf-8", "replace"))
        return 1
    return 0
