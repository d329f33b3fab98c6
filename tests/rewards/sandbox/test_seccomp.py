"""The filter: its numbers, and what it decides, by running it as the kernel would."""

from __future__ import annotations

import errno
import struct
from ctypes import CDLL, c_char_p, c_int, c_uint32

import pytest
from rewardplane.rewards.sandbox.numbers import ALLOWED, CONFINING, EXECUTING
from rewardplane.rewards.sandbox.seccomp import MACHINES, program

ALLOW, KILL = 0x7FFF0000, 0x80000000
PID = 4711


def decide(
    machine: str,
    number: int,
    *arguments: int,
    audit: int | None = None,
    executes: bool = False,
) -> int:
    """Runs the filter's program on a system call: a classic BPF machine."""
    given = [a & (1 << 64) - 1 for a in (*arguments, *[0] * (6 - len(arguments)))]
    audit = MACHINES[machine].audit if audit is None else audit
    data = struct.pack("<IIQ6Q", number & 0xFFFFFFFF, audit, 0, *given)
    lines = list(struct.iter_unpack("<HBBI", program(machine, PID, executes=executes)))
    at, register = 0, 0
    for _step in range(len(lines)):
        code, true, false, operand = lines[at]
        at += 1
        if code == 0x20:
            (register,) = struct.unpack_from("<I", data, operand)
        elif code == 0x54:
            register &= operand
        elif code == 0x15:
            at += true if register == operand else false
        elif code == 0x35:
            at += true if register >= operand else false
        else:
            assert code == 0x06
            return operand
    raise AssertionError("the program does not end")


def refused(error: int) -> int:
    return 0x00050000 | error


def number(machine: str, name: str) -> int:
    found = ALLOWED[name][MACHINES[machine].column]
    assert found is not None
    return found


@pytest.mark.parametrize("machine", MACHINES)
def test_numbers_are_those_of_libseccomp(machine: str) -> None:
    try:
        library = CDLL("libseccomp.so.2")
    except OSError:  # every Debian has it; where it is missing the numbers cannot be compared
        pytest.skip("libseccomp.so.2 is not installed")
    resolve = library.seccomp_syscall_resolve_name_arch
    resolve.argtypes, resolve.restype = (c_uint32, c_char_p), c_int
    audit, column, _x32 = MACHINES[machine]
    for name, numbers in {**ALLOWED, **EXECUTING, **CONFINING}.items():
        found = resolve(audit, name.encode())
        # Below 0: the architecture has none of that name.
        assert (found if found >= 0 else None) == numbers[column], name


@pytest.mark.parametrize("machine", MACHINES)
def test_what_is_not_listed_is_refused(machine: str) -> None:
    column = MACHINES[machine].column
    listed = {numbers[column] for numbers in ALLOWED.values()}
    for each in range(600):
        if each not in listed:
            assert decide(machine, each) == refused(errno.EPERM), each
    for each in (-1, 1 << 29):
        assert decide(machine, each) != ALLOW


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", ["read", "mmap", "openat", "exit_group", "futex", "getrandom"])
def test_plain_calls_are_allowed(machine: str, name: str) -> None:
    assert decide(machine, number(machine, name), *[(1 << 64) - 1] * 6) == ALLOW


def test_another_architecture_ends_the_process() -> None:
    for machine, other in (("x86_64", "aarch64"), ("aarch64", "x86_64")):
        audit = MACHINES[other].audit
        assert decide(machine, number(machine, "read"), audit=audit) == KILL
    i386 = 0x40000003
    assert decide("x86_64", number("x86_64", "read"), audit=i386) == KILL


def test_x32_is_refused() -> None:
    for name in ("read", "getpid"):
        nr = 0x40000000 | number("x86_64", name)
        assert decide("x86_64", nr) == refused(errno.ENOSYS)


