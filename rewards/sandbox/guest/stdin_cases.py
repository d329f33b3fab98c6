"""Runs a program once for each input, and answers what it wrote: a line of JSON each.

It knows no expected output. What it writes to the descriptor of its output, past Python, counts
too, after what it wrote by Python.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import threading
import traceback
from typing import Any

from .channel import Channel

_PIPE_BYTES = 60_000
"""What a pipe takes without a reader; a longer input is there for Python's own `sys.stdin` only."""
MAX_SAID_CHARS = 300


def main(request: bytes, channel: Channel) -> None:
    """`request`: JSON with `source`, `inputs` and `output_bytes`, the most of one output."""
    order = json.loads(request)
    code = compile(order["source"], "<program>", "exec", dont_inherit=True)
    for index, text in enumerate(order["inputs"]):
        answer = {"test": index, **_run(code, text.encode(), order["output_bytes"])}
        told = json.dumps(answer, ensure_ascii=False).encode("utf-8", "replace")
        channel.send(told + b"\n")


class _Numbered(io.BytesIO):
    """A stream in memory with the descriptor that programs ask for; closing it loses nothing."""

    def __init__(self, number: int, given: bytes = b"") -> None:
        super().__init__(given)
        self._number = number

    def fileno(self) -> int:
        return self._number

    def close(self) -> None:
        pass


def _run(code: Any, given: bytes, most: int) -> dict[str, Any]:
    before = os.fstat(1).st_size
    written = _Numbered(1)
    sys.stdin = io.TextIOWrapper(_Numbered(0, given), encoding="utf-8", errors="replace")
    sys.stdout = io.TextIOWrapper(written, encoding="utf-8", errors="replace", write_through=True)
    _fill_stdin(given)
    raised = ""
    try:
        exec(code, {"__name__": "__main__", "__file__": "program.py", "__builtins__": __builtins__})  # noqa: S102 - this is what it is for
    except SystemExit:
        pass
    except BaseException as error:  # noqa: BLE001 - foreign code
        raised = said(error)
    with contextlib.suppress(BaseException):
        for thread in threading.enumerate():  # as Python itself waits for them
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join()
    for stream in filter(None, (sys.stdout, sys.__stdout__)):
        with contextlib.suppress(BaseException):
            stream.flush()
    output = written.getvalue() + os.pread(1, most + 1, before)
    if len(output) > most:
        return {"raised": f"it wrote more than {most} bytes"}
    told: dict[str, Any] = {"output": output.decode("utf-8", "replace")}
    return {**told, "raised": raised} if raised else told


def _fill_stdin(given: bytes) -> None:
    if len(given) > _PIPE_BYTES:
        return
    reader, writer = os.pipe()
    os.write(writer, given)
    os.close(writer)
    if reader:  # 0 is taken where the last run closed it
        os.dup2(reader, 0)
        os.close(reader)


def said(error: BaseException) -> str:
    """What was raised, and where in the program."""
    try:
        lines = [
            f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename[0] == "<"
        ]
        at = f" (line {lines[-1]})" if lines else ""
        return f"{type(error).__name__}: {error}"[:MAX_SAID_CHARS] + at
    except BaseException:  # noqa: BLE001 - an exception's own __str__ may raise
        return type(error).__name__
