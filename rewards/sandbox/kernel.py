"""System calls that Python's `os` has no names for."""

from __future__ import annotations

import ctypes
import os
import platform
from typing import Any

from .numbers import CONFINING

_libc = ctypes.CDLL(None, use_errno=True)
_COLUMN = 1 if platform.machine() == "aarch64" else 0

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS, PR_SET_CHILD_SUBREAPER = 1, 4, 38, 36

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
MNT_DETACH = 2


class Prepared:
    """A system call by a name of `numbers.CONFINING`, to be made later, and often.

    In a child that was just forked each object that is made or let go of copies a page: what is
    made before the fork costs a run nothing.
    """

    def __init__(self, name: str, *arguments: Any) -> None:
        """Makes the arguments."""
        given = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
        self._name = name
        self._arguments = (ctypes.c_long(CONFINING[name][_COLUMN]), *given)

    def __call__(self) -> int:
        """Makes the call. Raises OSError as it failed."""
        return _checked(_libc.syscall(*self._arguments), self._name)


def call(name: str, *arguments: Any) -> int:
    """Makes a system call by a name of `numbers.CONFINING`.

    Raises:
        OSError: as it failed.
    """
    return Prepared(name, *arguments)()


def prctl(option: int, value: int) -> Prepared:
    """To set an option of this process."""
    return Prepared("prctl", option, value, 0, 0, 0)


def unshare(flags: int) -> None:
    """Raises OSError as it failed."""
    _checked(_libc.unshare(flags), "unshare")


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """Raises OSError as it failed."""
    texts = [text.encode() for text in (source, target, kind)]
    done = _libc.mount(*texts, ctypes.c_ulong(flags), options.encode())
    _checked(done, f"mount {target}")


def unmount(target: str) -> None:
    """Takes a mount out of sight at once; raises OSError as it failed."""
    _checked(_libc.umount2(target.encode(), MNT_DETACH), f"umount {target}")


def drop_capabilities() -> Prepared:
    """To give up all of them; without an exec, and with no_new_privs, they cannot come back."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    return Prepared("capset", header, (ctypes.c_uint32 * 6)())


def _checked(result: int, what: str) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")
    return result
