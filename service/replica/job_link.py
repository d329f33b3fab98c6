"""Jobs of a gateway to a replica of its node by a socket: without Serve's handle, which costs more.

Both ends are processes of one service and one user, in a folder that nobody else may enter. Each
message is a pickle behind its length: from the gateway `(number, reward, jobs, backlog)`, or
`(number,)` for a job that nobody waits for any more; from the replica `(number, facts, answer)`,
`(number, fault)` at the end of a job, with no fault "", and `(0,)` when it stops.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pickle
import socket
import struct
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

from .answers import Answer, Message
from .job import Part
from .linked_workers import check_peer
from .tasks import cancel_begun

_log = logging.getLogger(__name__)

CONNECT_S = 2.0
MAX_BYTES = 2**31 - 1
"""Of a message: a length beyond that is none."""
HOLD_S = 0.01
"""How long a replica keeps to itself that it has room beside a job: that may be over by then."""

_LENGTH = struct.Struct("<I")
_STOPS = (0,)

Run = Callable[[Any, Sequence[Message], tuple[int, float]], AsyncGenerator[Answer, None]]
"""What a replica does with jobs: (reward, jobs, backlog) to answers."""


class LinkLost(Exception):
    """The replica at the other end is gone, or could not run a job to its end."""


class _Framed(asyncio.Protocol):
    """One end: whole messages, both ways."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._got = bytearray()
        self._to_send: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Takes the connection."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Takes what came, and whatever is whole of it."""
        got = self._got
        got += data
        at = 0
        while len(got) - at >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(got, at)
            if size > MAX_BYTES:  # what raises here ends the connection
                raise ValueError(f"a message of {size} bytes")
            end = at + _LENGTH.size + size
            if len(got) < end:
                break
            with memoryview(got) as view:
                message: Any = pickle.loads(view[at + _LENGTH.size : end])  # noqa: S301 - our own
            at = end
            self.take(message)
        del got[:at]

    def take(self, message: Any) -> None:
        """Takes a message."""
        raise NotImplementedError

    def say(self, message: tuple[Any, ...]) -> None:
        """Sends a message, with all others of the same turn of the loop.

        What cannot be sent is lost with the connection.
        """
        data = pickle.dumps(message, 5)
        if not self._to_send:
            asyncio.get_running_loop().call_soon(self._flush)
        self._to_send += (_LENGTH.pack(len(data)), data)

    def _flush(self) -> None:
        data, self._to_send = b"".join(self._to_send), []
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def hang_up(self) -> None:
        """Ends the connection, when what was said has gone."""
        self._flush()
        if self._transport is not None:
            self._transport.close()


# ---- the replica's end -------------------------------------------------------------------------


class JobHost:
    """Listens for the gateways of this node. Owned by the replica's event loop.

    `facts` tells what is served; gateways are told with the first answer, and where it changes.
    """

    def __init__(self, run: Run, facts: Callable[[], Any]) -> None:
        self.run = run
        self.facts = facts
        self.ends: set[_HostEnd] = set()
        self._server: asyncio.Server | None = None
        self._is_over = False
        self._path: Path | None = None

    async def start(self, folder: Path, name: str) -> None:
        """Listens on the socket `name`.<pid> in the folder; nothing where it does, or has stopped.

        Raises:
            OSError: it cannot be made.
        """
        if self._server is not None or self._is_over:
            return
        path = folder / f"{name}.{os.getpid()}"
        # Bound under another name: whoever finds a socket may take one that refuses for a dead one.
        unready = folder / f".{path.name}"
        for left in (path, unready):  # of a process of the same number that was killed
            with contextlib.suppress(FileNotFoundError):
                left.unlink()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.setblocking(False)
            listener.bind(str(unready))
            loop = asyncio.get_running_loop()
            self._server = await loop.create_unix_server(lambda: _HostEnd(self), sock=listener)
            unready.rename(path)
        except BaseException:
            listener.close()
            raise
        self._path = path

    async def drain(self, grace_s: float) -> None:
        """Lets no more jobs in, waits until those that run have ended or the grace is over."""
        self._is_over = True
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._path is not None:
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()
        for end in self.ends:
            end.say(_STOPS)
        until_s = time.monotonic() + grace_s
        # Jobs still come from gateways that have not read yet that this one stops.
        while running := [t for end in self.ends for t in end.tasks.values() if not t.done()]:
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                break
            await asyncio.wait(running, timeout=left_s)
            await asyncio.sleep(0)
        for end in list(self.ends):
            end.hang_up()
        await asyncio.sleep(0)  # in which the connections are closed


