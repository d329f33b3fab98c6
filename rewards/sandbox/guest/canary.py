"""Tries to break out, harmlessly, and tells what it met: the proof of a level, at start."""

from __future__ import annotations

import ctypes
import errno
import importlib
import json
import mmap
import os
import platform
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .channel import Channel

_libc = ctypes.CDLL(None, use_errno=True)
_NUMBERS = {
    "bpf": (321, 280),
    "io_uring_setup": (425, 425),
    "userfaultfd": (323, 282),
    "keyctl": (250, 219),
    "clone3": (435, 435),
    "pidfd_open": (434, 434),
    "ptrace": (101, 117),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "shmget": (29, 194),
}
IMPORTED = "imported"
_LATE = ("plistlib", "xml.dom.minidom", "cProfile")
"""Modules of Python's own that nothing has imported yet, one of them a shared library."""


def main(request: bytes, channel: Channel) -> None:
    """`request`: JSON, `loop`, `flood` or `facts` with `attacks`, the names of those to try.

    `imports`, beside these: whether to import first what nothing has imported yet.

    Of these it answers a line each, when it is over: the name, a tab, and what it met; nothing
    there says that it got through. A line that is missing: the attack was the end of the process.
    """
    asked = json.loads(request)
    if "loop" in asked:
        while True:
            pass
    if "flood" in asked:
        os.write(1, bytes(asked["flood"]))
        return
    if asked["imports"]:
        channel.send(f"late_import\t{_import_late()}\n".encode())
    attacks = _attacks(asked["facts"])
    for name in asked["attacks"]:
        channel.send(f"{name}\t{_met(attacks[name])}\n".encode())


def _import_late() -> str:
    """What Python's own modules, imported by nobody yet, are met with."""
    for name in _LATE:
        try:
            importlib.import_module(name)
        except ImportError as error:
            return f"{name}: {error}"
    return IMPORTED


def _met(attack: Callable[[], Any]) -> str:
    try:
        attack()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    except MemoryError:
        return "MemoryError"
    return ""


def _attacks(facts: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    return {
        "read_file": lambda: os.close(os.open(facts["secret"], os.O_RDONLY)),
        "stat_file": lambda: Path(facts["secret"]).stat(),
        "write_file": lambda: os.close(
            os.open(facts["folder"] + "/made", os.O_WRONLY | os.O_CREAT)
        ),
        "chmod_file": lambda: Path(facts["secret"]).chmod(0o600),
        "read_etc": lambda: os.close(os.open("/etc/passwd", os.O_RDONLY)),
        "read_environ": lambda: os.close(os.open(f"/proc/{facts['pid']}/environ", os.O_RDONLY)),
        "connect_tcp": lambda: _connect(socket.AF_INET, ("127.0.0.1", facts["port"])),
        "connect_abstract": lambda: _connect(socket.AF_UNIX, "\0" + facts["abstract"]),
        "fork": _fork,
        "signal_pool": lambda: os.kill(facts["pid"], 0),
        "signal_parent": lambda: os.kill(os.getppid(), 0),
        "become_root": lambda: os.setuid(0),
        "memory": lambda: bytearray(facts["memory_bytes"]),
        "shared_memory": lambda: mmap.mmap(-1, facts["memory_bytes"]),
        "clone3": lambda: _call("clone3", 0, 0),
        "bpf": lambda: _call("bpf", 0, 0, 0),
        "io_uring": lambda: _call("io_uring_setup", 0, 0),
        "userfaultfd": lambda: _call("userfaultfd", 0),
        "keyctl": lambda: _call("keyctl", 0, -3, 0),
        "pidfd_open": lambda: _call("pidfd_open", os.getpid(), 0),
        "ptrace": lambda: _call("ptrace", 0, 0, 0, 0),
        "unshare_user": lambda: _call("unshare", 0x10000000),
        "setns": lambda: _call("setns", 0, 0),
        "mount": lambda: _call("mount", 0, 0, 0, 0, 0),
        "sysv_memory": lambda: _call("shmget", 0, 4096, 0o600),
        "x32": lambda: _raw(0x40000000 | 39) if platform.machine() == "x86_64" else _raw(-1),
        "kill_itself": lambda: os.kill(os.getpid(), signal.SIGKILL),
        "exec": lambda: os.execve("/bin/sh", ["sh", "-c", "exit 3"], {}),  # noqa: S606 - an attack
    }


def _connect(family: int, address: Any) -> None:
    with socket.socket(family) as connection:
        connection.settimeout(1)
        connection.connect(address)


def _fork() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def _call(name: str, *arguments: int) -> None:
    column = 1 if platform.machine() == "aarch64" else 0
    _raw(_NUMBERS[name][column], *arguments)


def _raw(number: int, *arguments: int) -> None:
    ctypes.set_errno(0)
    given = [ctypes.c_long(a) for a in (number, *arguments)]
    error = ctypes.get_errno() if _libc.syscall(*given) < 0 else 0
    # What else a call may fail with is said behind the door that was to be shut.
    if error in (errno.EPERM, errno.ENOSYS, errno.EACCES):
        raise OSError(error, os.strerror(error))
