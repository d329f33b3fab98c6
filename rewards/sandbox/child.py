"""The child of a zygote: confines itself, then reads its request and runs a guest on it."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn

from . import kernel
from .guest.channel import Channel
from .headcount import Headcount
from .kernel import Prepared
from .protocol import CONFINED, EXECUTABLE, FIRST_TOOL, MEMORY_EXIT, Op, Order
from .seccomp import Filter

STDIN, REQUEST, ANSWER = 0, 3, 4
RESERVED = EXECUTABLE + 1
"""Below: the child's descriptors. A zygote keeps its own above."""
_LATER_SESSIONS = 2
"""How many sessions may use all their threads beside a run that was alone when it began."""
_SLACK_BYTES = 96 << 20
"""Address space that is not memory: libraries loaded late, guard pages, what malloc reserves."""

Guest = Callable[[bytes, Channel], None]


@dataclass
class Confinement:
    """What a zygote holds ready for its children."""

    seccomp: Filter | None = None
    landlock: Prepared | None = None
    landlock_with_scratch: Prepared | None = None
    data_bytes: int = 0
    """What the zygote holds of RLIMIT_DATA and RLIMIT_AS."""
    space_bytes: int = 0
    own_uid: bool = False
    """No process outside the zygote has its uid: a limit of processes means what it says."""
    own_users: bool = False
    """Children that are not alone have a user namespace of their own: threads are counted apart."""
    headcount: Headcount | None = None
    """Of a uid that others have too."""
    confined: bool = False
    scratch: str = ""
    """The folder to write to; empty: there is none."""
    executing: Filter | None = None
    """The filter of children that become another program."""
    tools: list[int] = field(default_factory=list[int])
    """Descriptors of the programs of this host that they may become."""
    program_rules: Callable[[int], Prepared] | None = None
    """The rules of Landlock for a child with such an `Order.program`."""
    bench: str = ""
    """Where there is no scratch: the folder that those of them may write to which are tools."""
    own_scratch: Callable[[], Prepared] | None = None
    """Mounts an empty folder over it, for a child that runs beside others, and gives its rules."""

    def is_apart(self, op: int, beside: int) -> bool:
        """Whether a child with so many others beside it leaves the zygote's user namespace.

        A run that is alone on its slot saves the time; sessions may come beside it later.
        """
        return self.own_users and (op == Op.SESSION or beside > 0)

    def processes(self, op: int, threads: int, beside: int) -> int:
        """The RLIMIT_NPROC of a child with so many others beside it; 0: none."""
        if self.is_apart(op, beside):
            return 1 + threads
        if self.own_users:
            return 1 + threads * (1 + _LATER_SESSIONS)
        # Those count too, and the zygote, for it is the limit of a uid.
        most = 1 + threads * (1 + beside)
        if self.own_uid:
            return most
        return self.headcount.limit(most) if self.headcount is not None else 0


_die_with_zygote = kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
_leave_users = kernel.Prepared("unshare", kernel.CLONE_NEWUSER)
_drop_capabilities = kernel.drop_capabilities()
_no_new_privileges = kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)


def run(
    guest: Guest,
    order: Order,
    descriptors: list[int],
    confinement: Confinement,
    processes: int,
    *,
    apart: bool,
) -> NoReturn:
    """Runs a guest and ends the process.

    `descriptors`: stdin, stdout, stderr, request, answer, and the program that it may become where
    it was given one. `processes` and `apart`: see
    `Confinement`.
    """
    status = 1
    try:
        for target, descriptor in enumerate(descriptors):
            os.dup2(descriptor, target, target < REQUEST)
        if order.program >= FIRST_TOOL:
            tool = confinement.tools[order.program - FIRST_TOOL]
            os.dup2(tool, EXECUTABLE, inheritable=False)
        rules = _separate(confinement, order, apart=apart)
        _limit(order, confinement, processes)
        confine(confinement, order, rules)
        os.write(ANSWER, CONFINED)
        guest(_read_all(REQUEST), Channel(ANSWER, framed=order.op == Op.SESSION))
        status = 0
    except MemoryError:
        status = MEMORY_EXIT
    except BaseException:  # noqa: BLE001 - a forked process must not go on as its zygote
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(BaseException):
                stream.flush()
        os._exit(status)


def _separate(confinement: Confinement, order: Order, *, apart: bool) -> Prepared | None:
    """Leaves what it would share with other children; the rules of Landlock to be held to.

    Before its limits are set: that of processes is counted from the user namespace on.
    """
    rules = confinement.landlock_with_scratch
    if order.op == Op.SESSION:
        rules = confinement.landlock if confinement.own_scratch is None else None
        if confinement.own_scratch is not None:
            rules = confinement.own_scratch()
    elif (order.program or order.keeps) and confinement.program_rules is not None:
        rules = confinement.program_rules(order.program)
    if apart:
        _leave_users()
    return rules


def confine(confinement: Confinement, order: Order, rules: Prepared | None) -> None:
    """Gives up all that code is not to have, for good. Raises OSError: then nothing may run."""
    os.setsid()
    _die_with_zygote()
    if confinement.confined:
        _drop_capabilities()
        _no_new_privileges()
        if folder := confinement.scratch or (confinement.bench if order.keeps else ""):
            os.chdir(folder)
        if rules is not None:
            rules()
    kept = RESERVED if order.program else EXECUTABLE
    os.closerange(kept, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    resource.setrlimit(resource.RLIMIT_NOFILE, (order.open_files, order.open_files))
    seccomp = confinement.executing if order.program else confinement.seccomp
    if seccomp is not None:
        seccomp.install(os.getpid())


def _limit(order: Order, confinement: Confinement, processes: int) -> None:
    limits = {
        resource.RLIMIT_DATA: confinement.data_bytes + order.memory_bytes,
        # Shared maps are no DATA, so that address space is bounded too.
        resource.RLIMIT_AS: confinement.space_bytes + order.memory_bytes + _SLACK_BYTES,
        resource.RLIMIT_FSIZE: order.file_bytes,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
    }
    if order.cpu_s:
        limits[resource.RLIMIT_CPU] = order.cpu_s
    if processes:
        limits[resource.RLIMIT_NPROC] = processes
    if order.program:
        # Its stack may grow as long as there is address space; the libc gives threads less then.
        limits[resource.RLIMIT_STACK] = resource.RLIM_INFINITY
    for which, wanted in limits.items():
        most = wanted
        if which not in (resource.RLIMIT_DATA, resource.RLIMIT_AS):
            # A host that allows less: no reason to fail. Memory decides verdicts, so it is one.
            _soft, hard = resource.getrlimit(which)
            if hard != resource.RLIM_INFINITY:
                most = hard if wanted == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(which, (most, most))


def _read_all(descriptor: int) -> bytes:
    size = os.fstat(descriptor).st_size
    data = os.pread(descriptor, size, 0)
    while len(data) < size:
        data += os.pread(descriptor, size - len(data), len(data))
    return data
