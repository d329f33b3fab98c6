"""Single calls that travel together.

Half the training frameworks score one response a call, thousands at once. A call goes out at once
when nothing is in flight; else it waits for the next to go: when one in flight returns, when as
much waits as one call may hold, or after WAIT_S, so that one slow item does not hold up the rest.
"""

from __future__ import annotations

import asyncio
import copy
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from rewardplane.rewards.types import Outcome
from rewardplane.wire.errors import CallError, InvalidRequest, NotReady

from .call_options import CallOptions
from .chunks import EncodedGroup
from .retry_policy import expired

MAX_ITEMS = 256
MAX_BYTES = 2**20
MAX_CALLS = 64
WAIT_S = 0.005

_CLOSED = "the client was closed before the outcome came"

Send = Callable[[CallOptions, Sequence[EncodedGroup], float], Awaitable[Sequence[Outcome]]]
"""Sends groups of one response each and returns an outcome per group, within so many seconds."""


@dataclass(slots=True, eq=False)
class _Single:
    group: EncodedGroup
    end_s: float
    future: asyncio.Future[Outcome]
    batch: _Batch | None = None


@dataclass(slots=True, eq=False)
class _Batch:
    singles: list[_Single]
    wanted: int
    task: asyncio.Task[None] | None = None


class Batcher:
    """Gathers single calls of one event loop into calls of many."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._queues: dict[CallOptions, _Queue] = {}

    async def score(self, options: CallOptions, group: EncodedGroup) -> Outcome:
        """The outcome of the one response in `group`.

        Raises:
            CallError: the call that it travelled with failed, for its own fault or for all.
        """
        queue = self._queues.get(options)
        if queue is None:
            queue = self._queues[options] = _Queue(options, self._send, self._queues)
        return await queue.score(group)

    async def close(self) -> None:
        """Cancels what is in flight; whoever waits for an outcome gets `NotReady`."""
        for queue in list(self._queues.values()):
            await queue.close()


class _Queue:
    """The single calls of equal options. It is in `queues` as long as it has something to do."""

    def __init__(self, options: CallOptions, send: Send, queues: dict[CallOptions, _Queue]) -> None:
        self._options = options
        self._send = send
        self._queues = queues
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Single] = deque()
        self._waiting_bytes = 0
        self._in_flight: set[asyncio.Task[None]] = set()
        self._due: asyncio.Handle | None = None
        self._due_soon = False
        self._last_failure: CallError | None = None

    async def score(self, group: EncodedGroup) -> Outcome:
        single = _Single(
            group, time.monotonic() + self._options.timeout_s, self._loop.create_future()
        )
        self._waiting.append(single)
        self._waiting_bytes += len(group.data)
        if not self._in_flight or self._is_full():
            # Not before the other tasks that are ready have added theirs.
            self._schedule(soon=True)
        else:
            self._schedule(soon=False)
        try:
            return await single.future
        except asyncio.CancelledError:
            self._abandon(single)
            raise

    async def close(self) -> None:
        _fail(self._waiting, NotReady(_CLOSED))
        self._waiting.clear()
        tasks = list(self._in_flight)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _is_full(self) -> bool:
        return len(self._waiting) >= MAX_ITEMS or self._waiting_bytes >= MAX_BYTES

    def _schedule(self, *, soon: bool) -> None:
        if self._due is not None:
            if self._due_soon or not soon:
                return
            self._due.cancel()
        self._due_soon = soon
        self._due = (
            self._loop.call_soon(self._go) if soon else self._loop.call_later(WAIT_S, self._go)
        )

    def _go(self) -> None:
        """Sends what waits: one call however small, and further ones as long as they are full."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        small = True
        while self._waiting and len(self._in_flight) < MAX_CALLS and (small or self._is_full()):
            small = False
            singles = self._take()
            if singles:
                self._start(singles)
        if self._waiting and len(self._in_flight) < MAX_CALLS:
            self._schedule(soon=False)
        elif not self._waiting and not self._in_flight:
            self._queues.pop(self._options, None)

    def _take(self) -> list[_Single]:
        singles: list[_Single] = []
        n_bytes = 0
        now_s = time.monotonic()
        while self._waiting and len(singles) < MAX_ITEMS:
            single = self._waiting[0]
            size = len(single.group.data)
            if singles and n_bytes + size > MAX_BYTES:
                break
            self._waiting.popleft()
            self._waiting_bytes -= size
            if single.future.done():
                continue
            if single.end_s <= now_s:
                message = f"could not be sent within {self._options.timeout_s:g} s"
                single.future.set_exception(expired(message, self._last_failure))
                continue
            n_bytes += size
            singles.append(single)
        return singles

    def _start(self, singles: list[_Single]) -> None:
        batch = _Batch(singles, len(singles))
        for single in singles:
            single.batch = batch
        task = batch.task = self._loop.create_task(self._run(singles))
        self._in_flight.add(task)
        task.add_done_callback(lambda task: self._ended(task, singles))

    async def _run(self, singles: Sequence[_Single]) -> None:
        """Scores them together, and apart where one of them spoils the call for all."""
        remaining_s = min(single.end_s for single in singles) - time.monotonic()
        try:
            outcomes = await self._send(self._options, [s.group for s in singles], remaining_s)
        except InvalidRequest as error:
            if len(singles) == 1:
                _fail(singles, error)
            else:
                half = len(singles) // 2
                await self._run(singles[:half])
                await self._run(singles[half:])
        except CallError as error:
            self._last_failure = error
            _fail(singles, error)
        else:
            for single, outcome in zip(singles, outcomes, strict=True):
                if not single.future.done():
                    single.future.set_result(outcome)

    def _ended(self, task: asyncio.Task[None], singles: Sequence[_Single]) -> None:
        self._in_flight.discard(task)
        if task.cancelled():
            # By those who wait, who are no more, or by `close`.
            _fail(singles, NotReady(_CLOSED))
        elif (fault := task.exception()) is not None:
            # Nobody awaits the task: whoever waits for an outcome must learn of its end.
            for single in singles:
                if not single.future.done():
                    single.future.set_exception(fault)
        self._go()

    def _abandon(self, single: _Single) -> None:
        """Its caller is gone; when all those of a call are, the service is told."""
        batch = single.batch
        if batch is not None:
            batch.wanted -= 1
            if batch.wanted == 0 and batch.task is not None:
                batch.task.cancel()


def _fail(singles: Iterable[_Single], error: CallError) -> None:
    for single in singles:
        if not single.future.done():
            # One each: an exception gathers the traceback of everyone who raises it.
            one = copy.copy(error)
            one.__cause__ = error.__cause__
            for note in getattr(error, "__notes__", ()):
                one.add_note(note)
            single.future.set_exception(one)
