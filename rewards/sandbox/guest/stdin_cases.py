"""Runs a program once for each input in one process, and answers what it wrote: JSON, a line each.

The first line says whether there is a program. This is the quick way for programs that pass:
what a program leaves behind can spoil its next run here, so that a test which fails is run again by
`stdin_program`. It knows no expected output. What it writes to the descriptor of its output, past
Python, counts too, after what it wrote by Python.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import threading
import time
from typing import Any

from .channel import Channel
from .judge_machine import furnish
from .source import RECURSION_LIMIT, choose, said
from .stdin_program import main_names
from .streams import drop_stderr

_PIPE_BYTES = 60_000
"""What a pipe takes without a reader; a longer input is there for Python's own `sys.stdin` only."""


def main(request: bytes, channel: Channel) -> None:
    """`request`: JSON as that of `stdin_program`, with `inputs` and `output_bytes` beside.

    `output_bytes`: the most of one output.
    """
    order, clock_ns = json.loads(request), time.process_time_ns
    inputs = order["inputs"]
    program = choose(order["candidates"], reads=order["reads"])
    channel.send(json.dumps({"program": program is not None}).encode() + b"\n")
    if program is None:
        return
    drop_stderr()
    furnish()
    sys.setrecursionlimit(RECURSION_LIMIT)
    for index, text in enumerate(inputs):
        before_ns = clock_ns()
        answer = {"test": index, **_run(program.code, text.encode(), order["output_bytes"])}
        answer["us"] = (clock_ns() - before_ns) // 1000
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
        exec(code, main_names(code))  # noqa: S102 - this is what it is for
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
