"""The system calls that confined code may make, as a seccomp filter.

A filter is a classic BPF program over `struct seccomp_data`: nr at 0, architecture at 4, six
arguments of 64 bits from 16 on (man 2 seccomp). Little-endian machines only, which both are.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
from collections.abc import Sequence
from typing import NamedTuple

from .kernel import Prepared
from .numbers import ALLOWED, EXECUTING
from .protocol import EXECUTABLE

_LOAD, _AND, _JEQ, _JGE, _JSET, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06
_NR, _ARCH = 0, 4
_ALLOW, _KILL_PROCESS, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_X32 = 0x40000000
_CLONE_THREAD = 0x00010000
_CLONE_NEW = 0x7E020080  # every CLONE_NEW* flag
_SIGKILL, _SIGSTOP = 9, 19
_IOCTLS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX."""
_FCNTLS = (0, 1, 2, 3, 4, 1030, 1032)
"""DUPFD, GETFD, SETFD, GETFL, SETFL, DUPFD_CLOEXEC, GETPIPE_SZ. Not SETOWN and SETSIG: those signal
others."""
_PRCTLS = (15, 16)
"""SET_NAME, GET_NAME."""
_AT_EMPTY_PATH = 0x1000
_ARCH_SET_FS = 0x1002
_SECCOMP_SET_MODE_FILTER = 1
_SOME_PID = 0x7FFFFFFF
"""Greater than any."""


class Machine(NamedTuple):
    """An architecture that the filter is known for."""

    audit: int
    """AUDIT_ARCH_*."""
    column: int
    """Of `numbers.ALLOWED`."""
    has_x32: bool


MACHINES = {
    "x86_64": Machine(0xC000003E, 0, True),
    "aarch64": Machine(0xC00000B7, 1, False),
}

_Line = tuple[int, int, int, int]
"""code, jump if true, jump if false, operand."""


def _refuse(error: int) -> _Line:
    return (_RETURN, 0, 0, _ERRNO | error)


_PASS: _Line = (_RETURN, 0, 0, _ALLOW)
_EPERM = _refuse(errno.EPERM)


def _low(argument: int) -> _Line:
    return (_LOAD, 0, 0, 16 + 8 * argument)


def _high(argument: int) -> _Line:
    return (_LOAD, 0, 0, 20 + 8 * argument)


def _one_of(argument: int, values: Sequence[int]) -> list[_Line]:
    """Allows a call whose argument, an int, is one of some."""
    tests = [(_JEQ, len(values) - i, 0, v) for i, v in enumerate(values)]
    return [_low(argument), *tests, _EPERM, _PASS]


def _own_signal(pid: int, argument: int) -> list[_Line]:
    """Allows a signal to oneself that does not look like a kill from outside."""
    return [
        _low(0),
        (_JEQ, 0, 4, pid),
        _low(argument),
        (_JEQ, 2, 0, _SIGKILL),
        (_JEQ, 1, 0, _SIGSTOP),
        _PASS,
        _EPERM,
    ]


def _null(argument: int) -> list[_Line]:
    return [_low(argument), (_JEQ, 0, 3, 0), _high(argument), (_JEQ, 0, 1, 0), _PASS, _EPERM]