@pytest.mark.parametrize("machine", MACHINES)
def test_clone_makes_threads_only(machine: str) -> None:
    clone = number(machine, "clone")
    thread = 0x003D0F00
    assert decide(machine, clone, thread) == ALLOW
    assert decide(machine, clone, 17) == refused(errno.EAGAIN)
    assert decide(machine, clone, 0x4111) == refused(errno.EAGAIN)  # vfork
    for new in (0x00020000, 0x10000000, 0x20000000, 0x40000000, 0x80):
        assert decide(machine, clone, thread | new) == refused(errno.EAGAIN)
    assert decide(machine, number(machine, "clone3"), 1, 2) == refused(errno.ENOSYS)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(("name", "at"), [("kill", 1), ("tgkill", 2)])
def test_signals_go_to_oneself_and_are_not_kills(machine: str, name: str, at: int) -> None:
    def sent(pid: int, sign: int) -> int:
        return decide(machine, number(machine, name), pid, *[PID] * (at - 1), sign)

    assert sent(PID, 6) == ALLOW
    for pid in (PID + 1, 1, 0, -1, -PID):
        assert sent(pid, 6) == refused(errno.EPERM)
    for sign in (9, 19):
        assert sent(PID, sign) == refused(errno.EPERM)


@pytest.mark.parametrize("machine", MACHINES)
def test_arguments_are_bounded(machine: str) -> None:
    eperm = refused(errno.EPERM)
    bounded = {
        "ioctl": ((3, 0x5401), (3, 0x5412)),  # TIOCSTI types into a terminal
        "fcntl": ((3, 1030), (3, 8)),  # F_SETOWN
        "prctl": ((15,), (4, 1)),  # PR_SET_DUMPABLE
        "socketpair": ((1, 1), (2, 1)),
        "sendto": ((3, 1, 1, 0, 0, 0), (3, 1, 1, 0, 1 << 40, 16)),
    }
    for name, (good, bad) in bounded.items():
        assert decide(machine, number(machine, name), *good) == ALLOW, name
        assert decide(machine, number(machine, name), *bad) == eperm, name


@pytest.mark.parametrize("machine", MACHINES)
def test_limits_can_be_read_and_not_set(machine: str) -> None:
    prlimit = number(machine, "prlimit64")
    assert decide(machine, prlimit, 0, 0, 0, 1 << 40) == ALLOW
    for pointer in (1, 1 << 40):
        assert decide(machine, prlimit, 0, 0, pointer, 0) == refused(0)
    assert decide(machine, prlimit, 1, 0, 0, 1) == refused(errno.EPERM)


@pytest.mark.parametrize("machine", MACHINES)
def test_a_child_that_executes_may_execute_what_it_was_given_and_nothing_else(machine: str) -> None:
    execveat = EXECUTING["execveat"][MACHINES[machine].column]
    assert execveat is not None
    given = (5, 1 << 40, 1 << 40, 1 << 40, 0x1000)
    assert decide(machine, execveat, *given, executes=True) == ALLOW
    assert decide(machine, execveat, *given) == refused(errno.EPERM)
    for arguments in ((4, *given[1:]), (-100, *given[1:]), (*given[:4], 0), (*given[:4], 0x1100)):
        assert decide(machine, execveat, *arguments, executes=True) == refused(errno.EPERM)
    for name in ("x86_64", "aarch64"):
        execve = {"x86_64": 59, "aarch64": 221}[name]
        if name == machine:
            assert decide(machine, execve, executes=True) == refused(errno.EPERM)


@pytest.mark.parametrize("machine", MACHINES)
def test_a_child_that_executes_has_no_other_call_more(machine: str) -> None:
    column = MACHINES[machine].column
    more = {numbers[column] for numbers in EXECUTING.values()}
    for each in range(600):
        if each not in more:
            assert decide(machine, each, executes=True) == decide(machine, each), each


def test_of_arch_prctl_only_the_thread_pointer_is_set() -> None:
    number = EXECUTING["arch_prctl"][0]
    assert number is not None
    assert decide("x86_64", number, 0x1002, executes=True) == ALLOW
    assert decide("x86_64", number, 0x1001, executes=True) == refused(errno.EPERM)
