"""Runs a command that the kernel refuses some system calls: `python deny.py ERRNO CALLS ARG...`.

CALLS are names with commas between. ERRNO 0: a call is not made, yet answers that it was, as a
broken kernel would. By a seccomp filter, so that all that the command starts is refused them too.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys

from rewardplane.rewards.sandbox.attacks import numbers

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2
_LOAD, _JEQ, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def deny(error: int, calls: list[str]) -> None:
    """Refuses calls to this process for good."""
    known = numbers.of_this_machine()
    lines = [(_LOAD, 0, 0, 0)]
    for call in calls:
        lines += [(_JEQ, 0, 1, known[call]), (_RETURN, 0, 0, _ERRNO | error)]
    lines.append((_RETURN, 0, 0, _ALLOW))
    code = b"".join(struct.pack("<HBBI", *line) for line in lines)
    libc = ctypes.CDLL(None, use_errno=True)
    program = _Program(len(lines), code)
    done = libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    done = done and libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0) == 0
    if not done:
        raise OSError(ctypes.get_errno(), "no filter")


if __name__ == "__main__":
    deny(int(getattr(errno, sys.argv[1], 0)), sys.argv[2].split(","))
    os.execv(sys.executable, [sys.executable, *sys.argv[3:]])  # noqa: S606 - no shell is wanted
