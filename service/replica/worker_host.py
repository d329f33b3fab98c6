"""Lends a replica's workers to the gateways of its node.

A gateway sends items to the workers themselves, and watches them as the replica's own supervisor
does; the replica starts them, tells how they ended, and ends those that no owner holds any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import socket
from collections.abc import Coroutine
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
from .own_folder import own_folder
from .worker import Worker, WorkerFailed
from .worker_pool import ForkedWorkers

_log = logging.getLogger(__name__)


def local_folder(session: str) -> Path | None:
    """Where the sockets of this node's replicas lie, for one Ray session; None: there is no place.

    A folder that others could have made or can enter is no place.
    """
    # A socket's path has 107 characters at the most.
    return own_folder(hashlib.blake2b(session.encode(), digest_size=6).hexdigest())


class WorkerHost:
    """Listens for gateways. Owned by the replica's event loop."""

    def __init__(self, workers: ForkedWorkers) -> None:
        self.workers = workers
        self.numbers: dict[Worker, int] = {}
        self._next_number = 1
        self._listener: socket.socket | None = None
        self._connections: set[_Connection] = set()
        self._path: Path | None = None
        self._all_gone: asyncio.Future[None] | None = None
        workers.on_work = self._on_work
        workers.on_aside = self._on_aside

    def start(self, folder: Path, name: str) -> None:
        """Listens on the socket `name`.<pid> in the folder.

        Raises:
            OSError: it cannot be made.
        """
        path = folder / f"{name}.{os.getpid()}"
        with contextlib.suppress(FileNotFoundError):
            path.unlink()  # of a process of the same number that was killed
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.setblocking(False)
        # Bound under another name: whoever finds a socket may take one that refuses for a dead one.
        unready = folder / f".{path.name}"
        with contextlib.suppress(FileNotFoundError):
            unready.unlink()
        listener.bind(str(unready))
        listener.listen(64)
        unready.rename(path)
        self._listener, self._path = listener, path
        asyncio.get_running_loop().add_reader(listener, self._accept)

    async def drain(self, grace_s: float) -> None:
        """Lets nobody in any more, waits until what runs has ended or the grace is over."""
        self._stop_listening()
        for connection in list(self._connections):
            connection.send(Control(DRAIN))
        if self._connections:
            self._all_gone = asyncio.get_running_loop().create_future()
            await asyncio.wait((self._all_gone,), timeout=grace_s)
        self.close()

    def close(self) -> None:
        """Hangs up."""
        self._stop_listening()
        for connection in list(self._connections):
            connection.close()

    def number_of(self, worker: Worker) -> int:
        """What a worker is called on all connections."""
        number = self.numbers.get(worker)
        if number is None:
            number = self.numbers[worker] = self._next_number
            self._next_number += 1
            worker.exited.add_done_callback(lambda _: self._ended(worker))
        return number

    def numbered(self, number: int) -> Worker | None:
        """The worker of this number, if it has not ended."""
        return next((w for w, n in self.numbers.items() if n == number), None)

    def lost(self, connection: _Connection) -> None:
        """A gateway hung up: what it held is let go, and what runs for it is not waited for."""
        self._connections.discard(connection)
        if not self._connections and self._all_gone is not None and not self._all_gone.done():
            self._all_gone.set_result(None)
        for worker in [*self.numbers]:
            if connection in worker.holders:
                worker.holders.discard(connection)
                self.workers.replace(worker, "gateway_lost")

    def _accept(self) -> None:
        if self._listener is None:
            return
        try:
            connection, _ = self._listener.accept()
        except OSError as error:  # descriptors are used up, or it is gone again
            _log.warning("a gateway could not be let in: %s", error)
            return
        connection.setblocking(False)
        self._connections.add(_Connection(self, connection))

    def _stop_listening(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        if self._path is not None:
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()

    def _on_work(self, worker: Worker) -> None:
        for connection in list(self._connections):
            connection.offer(worker)

    def _on_aside(self, worker: Worker) -> None:
        number = self.numbers.get(worker)
        if number is not None:
            for connection in list(self._connections):
                connection.send(Control(ASIDE, number))

    def _ended(self, worker: Worker) -> None:
        number = self.numbers.pop(worker)
        code = UNKNOWN_CODE if worker.exit_code is None else worker.exit_code
        if worker.lost:
            code = LOST
        for connection in list(self._connections):
            connection.send(Control(ENDED, number, code, worker.peak_bytes))


class _Connection:
    """One gateway."""

    def __init__(self, host: WorkerHost, connection: socket.socket) -> None:
        self._host = host
        self._socket = connection
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(connection, self._readable)

    def send(self, message: Control) -> None:
        """Tells the gateway something; one that does not read is given up."""
        try:
            message.send(self._socket)
        except OSError:
            self.close()

    def offer(self, worker: Worker, request: int = 0) -> None:
        """Hands the gateway a link to a worker."""
        if self in worker.holders or not worker.usable:
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            pidfd = worker.duplicate_pidfd()
            try:
                worker.link(theirs.fileno())
                number = self._host.number_of(worker)
                Control(
                    WORKER, request, worker.pid, number, descriptors=[ours.fileno(), pidfd]
                ).send(self._socket)
                worker.holders.add(self)
            finally:
                os.close(pidfd)
        except OSError as error:
            _log.warning("a worker could not be lent to a gateway: %s", error)
        finally:
            ours.close()
            theirs.close()

    def close(self) -> None:
        """Hangs up."""
        if self._socket.fileno() < 0:
            return
        self._loop.remove_reader(self._socket)
        self._socket.close()
        for task in self._tasks:
            task.cancel()
        self._host.lost(self)

    def _readable(self) -> None:
        try:
            message = receive(self._socket)
        except BlockingIOError:
            return
        except (OSError, ValueError):
            message = None
        if message is None:
            self.close()
            return
        for descriptor in message.descriptors:
            os.close(descriptor)
        workers = self._host.workers
        if message.kind == WANT:
            self._own(self._work(message.number))
        elif message.kind == SINGLE:
            self._own(self._single(message.number))
        elif message.kind == RESERVE:
            workers.call_reserve().add_done_callback(self._reserved)
        elif message.kind in (ASIDE, RELEASE):
            worker = self._host.numbered(message.number)
            if worker is None:
                return
            if message.kind == ASIDE:
                workers.put_aside(worker)
                return
            worker.holders.discard(self)
            worker.replaced |= bool(message.value)
            if worker.aside:
                workers.take_back(worker)

    def _reserved(self, reserve: asyncio.Future[Any]) -> None:
        if not reserve.cancelled() and reserve.exception() is None:
            self.send(Control(READY))

    async def _work(self, unusable: int) -> None:
        at_work = self._host.workers.at_work
        if unusable and at_work is not None and at_work is self._host.numbered(unusable):
            self._host.workers.put_aside(at_work)
        try:
            worker = await self._host.workers.worker()
        except WorkerFailed as error:
            self.send(Control(FAILED, 0, text=str(error)))
        else:
            self.offer(worker)

    async def _single(self, request: int) -> None:
        try:
            worker = await self._host.workers.single()
        except WorkerFailed as error:
            self.send(Control(FAILED, request, text=str(error)))
            return
        self.offer(worker, request)
        if self not in worker.holders:
            worker.kill()
            self.send(Control(FAILED, request, text="the process could not be lent"))

    def _own(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
