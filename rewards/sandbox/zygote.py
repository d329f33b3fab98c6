"""The zygote of a slot: forks a child for each order, and tells how it ended.

It is forked from the seed, gives up what it can, and reads nothing but orders of fixed length.
"""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from . import child
from .child import Confinement, Guest
from .protocol import MESSAGE, OBJECT, ORDER, PROGRAM, Message, Op, Order, Told
from .scratch import Scratch
from .settlement import Settlement


def main(control: socket.socket, asked: dict[str, Any], guests: Sequence[Guest]) -> NoReturn:
    """Becomes a zygote. `asked`: level, uid (of a slot of root's), scratch_mb, scratch_files.

    Ends at the end of `control`, and with it all children.
    """
    control = _lifted(control)
    null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    try:
        settlement = Settlement(asked)
    except (OSError, ValueError) as error:
        _tell_ready(control, {"zygote": f"{type(error).__name__}: {error}"})
        os._exit(1)
    try:
        _tell_ready(control, settlement.held, has_scratch=settlement.scratch is not None)
        _Zygote(control, guests, null, settlement.confinement, settlement.scratch).serve()
    except (BrokenPipeError, ConnectionResetError):  # the pool is gone
        os._exit(0)
    os._exit(0)


def _tell_ready(control: socket.socket, held: dict[str, str], *, has_scratch: bool = False) -> None:
    pidfd = os.pidfd_open(os.getpid())
    facts = {"controls": held, "has_scratch": has_scratch}
    told = MESSAGE.pack(*Message(Told.READY, 0)) + json.dumps(facts).encode()
    socket.send_fds(control, [told], [pidfd])
    os.close(pidfd)


class _Zygote:
    def __init__(
        self,
        control: socket.socket,
        guests: Sequence[Guest],
        null: int,
        confinement: Confinement,
        scratch: Scratch | None,
    ) -> None:
        self._control = control
        self._guests = guests
        self._null = null
        self._confinement = confinement
        self._scratch = scratch
        self._poller = select.poll()
        self._children: dict[int, tuple[Order, int]] = {}
        """By pidfd: the order and the pid."""

    def serve(self) -> None:
        """Works until the pool hangs up."""
        self._poller.register(self._control, select.POLLIN)
        while True:
            for descriptor, _event in self._poller.poll():
                if descriptor in self._children:
                    self._reap(descriptor)
                elif not self._obey():
                    for _order, pid in self._children.values():
                        os.kill(pid, signal.SIGKILL)
                    return

    def _obey(self) -> bool:
        """Takes one order; False: there will be none."""
        data, files, _flags, _address = socket.recv_fds(self._control, ORDER.size, 6)
        if len(data) != ORDER.size:
            return False
        order = Order(*ORDER.unpack(data))
        if order.op in (Op.RUN, Op.SESSION):
            self._fork(order, files)
            return True
        if order.op == Op.CLEAR:
            self._clear()
            return True
        for pidfd, (its, pid) in self._children.items():
            if its.number == order.number and order.op == Op.KILL:
                os.kill(pid, signal.SIGKILL)
            elif its.number == order.number:
                told = MESSAGE.pack(*Message(Told.PIDFD, order.number))
                socket.send_fds(self._control, [told], [pidfd])
        return True

    def _clear(self) -> None:
        if self._scratch is not None:
            self._scratch.clear()
        for name in (OBJECT, PROGRAM) if self._confinement.bench else ():
            Path(self._confinement.bench, name).unlink(missing_ok=True)

    def _fork(self, order: Order, files: list[int]) -> None:
        request, answer, out, err, *given = files
        beside = len(self._children)
        processes = self._confinement.processes(order.op, order.threads, beside)
        apart = self._confinement.is_apart(order.op, beside)
        try:
            pid = os.fork()
        except OSError as error:
            self._tell(Message(Told.REFUSED, order.number, error.errno or errno.EAGAIN))
            pid = -1
        if pid == 0:
            stdin, program = (given[0] if given else self._null), given[1:]
            guest = self._guests[order.entry]
            descriptors = [stdin, out, err, request, answer, *program]
            child.run(guest, order, descriptors, self._confinement, processes, apart=apart)
        for file in files:
            os.close(file)
        if pid > 0:
            pidfd = os.pidfd_open(pid)
            self._children[pidfd] = order, pid
            self._poller.register(pidfd, select.POLLIN)

    def _reap(self, pidfd: int) -> None:
        order, pid = self._children.pop(pidfd)
        self._poller.unregister(pidfd)
        os.close(pidfd)
        _pid, status, usage = os.wait4(pid, 0)
        if order.op == Op.RUN and not order.keeps and self._scratch is not None:
            self._scratch.clear()
        cpu_us = int((usage.ru_utime + usage.ru_stime) * 1e6)
        self._tell(Message(Told.ENDED, order.number, status, cpu_us))

    def _tell(self, message: Message) -> None:
        self._control.send(MESSAGE.pack(*message))


def _lifted(control: socket.socket) -> socket.socket:
    """The same above the descriptors of a child, which this fills so that none of its own are."""
    descriptor = os.dup(control.detach())
    spare = [os.open("/dev/null", os.O_RDONLY)]
    while spare[-1] < child.RESERVED - 1:
        spare.append(os.dup(spare[0]))
    lifted = os.dup(descriptor)
    os.close(descriptor)
    for each in spare:
        if each >= child.RESERVED:
            os.close(each)
    os.set_inheritable(lifted, False)
    return socket.socket(fileno=lifted)
