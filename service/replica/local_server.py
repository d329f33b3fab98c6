"""A replica's door for the gateways of its own node: a Unix socket beside Serve's handle.

A handle call costs milliseconds of CPU on both sides, most of it HTTP/2 and protobuf around a
megabyte that both could copy in a tenth of the time. Who may connect is the folder's business: only
the user that the service runs as can enter it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import stat
import tempfile
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .socket_frame import ANSWER, CANCEL, END, RUN, Framed

if TYPE_CHECKING:
    from .replica import Answer, Message

_log = logging.getLogger(__name__)

RunJobs = Callable[[Sequence["Message"], tuple[int, float]], AsyncGenerator["Answer", None]]


def local_folder(session: str) -> Path | None:
    """Where the sockets of this node's replicas lie, for one Ray session; None: there is no place.

    A folder that others could have made or can enter is no place.
    """
    top = Path(tempfile.gettempdir()) / f"rewardplane-{os.geteuid()}"
    # A socket's path has 107 characters at the most.
    folder = top / hashlib.blake2b(session.encode(), digest_size=6).hexdigest()
    try:
        for path in (top, folder):
            with contextlib.suppress(FileExistsError):
                path.mkdir(mode=0o700)
            status = path.lstat()
            if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
                return None
            if status.st_mode & 0o077:
                return None
    except OSError as error:
        _log.warning("no sockets in %s, calls go by Serve's handle: %s", folder, error)
        return None
    return folder


class LocalServer:
    """Runs the jobs of gateways that connect to a socket."""

    def __init__(self, run: RunJobs) -> None:
        self._run = run
        self._server: asyncio.Server | None = None
        self._doors: set[_Door] = set()
        self._path: Path | None = None

    async def start(self, folder: Path, name: str) -> None:
        """Listens on the socket `name`.<pid> in the folder.

        Raises:
            OSError: it cannot be made.
        """
        path = folder / f"{name}.{os.getpid()}"
        with contextlib.suppress(FileNotFoundError):
            path.unlink()  # of a process of the same number that was killed
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(
            lambda: _Door(self._run, self._doors), str(path)
        )
        self._path = path

    async def drain(self, grace_s: float) -> None:
        """Lets nobody in any more, waits until what runs has ended or the grace is over."""
        self._lock()
        tasks = [task for door in self._doors for task in door.tasks]
        if tasks:
            await asyncio.wait(tasks, timeout=grace_s)
        self.close()

    def close(self) -> None:
        """Hangs up."""
        self._lock()
        for door in list(self._doors):
            door.close()

    def _lock(self) -> None:
        if self._server is not None:
            self._server.close()
        if self._path is not None:
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()


class _Door(Framed):
    """The connection of one gateway."""

    def __init__(self, run: RunJobs, doors: set[_Door]) -> None:
        super().__init__()
        self._run = run
        self._doors = doors
        self._tasks: dict[int, asyncio.Task[None]] = {}
        doors.add(self)

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """The calls that run."""
        return list(self._tasks.values())

    def received(self, kind: int, call: int, body: Any) -> None:
        """Starts a call, or ends one that nobody waits for."""
        if kind == RUN:
            task = asyncio.get_running_loop().create_task(self._answer(call, *body))
            self._tasks[call] = task
            task.add_done_callback(lambda _: self._tasks.pop(call, None))
        elif kind == CANCEL and (running := self._tasks.get(call)) is not None:
            running.cancel()

    def lost(self) -> None:
        """Ends what runs for the gateway."""
        self._doors.discard(self)
        for task in list(self._tasks.values()):
            task.cancel()

    async def _answer(
        self, call: int, messages: Sequence[Message], backlog: tuple[int, float]
    ) -> None:
        # Told also where the call is cancelled by whoever: it must not be waited for.
        fault: str | None = "the replica gave the call up"
        try:
            async with aclosing(self._run(messages, backlog)) as answers:
                async for parts, has_room, figures in answers:
                    told = [(index, _plain(part), waited) for index, part, waited in parts]
                    self.send(ANSWER, call, (told, has_room, figures))
            fault = None
        except Exception as error:  # noqa: BLE001 - the gateway must learn of it, and sends it again
            _log.exception("a call of a gateway failed")
            fault = repr(error)
        finally:
            self.send(END, call, fault)


def _plain(part: Any) -> tuple[Any, ...]:
    return (
        bytes(part.states),
        part.rewards,
        part.components,
        part.elapsed_us,
        part.extras,
        part.isolation,
    )
