"""What programs for judges take for given of the machine, and a sandbox does not have as such.

Threads with a stack as large as all memory, which elsewhere is reserved and never used; and the
standard streams by the names of files, where there is no ``/dev``.
"""

from __future__ import annotations

import _thread
import builtins
import io
import resource
import threading
from pathlib import PurePath
from typing import Any, cast

_STREAMS = {
    **dict.fromkeys(("/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"), 0),
    **dict.fromkeys(("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"), 1),
    "/dev/stderr": 2,
}
_open, _stack_size = io.open, threading.stack_size


def furnish() -> None:
    """Has this process like a judge's: once, before the program runs."""
    builtins.open = io.open = cast("Any", _open_stream)
    threading.stack_size = _thread.stack_size = cast("Any", _bounded_stack_size)


def _open_stream(file: Any, *arguments: Any, **keywords: Any) -> Any:
    path: Any = file
    if type(path) is str:
        path = _STREAMS.get(path, path)
    elif isinstance(path, PurePath):
        path = _STREAMS.get(str(path), path)
    return cast("Any", _open)(path, *arguments, **keywords)


def _bounded_stack_size(size: int = 0) -> int:
    """Of memory that is limited a stack is taken whole: a thread with all of it could not start."""
    most, _hard = resource.getrlimit(resource.RLIMIT_DATA)
    if most > 0:
        size = min(size, max(most // 4, 1 << 20) & ~0xFFFF)
    return _stack_size(size)
