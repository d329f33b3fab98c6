"""Runs one program as Python runs a script: files, streams, exit code. Nothing is judged.

What it writes to stdout and stderr goes to the files that stand there. Its answer is the files that
were asked for, as JSON, name to base64; of a program that ended its process itself there are none.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import sys
import traceback
import types
from pathlib import Path

from .channel import Channel
from .source import RECURSION_LIMIT
from .streams import finish

FILE = "program.py"


def main(request: bytes, channel: Channel) -> None:
    """`request`: JSON with `source`, `files` (name to base64), `fetch` and `fetch_bytes`, the most.

    File names are relative to the working directory.
    """
    order = json.loads(request)
    for name, content in order["files"].items():
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(content))
    sys.argv = [FILE]
    sys.path.insert(0, str(Path.cwd()))
    sys.setrecursionlimit(RECURSION_LIMIT)
    status = _run(order["source"])
    finish()
    _say("")
    if order["fetch"]:
        channel.send(json.dumps(_fetched(order["fetch"], order["fetch_bytes"])).encode())
    os._exit(status & 0xFF)


def _run(source: str) -> int:
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    module.__dict__.update({"__file__": FILE, "__builtins__": __builtins__})
    try:
        exec(compile(source, FILE, "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - this is what it is for
    except SystemExit as end:
        if isinstance(end.code, int) or end.code is None:
            return end.code or 0
        _say(str(end.code) + "\n")
        return 1
    except BaseException as error:  # noqa: BLE001 - foreign code
        if error.__traceback__ is not None:
            error.__traceback__ = error.__traceback__.tb_next  # without this function
        _say("".join(traceback.format_exception(error)))
        return 1
    return 0


def _say(text: str) -> None:
    with contextlib.suppress(BaseException):
        sys.stderr.flush()
    os.write(2, text.encode("utf-8", "replace"))


def _fetched(names: list[str], most: int) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in names:
        try:
            content = Path(name).read_bytes()
        except OSError:  # as the program left it
            continue
        most -= len(content)
        if most < 0:
            _say(f"{name} was not fetched: the files are too large\n")
            break
        found[name] = base64.b64encode(content).decode()
    return found