class _HostEnd(_Framed):
    """One gateway."""

    def __init__(self, host: JobHost) -> None:
        super().__init__()
        self._host = host
        self._told: Any = None
        self.tasks: dict[int, asyncio.Task[None]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Takes the connection."""
        super().connection_made(transport)
        self._host.ends.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops what runs for the gateway."""
        del exc
        self._host.ends.discard(self)
        for task in self.tasks.values():
            task.cancel()

    def take(self, message: Any) -> None:
        """Takes a job, or that nobody waits for one any more."""
        number, *work = message
        if work:
            task = asyncio.get_running_loop().create_task(self._run(number, *work))
            self.tasks[number] = task
        elif number in self.tasks:
            cancel_begun(self.tasks[number])

    async def _run(
        self, number: int, reward: Any, messages: Sequence[Message], backlog: tuple[int, float]
    ) -> None:
        fault = ""
        room: asyncio.TimerHandle | None = None
        try:
            async with aclosing(self._host.run(reward, messages, backlog)) as answers:
                async for parts, has_room, figures in answers:
                    if room is None and has_room and not parts and not figures:
                        told: tuple[Any, ...] = (number, None, ([], True, figures))
                        room = asyncio.get_running_loop().call_later(HOLD_S, self.say, told)
                        continue
                    packed = [(i, _columns(part), waited) for i, part, waited in parts]
                    self.say((number, self._news(), (packed, has_room, figures)))
        except Exception as error:  # noqa: BLE001 - told to the gateway, which sends it elsewhere
            fault = f"{type(error).__name__}: {error}"
        finally:
            if room is not None:
                room.cancel()
            del self.tasks[number]
            self.say((number, fault))

    def _news(self) -> Any:
        facts = self._host.facts()
        if facts == self._told:
            return None
        self._told = facts
        return facts


# ---- the gateway's end -------------------------------------------------------------------------


class JobLink(_Framed):
    """A connection to a replica. Owned by one event loop.

    `on_lost` is called once, when the replica hung up.
    """

    def __init__(self, on_lost: Callable[[], None]) -> None:
        super().__init__()
        self._on_lost = on_lost
        self._answers: dict[int, asyncio.Queue[tuple[Any, ...]]] = {}
        self._last_number = 0
        self.items = 0
        """Of jobs that run there for this gateway."""
        self.facts: Any = None
        """What the replica serves, as it said last."""
        self.stops = False
        """Whether the replica takes no more jobs."""
        self.is_lost = False
        """Whether the connection has ended."""

    @classmethod
    async def connect(cls, path: Path, pid: int, on_lost: Callable[[], None]) -> JobLink:
        """A link to the replica that listens on `path`.

        Raises:
            ConnectionRefusedError: nobody listens there any more.
            OSError: it cannot be reached, or is not process `pid`.
        """
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(CONNECT_S):
            transport, link = await loop.create_unix_connection(lambda: cls(on_lost), str(path))
        try:
            check_peer(transport.get_extra_info("socket"), path, pid)
        except BaseException:
            transport.close()
            raise
        return link

    async def run(
        self, reward: Any, messages: Sequence[Message], backlog: tuple[int, float]
    ) -> AsyncGenerator[Answer, None]:
        """Runs jobs there; closing the iterator stops them.

        Raises:
            LinkLost: the replica is gone, or failed.
        """
        self._last_number += 1
        number = self._last_number
        told = self._answers[number] = asyncio.Queue[tuple[Any, ...]]()
        items = sum(message[1] for message in messages)
        self.items += items
        ended = True
        try:
            if self._transport is None or self._transport.is_closing():
                raise LinkLost(*_GONE)
            self.say((number, reward, messages, backlog))
            ended = False
            while True:
                answer = await told.get()
                if len(answer) == 1:
                    ended = True
                    if answer[0]:
                        raise LinkLost(answer[0])
                    return
                packed, has_room, figures = answer
                parts = [(i, Part(*columns), waited) for i, columns, waited in packed]
                yield parts, has_room, figures
        finally:
            self.items -= items
            del self._answers[number]
            if not ended:
                self.say((number,))
            if self.stops and not self._answers:
                self.hang_up()

    def take(self, message: Any) -> None:
        """Takes an answer, an end, or that the replica stops."""
        number, *told = message
        if not number:
            self.stops = True
            if not self._answers:
                self.hang_up()
            return
        if len(told) == 2:
            facts, answer = told
            if facts is not None:
                self.facts = facts
            told = answer
        if number in self._answers:
            self._answers[number].put_nowait(tuple(told))

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends what waits for the replica."""
        del exc
        self._transport = None
        self.is_lost = True
        for told in self._answers.values():
            told.put_nowait(_GONE)
        self._on_lost()


_GONE = ("the replica hung up",)


def _columns(part: Part) -> tuple[Any, ...]:
    return (
        part.states,
        part.rewards,
        part.components,
        part.elapsed_us,
        part.extras,
        part.isolation,
    )
