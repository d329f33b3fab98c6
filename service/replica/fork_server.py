"""The owner's end of a fork server: the process that a replica's workers are forked from.

Importing what a worker needs takes half a second of CPU, forking a process that has it 20 ms: after
a hang or a crash the next worker is there before the queue notices.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
import subprocess
import sys
from dataclasses import dataclass
from typing import Final

from .order import NUMBER

REPORT = struct.Struct("<BQqQ")
"""What happened; to which worker; its pid, exit code or errno; its peak memory in bytes."""
STARTED: Final = 1
ENDED: Final = 2
REFUSED: Final = 3

FORK_TIMEOUT_S = 60.0
"""How long the fork server may take to come up and fork."""


class ForkServerLost(Exception):
    """The fork server cannot fork; the message says why. The next fork starts a new one."""


@dataclass(slots=True)
class Forked:
    """A worker process as it starts. `ended`: its exit code and peak bytes, where known."""

    pid: int
    pidfd: int
    socket: socket.socket
    ended: asyncio.Future[tuple[int | None, int]]


class ForkServer:
    """Forks worker processes. Started with the first fork, owned by the event loop of that time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._starts: dict[int, asyncio.Future[tuple[int, int]]] = {}
        self._ends: dict[int, asyncio.Future[tuple[int | None, int]]] = {}
        self._next_number = 1

    async def fork(self) -> Forked:
        """Starts a worker process.

        Raises:
            ForkServerLost: the fork server ended, or did not answer in time.
        """
        control = self._socket or self._start()
        loop = asyncio.get_running_loop()
        number = self._next_number
        self._next_number += 1
        start = self._starts[number] = loop.create_future()
        ended = self._ends[number] = loop.create_future()
        owner, child = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        owner.setblocking(False)
        try:
            with child:
                socket.send_fds(control, [NUMBER.pack(number)], [child.fileno()])
            async with asyncio.timeout(FORK_TIMEOUT_S):
                pid, pidfd = await start
        except BaseException as error:
            owner.close()  # a worker that comes up all the same reads the end of its file and ends
            if isinstance(error, TimeoutError | OSError):
                self.close()
                raise ForkServerLost(
                    f"the fork server did not fork: {error or 'no answer'}"
                ) from None
            raise
        finally:
            self._starts.pop(number, None)
        return Forked(pid, pidfd, owner, ended)

    def close(self) -> None:
        """Ends the fork server and, by their death signal, all its workers."""
        if self._process is None or self._socket is None:
            return
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()
        self._process.kill()
        self._process.wait()
        self._process = self._socket = None
        for start in self._starts.values():
            if not start.done():
                start.set_exception(ForkServerLost("the process that forks workers ended"))
        for ended in self._ends.values():
            if not ended.done():
                ended.set_result((None, 0))
        self._ends.clear()

    def _start(self) -> socket.socket:
        control, child = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        control.setblocking(False)
        name = f"{__name__}_main"
        command = [sys.executable, "-m", name, str(child.fileno())]
        with child:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                command, pass_fds=[child.fileno()], stdin=subprocess.DEVNULL
            )
        self._socket = control
        asyncio.get_running_loop().add_reader(control, self._readable)
        return control

    def _readable(self) -> None:
        if self._socket is None:
            return
        try:
            data, descriptors, _flags, _address = socket.recv_fds(self._socket, REPORT.size, 1)
        except BlockingIOError:
            return
        except OSError:
            data, descriptors = b"", []
        if len(data) != REPORT.size:
            for descriptor in descriptors:
                os.close(descriptor)
            self.close()
            return
        what, number, value, peak_bytes = REPORT.unpack(data)
        if what == ENDED:
            ended = self._ends.pop(number, None)
            if ended is not None and not ended.done():
                ended.set_result((value, peak_bytes))
            return
        start = self._starts.get(number)
        if start is None or start.done():
            for descriptor in descriptors:
                os.close(descriptor)
        elif what == STARTED and descriptors:
            start.set_result((value, descriptors[0]))
        else:
            self._ends.pop(number).cancel()
            # Without its descriptor: this process has none left.
            why = os.strerror(errno.EMFILE if what == STARTED else value)
            start.set_exception(ForkServerLost(f"no process to be had: {why}"))
