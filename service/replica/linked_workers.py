"""The workers of a replica of this node, as a gateway has them: by links from the replica."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .control import (
    ASIDE,
    DRAIN,
    ENDED,
    FAILED,
    LOST,
    READY,
    RELEASE,
    RESERVE,
    SINGLE,
    UNKNOWN_CODE,
    WANT,
    WORKER,
    Control,
    receive,
)
from .fork_server import Forked
from .worker import Worker, WorkerFailed, WorkersGone

_log = logging.getLogger(__name__)

_GONE = "the replica hung up"


class LinkedWorkers:
    """A connection to a replica, and its workers; a `WorkerPool`. Owned by one event loop.

    `on_lost` is called once, when the replica hung up.
    """

    def __init__(self, connection: socket.socket, on_lost: Callable[[], None]) -> None:
        self._socket = connection
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._at_work: Worker | None = None
        self._wanted: asyncio.Future[Worker] | None = None
        self._singles: dict[int, asyncio.Future[Worker]] = {}
        self._reserve: asyncio.Future[None] | None = None
        self._numbers: dict[Worker, int] = {}
        self._ends: dict[int, asyncio.Future[tuple[int | None, int]]] = {}
        self._next_request = 1
        self._last_number = 0
        """Of the worker that came to work last."""
        self.is_open = True
        self.is_draining = False
        self.on_drain: Callable[[], None] = _ignore
        """Called when the replica says that it stops."""
        self.broken = ""
        self.replaced: Counter[str] = Counter()
        self._loop.add_reader(connection, self._readable)

    @classmethod
    async def connect(cls, path: Path, pid: int, on_lost: Callable[[], None]) -> LinkedWorkers:
        """The workers of the replica that listens on `path`.

        Raises:
            ConnectionRefusedError: nobody listens there any more.
            OSError: it cannot be reached, or is not process `pid`.
        """
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            connection.setblocking(False)
            await asyncio.get_running_loop().sock_connect(connection, str(path))
            check_peer(connection, path, pid)
        except BaseException:
            connection.close()
            raise
        return cls(connection, on_lost)

    @property
    def at_work(self) -> Worker | None:
        """The worker at work, if there is one."""
        return self._at_work

    async def worker(self) -> Worker:
        """The worker at work.

        Raises:
            WorkerFailed: the reward cannot be set up.
            WorkersGone: the replica hung up.
        """
        while self._at_work is None or not self._at_work.usable:
            if self._at_work is not None:
                self.put_aside(self._at_work)
            if self._wanted is None or self._wanted.done():
                self._wanted = self._loop.create_future()
                self._wanted.add_done_callback(_look_at)
                self._send(Control(WANT, self._last_number))
            await asyncio.shield(self._wanted)
        return self._at_work

    async def single(self) -> Worker:
        """A worker that nothing else runs on.

        Raises:
            WorkerFailed: as `worker`.
        """
        request = self._next_request
        self._next_request += 1
        made = self._singles[request] = self._loop.create_future()
        self._send(Control(SINGLE, request))
        try:
            return await made
        except asyncio.CancelledError:
            if made.done() and not made.cancelled() and made.exception() is None:
                made.result().kill()
            raise

    def call_reserve(self) -> asyncio.Future[Any]:
        """Done when the replica has a worker in reserve."""
        if self._reserve is None or self._reserve.done():
            self._reserve = self._loop.create_future()
            self._send(Control(RESERVE))
        return self._reserve

    def put_aside(self, worker: Worker) -> None:
        """This worker gets no further work from anybody."""
        if self._at_work is worker:
            self._at_work = None
        if not worker.aside:
            worker.aside = True
            if worker in self._numbers:
                self._send(Control(ASIDE, self._numbers[worker]))

    def take_back(self, worker: Worker) -> None:
        """A worker that was put aside is free again: the replica may use it."""
        self._release(worker)

    def replace(self, worker: Worker, cause: str) -> None:
        """Counts a worker out, once; the replica ends it when nothing runs on it."""
        self.put_aside(worker)
        if not worker.replaced:
            worker.replaced = True
            self.replaced[cause] += 1
        self.free(worker)

    def free(self, worker: Worker) -> None:
        """Something ended on this worker."""
        if worker.aside and worker.idle:
            self._release(worker)

    async def close(self) -> None:
        """As `hang_up`."""
        self.hang_up()

    def hang_up(self) -> None:
        """Ends the connection; the replica ends what runs on its workers for this gateway."""
        self._lose()

    def _release(self, worker: Worker) -> None:
        number = self._numbers.pop(worker, None)
        if number is not None and self.is_open:
            self._send(Control(RELEASE, number, int(worker.replaced)))
            worker.leave()

    def _send(self, message: Control) -> None:
        if not self.is_open:
            self._fail_all()
            return
        try:
            message.send(self._socket)
        except OSError:
            self._lose()

    def _readable(self) -> None:
        try:
            message = receive(self._socket)
            if message is not None:
                self._take(message)
        except BlockingIOError:
            return
        except Exception:  # noqa: BLE001 - who waits for this replica goes to another
            _log.exception("a message of a replica could not be taken in")
            message = None
        if message is None:
            self._lose()

    def _take(self, message: Control) -> None:
        if message.kind == WORKER:
            self._lent(message)
        elif message.kind == FAILED:
            made = self._singles.pop(message.number, None) if message.number else self._wanted
            self.broken = message.text
            if made is not None and not made.done():
                made.set_exception(WorkerFailed(message.text))
        elif message.kind == READY:
            if self._reserve is not None and not self._reserve.done():
                self._reserve.set_result(None)
        elif message.kind == ASIDE:
            self._set_aside(message.number)
        elif message.kind == ENDED:
            self._forget(message.number)
            ended = self._ends.pop(message.number, None)
            if ended is None or ended.done():
                return
            if message.value == UNKNOWN_CODE:
                ended.cancel()
            else:
                code = None if message.value == LOST else message.value
                ended.set_result((code, message.extra))
        elif message.kind == DRAIN:
            self.is_draining = True
            self.on_drain()

    def _lent(self, message: Control) -> None:
        descriptor, pidfd = message.descriptors
        link = socket.socket(fileno=descriptor)
        link.setblocking(False)
        ended: asyncio.Future[tuple[int | None, int]] = self._loop.create_future()
        worker = Worker(Forked(message.value, pidfd, link, ended))
        self._numbers[worker] = message.extra
        self._ends[message.extra] = ended
        self.broken = ""
        if message.number:
            made = self._singles.pop(message.number, None)
            if made is None or made.done():
                worker.kill()
            else:
                made.set_result(worker)
            return
        worker.shared = True
        self._last_number = message.extra
        self._at_work = worker
        if self._wanted is not None and not self._wanted.done():
            self._wanted.set_result(worker)

    def _set_aside(self, number: int) -> None:
        worker = next((w for w, n in self._numbers.items() if n == number), None)
        if worker is None:
            return
        worker.aside = True
        if self._at_work is worker:
            self._at_work = None
        self.free(worker)

    def _forget(self, number: int) -> None:
        self._numbers = {w: n for w, n in self._numbers.items() if n != number}

    def _lose(self) -> None:
        if not self.is_open:
            return
        self.is_open = False
        self._loop.remove_reader(self._socket)
        self._socket.close()
        self._at_work = None
        for ended in self._ends.values():
            if not ended.done():
                ended.set_result((None, 0))
        self._ends.clear()
        for worker in self._numbers:
            worker.leave()
        self._numbers.clear()
        self._fail_all()
        self._on_lost()

    def _fail_all(self) -> None:
        for made in [*self._singles.values(), *([self._wanted] if self._wanted else [])]:
            if not made.done():
                made.set_exception(WorkersGone(_GONE))
        self._singles.clear()
        if self._reserve is not None and not self._reserve.done():
            self._reserve.cancel()


def _look_at(wanted: asyncio.Future[Worker]) -> None:
    # Whoever waited for it may be gone.
    _ = wanted.cancelled() or wanted.exception()


def check_peer(connection: Any, path: Path, pid: int) -> None:
    """Raises OSError where a connected socket, or what a transport tells of it, is not of `pid`."""
    peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    if int.from_bytes(peer[:4], "little") != pid:
        raise OSError(f"{path} is not the socket of process {pid}")


def pid_in(name: str) -> int:
    """The process in the name of a replica's socket; -1: there is none."""
    pid = name.rpartition(".")[2]
    return int(pid) if pid.isdecimal() else -1


def clear_away(path: Path) -> None:
    """Removes the socket of a replica that was killed."""
    with contextlib.suppress(OSError):
        path.unlink()


def _ignore() -> None:
    pass
