"""The standard streams of a program that answers by what it returns, or writes to stdout alone."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading


def drop_stderr() -> None:
    """What is written to stderr goes nowhere: it is nobody's answer, and may be long."""
    _to_nowhere(2)


def drop_output() -> None:
    """The same for stdout and stderr, of a program that answers by the values of its functions."""
    _to_nowhere(1)
    _to_nowhere(2)


def finish() -> None:
    """Ends a program as Python does: threads, functions registered by atexit, buffers."""
    with contextlib.suppress(BaseException):
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join()
    with contextlib.suppress(BaseException):
        # Python's own, by a name that it does not publish: the process ends without it.
        getattr(atexit, "_run_exitfuncs")()  # noqa: B009 - as above
    flush()


def flush() -> None:
    """Writes out what is buffered."""
    for stream in (sys.stdout, sys.__stdout__):
        with contextlib.suppress(BaseException):
            if stream is not None:
                stream.flush()


def _to_nowhere(target: int) -> None:
    with contextlib.suppress(OSError):
        nowhere = os.open("/dev/null", os.O_WRONLY)
        os.dup2(nowhere, target)
        os.close(nowhere)
