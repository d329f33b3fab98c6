"""Runs a data set's checker on one output of a program: what it says is the answer, JSON.

A checker is Python that defines ``check(input, output, expected)``, whose result is true where the
output is right; or a program that is called with the names of three files, input, expected output
and output, and prints 1 or writes nothing that says otherwise and exits with 0, as open-r1's do.
"""

from __future__ import annotations

import builtins
import io
import json
import sys
from typing import Any

from .channel import Channel
from .source import said

FILES = ("input.txt", "correct_output.txt", "solution_output.txt")
_YES = frozenset({"1", "1.0", "100", "100.0", "true", "ok", "yes", "accepted", "correct"})


def main(request: bytes, channel: Channel) -> None:
    """`request`: JSON with `source`, `input`, `output` and `expected`."""
    order = json.loads(request)
    try:
        answer: dict[str, Any] = {"right": _checked(order)}
    except MemoryError:
        raise
    except BaseException as error:  # noqa: BLE001 - the data set's code
        answer = {"broken": said(error)}
    channel.send(json.dumps(answer).encode())


def _checked(order: dict[str, str]) -> bool:
    texts = dict(zip(FILES, (order["input"], order["expected"], order["output"]), strict=True))
    real_open: Any = builtins.open

    def open_text(file: Any, *arguments: Any, **keywords: Any) -> Any:
        if isinstance(file, str) and file in texts:
            return io.StringIO(texts[file])
        return real_open(file, *arguments, **keywords)

    builtins.open = open_text
    sys.argv = ["checker.py", *FILES]
    sys.stdin = io.StringIO()
    written = sys.stdout = io.StringIO()
    names: dict[str, Any] = {"__name__": "__main__", "__builtins__": builtins}
    try:
        exec(compile(order["source"], "<checker>", "exec", dont_inherit=True), names)  # noqa: S102 - this is what it is for
    except SystemExit as error:
        if error.code:
            return False
    said_last = written.getvalue().split()
    if said_last:
        return said_last[-1].lower() in _YES
    check: Any = names.get("check") or names.get("checker")
    return check is not None and bool(check(order["input"], order["output"], order["expected"]))
