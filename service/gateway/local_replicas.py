"""The replicas of one reward that share the gateway's node, each by its Unix socket.

What finds no free one among them, where the reward has replicas elsewhere too, goes by Serve's
handle, as all does where there is no socket: on another node, or in another container.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

from rewardplane.replica.job import Part
from rewardplane.replica.socket_frame import ANSWER, CANCEL, END, RUN, Framed

from .pool_lane import Answers, ReplicaLost, Send

SCAN_S = 0.25
"""How often at most to look for replicas that came up."""

_Answer = tuple[list[tuple[int, Part, int]], bool, dict[str, float]]


class Neighbours:
    """Sends jobs to the least busy replica of this node. Owned by its event loop."""

    def __init__(self, folder: Path | None, name: str, replicas: int, elsewhere: Send) -> None:
        self._folder = folder
        self._prefix = f"{name}."
        self._replicas = replicas
        self._elsewhere = elsewhere
        self._lines: dict[str, _Line] = {}
        self._scan_again_s = 0.0

    async def send(self, messages: Sequence[Any], backlog: tuple[int, float]) -> Answers:
        """Runs jobs on a replica; its answers as they come.

        Raises:
            ReplicaLost: it is gone, or no replica can be reached.
        """
        line = await self._choose()
        if line is None:
            async with aclosing(self._elsewhere(messages, backlog)) as answers:
                async for answer in answers:
                    yield answer
            return
        exchange = line.begin(messages, backlog)
        try:
            while (answer := await exchange.next()) is not None:
                yield answer
        finally:
            line.end(exchange)

    async def _choose(self) -> _Line | None:
        if len(self._lines) < self._replicas and time.monotonic() >= self._scan_again_s:
            await self._scan()
        line = min(self._lines.values(), key=lambda line: line.load, default=None)
        if line is not None and line.busy and len(self._lines) < self._replicas:
            return None
        return line

    async def _scan(self) -> None:
        self._scan_again_s = time.monotonic() + SCAN_S
        if self._folder is None:
            return
        for path in self._folder.glob(f"{self._prefix}*"):
            if path.name not in self._lines:
                await self._connect(path)

    async def _connect(self, path: Path) -> None:
        loop, name = asyncio.get_running_loop(), path.name
        line = _Line(lambda: self._drop(name, line))
        try:
            await loop.create_unix_connection(lambda: line, str(path))
        except ConnectionRefusedError:  # its replica was killed
            _clear_away(path)
        except OSError:  # it is gone since the folder was read
            return
        else:
            if line.is_open and name not in self._lines and line.peer_pid == _pid_in(name):
                self._lines[name] = line
            else:
                line.close()

    def _drop(self, name: str, line: _Line) -> None:
        if self._lines.get(name) is line:
            del self._lines[name]


class _Exchange:
    """A call on its way: its answers as they come."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.holds_place = True
        self.over = False
        self._fault: str | None = None
        self._answers: deque[_Answer] = deque()
        self._waiter: asyncio.Future[None] | None = None

    async def next(self) -> _Answer | None:
        """The next answer; None: there is none to come.

        Raises:
            ReplicaLost: the call ended by a fault.
        """
        while not self._answers:
            if self._fault is not None:
                raise ReplicaLost(self._fault)
            if self.over:
                return None
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._answers.popleft()

    def put(self, answer: _Answer) -> None:
        """An answer came."""
        self._answers.append(answer)
        self._wake()

    def finish(self, fault: str | None) -> None:
        """The call is over."""
        if self.over:
            return
        self.over = True
        self._fault = fault
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class _Line(Framed):
    """The connection to one replica. `busy`: calls that it has no room beside."""

    def __init__(self, on_lost: Callable[[], None]) -> None:
        super().__init__()
        self.busy = 0
        self._exchanges: dict[int, _Exchange] = {}
        self._numbers = itertools.count()
        self._on_lost = on_lost

    @property
    def load(self) -> tuple[int, int]:
        """Calls that hold a place, and all that are open: the least is the least busy."""
        return self.busy, len(self._exchanges)

    def begin(self, messages: Sequence[Any], backlog: tuple[int, float]) -> _Exchange:
        """Starts a call."""
        exchange = _Exchange(next(self._numbers))
        self._exchanges[exchange.number] = exchange
        self.busy += 1
        self.send(RUN, exchange.number, (list(messages), backlog))
        return exchange

    def end(self, exchange: _Exchange) -> None:
        """Nobody waits for the call any more."""
        self._give_place(exchange)
        if self._exchanges.pop(exchange.number, None) is not None and not exchange.over:
            self.send(CANCEL, exchange.number)

    def received(self, kind: int, call: int, body: Any) -> None:
        """An answer, or the end of a call."""
        exchange = self._exchanges.get(call)
        if exchange is None:  # given up; the replica did not know yet
            return
        if kind == ANSWER:
            told, has_room, figures = body
            if has_room:
                self._give_place(exchange)
            parts = [(index, Part(*columns), waited) for index, columns, waited in told]
            exchange.put((parts, has_room, figures))
        elif kind == END:
            self._give_place(exchange)
            exchange.finish(body)

    def lost(self) -> None:
        """The replica is gone; so are its calls."""
        self._on_lost()
        for exchange in self._exchanges.values():
            exchange.finish("the replica hung up")

    def _give_place(self, exchange: _Exchange) -> None:
        if exchange.holds_place:
            exchange.holds_place = False
            self.busy -= 1


def _pid_in(name: str) -> int:
    pid = name.rpartition(".")[2]
    return int(pid) if pid.isdecimal() else -1


def _clear_away(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
