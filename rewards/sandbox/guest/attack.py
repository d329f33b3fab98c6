"""Runs an attack of the suite: the source it is sent, with what that needs to tell what it reached.

What it reached goes out on stderr at once, since the attack may not live to tell it at the end. The
answer says only that it ran through.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
from typing import Any

from .channel import Channel

_libc = ctypes.CDLL(None, use_errno=True)
DONE = b"done"
_REFUSED = (errno.EPERM, errno.ENOSYS, errno.EACCES)


def main(request: bytes, channel: Channel) -> None:
    """`request`: JSON with `source` and `facts`."""
    order = json.loads(request)
    facts: dict[str, Any] = order["facts"]

    def breach(what: str) -> None:
        os.write(2, f"\n{facts['breach_mark']} {what}\n".encode())

    def raw_syscall(number: int, *arguments: Any) -> tuple[int, int]:
        ctypes.set_errno(0)
        got = _libc.syscall(ctypes.c_long(number), *map(_argument, arguments))
        return got, ctypes.get_errno()

    def syscall(name: str, *arguments: Any) -> tuple[int, int]:
        number = facts["numbers"].get(name)
        return (-1, errno.ENOSYS) if number is None else raw_syscall(number, *arguments)

    def reached(name: str, *arguments: Any) -> None:
        got, error = syscall(name, *arguments)
        if got != -1 or error not in _REFUSED:
            breach(f"{name}: {errno.errorcode.get(error, got)}")

    given = {
        "__name__": "__main__",
        "facts": facts,
        "breach": breach,
        "syscall": syscall,
        "raw_syscall": raw_syscall,
        "reached": reached,
        "libc": _libc,
        "answer_fd": channel.fileno(),
        "own_fds": {3, channel.fileno()},  # 3: the request
        "done": lambda: channel.send(DONE),
    }
    exec(compile(order["source"], "<attack>", "exec"), given)  # noqa: S102 - this is what it is for
    channel.send(DONE)


def _argument(value: Any) -> Any:
    return ctypes.c_long(value) if isinstance(value, int) else value