def _rules(pid: int) -> dict[str, list[_Line]]:
    return {
        # Threads only. glibc tries clone3 first, whose flags lie in memory, and falls back.
        "clone": [
            _low(0),
            (_AND, 0, 0, _CLONE_THREAD | _CLONE_NEW),
            (_JEQ, 0, 1, _CLONE_THREAD),
            _PASS,
            _refuse(errno.EAGAIN),
        ],
        "clone3": [_refuse(errno.ENOSYS)],
        "kill": _own_signal(pid, 1),
        "tgkill": _own_signal(pid, 2),
        "ioctl": _one_of(1, _IOCTLS),
        "fcntl": _one_of(1, _FCNTLS),
        "prctl": _one_of(0, _PRCTLS),
        # asyncio wakes itself by a pair; AF_UNIX, and nothing can be named by an address.
        "socketpair": _one_of(0, (1,)),
        "sendto": _null(4),
        # Programs raise limits and go on where they may not. They are told that it is done: one
        # that could lower its CPU limit would end by a kill that looks like the host's.
        "setrlimit": [_refuse(0)],
        "prlimit64": [
            _low(0),
            (_JEQ, 0, 6, 0),
            _low(2),
            (_JEQ, 0, 3, 0),
            _high(2),
            (_JEQ, 0, 1, 0),
            _PASS,
            _refuse(0),
            _EPERM,
        ],
        # The file that it was given. A path beside it is not seen here: Landlock lets it execute
        # no other, and what it could write cannot be executed.
        "execveat": [
            _low(0),
            (_JEQ, 0, 3, EXECUTABLE),
            _low(4),
            (_JEQ, 0, 1, _AT_EMPTY_PATH),
            _PASS,
            _EPERM,
        ],
        "arch_prctl": _one_of(0, (_ARCH_SET_FS,)),
    }


def program(machine: str, pid: int, *, executes: bool = False) -> bytes:
    """The filter for a process, by its pid in its own namespace.

    `executes`: it may become the program that it was given.

    Raises:
        NotImplementedError: the architecture has no table.
    """
    if machine not in MACHINES:
        raise NotImplementedError(f"there is no table of system calls for {machine}")
    audit, column, has_x32 = MACHINES[machine]
    rules = _rules(pid)
    plain: list[int] = []
    bounded: list[tuple[int, list[_Line]]] = []
    for name, numbers in (ALLOWED | EXECUTING if executes else ALLOWED).items():
        number = numbers[column]
        if number is None:
            continue
        if name in rules:
            bounded.append((number, rules[name]))
        else:
            plain.append(number)
    lines: list[_Line] = [
        (_LOAD, 0, 0, _ARCH),
        (_JEQ, 1, 0, audit),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _NR),
    ]
    if has_x32:
        lines += [(_JGE, 0, 1, _X32), _refuse(errno.ENOSYS)]
    lines += _ranges(sorted(plain))
    for number, rule in bounded:
        lines += [(_JEQ, 0, len(rule), number), *rule]
    lines.append(_EPERM)
    return b"".join(struct.pack("<HBBI", *line) for line in lines)


def _ranges(numbers: Sequence[int]) -> list[_Line]:
    """Allows numbers, runs of which are told by two comparisons."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    lines: list[_Line] = []
    for first, last in runs:
        if first == last:
            lines += [(_JEQ, 0, 1, first), _PASS]
        else:
            lines += [(_JGE, 0, 2, first), (_JGE, 1, 0, last + 1), _PASS]
    return lines


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("lines", ctypes.c_void_p))


class Filter:
    """The filter of this machine, ready but for the pid of the process that it is for."""

    def __init__(self, *, executes: bool = False) -> None:
        """Raises NotImplementedError where the architecture has no table."""
        lines = program(platform.machine(), _SOME_PID, executes=executes)
        some = struct.pack("<I", _SOME_PID)
        self._holes = [at for at in range(4, len(lines), 8) if lines[at : at + 4] == some]
        self._buffer = ctypes.create_string_buffer(lines, len(lines))
        self._program = _Program(len(lines) // 8, ctypes.addressof(self._buffer))
        given = ctypes.byref(self._program)
        self._install = Prepared("seccomp", _SECCOMP_SET_MODE_FILTER, 0, given)

    def install(self, pid: int) -> None:
        """Confines this process and all its threads to come; needs no_new_privs.

        Raises:
            OSError: the kernel has no seccomp filters, or may not be asked for them.
        """
        for hole in self._holes:
            struct.pack_into("<I", self._buffer, hole, pid)
        self._install()
