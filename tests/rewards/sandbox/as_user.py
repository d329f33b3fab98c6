"""Runs a command of this interpreter as an ordinary user: `python as_user.py UID ARGUMENT...`.

Where the interpreter or the source tree lies in a folder that is closed to others (root's home), a
private mount namespace shows that user those parts of it, and nothing of the host is changed.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

_CLONE_NEWNS = 0x20000
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000
_libc = ctypes.CDLL(None, use_errno=True)


def needed() -> list[Path]:
    """What the user must be able to read: the environment, its base, and this tree."""
    places = {Path(sys.prefix), Path(sys.base_prefix), Path(__file__).parents[3]}
    return sorted({place.resolve() for place in places})


def closed_folder(path: Path) -> Path | None:
    """The topmost folder above a path that others may not enter."""
    closed = [folder for folder in path.parents if not folder.stat().st_mode & 0o001]
    return closed[-1] if closed else None


def open_up() -> None:
    """Shows what is needed at its own place, in a mount namespace of this process."""
    hidden: dict[Path, list[Path]] = {}
    for path in needed():
        folder = closed_folder(path)
        if folder is not None:
            hidden.setdefault(folder, []).append(path)
    if not hidden:
        return
    _call(_libc.unshare, _CLONE_NEWNS)
    _mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None)
    for folder, shown in hidden.items():
        # Opened before the folder is covered, and in the new namespace: no other's can be mounted.
        opened = [(path, os.open(path, os.O_PATH)) for path in shown]
        _mount(b"tmpfs", bytes(folder), b"tmpfs", 0, b"mode=755,size=1m")
        for path, fd in opened:
            path.mkdir(parents=True)
            _mount(f"/proc/self/fd/{fd}".encode(), bytes(path), None, _MS_BIND | _MS_REC, None)
            os.close(fd)


def become(uid: int) -> None:
    """Gives up root for good, supplementary groups included; 0: stays root."""
    if uid:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)


def _mount(*arguments: bytes | int | None) -> None:
    _call(_libc.mount, *arguments)


def _call(function: ctypes._NamedFuncPointer, *arguments: bytes | int | None) -> None:
    if function(*arguments) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), arguments)


if __name__ == "__main__":
    open_up()
    become(int(sys.argv[1]))
    os.environ["HOME"] = "/nonexistent"
    # By exec, since a process that changed its uid may not write its own uid_map.
    os.execv(sys.executable, [sys.executable, *sys.argv[2:]])  # noqa: S606 - no shell is wanted
