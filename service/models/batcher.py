"""Packs what waits for a forward pass into batches: by urgency, by length, within a token budget.

Padding is work for nothing: batches as they come waste three quarters of a pass, batches of texts
of one length nearly none. The pass itself runs in a thread of its own; the event loop goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from rewardplane.rewards.types import Unavailable

from .places import URGENCY, Urgency

_log = logging.getLogger(__name__)

STOPPED = "the model was stopped"
MAX_FAILED = 8
"""So many passes over one item each that fail in a row: it is the device, not the items."""
NEAR = 1.07
"""How far the lengths of a batch may be from its most urgent one's, where enough others wait."""


class PassOutOfMemory(Exception):
    """A forward pass did not fit into the device's memory."""


@dataclass(slots=True, eq=False)
class Ask:
    """One sequence of token ids, and what is asked about it; `kind`s do not share a batch."""

    kind: str
    ids: Sequence[int]
    about: Any
    answer: asyncio.Future[Any]
    urgency: Urgency
    tokens: int
    """What it takes of the budget: its ids and what is to be written."""
    age: int = field(default=0)


_ORDER = attrgetter("urgency", "age")
_TOKENS = attrgetter("tokens")

Pass = Callable[[str, Sequence[Ask]], list[Any]]
"""A forward pass over asks of one kind: an answer for each, in their order; an exception in the
place of one that has none."""


class Batcher:
    """The queue in front of one device, which a thread of its own serves.

    Owned by an event loop. While a pass runs, the loop makes the next batch ready, if it is a full
    one: what waits with few others may get company. Where the loop was busy the thread takes a
    batch itself: the device never waits for the loop. `begin` runs once in the thread, before all
    else.
    """

    def __init__(
        self,
        run_pass: Pass,
        budget_tokens: int,
        max_items: int,
        begin: Callable[[], object] | None = None,
    ) -> None:
        self._pass = run_pass
        self._budget = budget_tokens
        self._max_items = max_items
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        """Of those below, which the loop fills and the thread empties."""
        self._waiting: list[Ask] = []
        self._waiting_tokens = 0
        self._next: list[Ask] = []
        self._calls: deque[tuple[Callable[[], Any], asyncio.Future[Any]]] = deque()
        self._works = False
        self._readying = False
        self._ages = itertools.count()
        self._running: Sequence[Ask] = ()
        self._thread = ThreadPoolExecutor(1, "engine", begin)
        self._work: asyncio.Future[None] | None = None
        self._failed = 0
        self._is_closed = False
        self.broken = ""
        """Why no pass will ever succeed again; empty while they do."""
        self.passes = 0
        self.real_tokens = 0
        self.padded_tokens = 0

    async def close(self) -> None:
        """Ends; what waits is Unavailable. A pass that runs is waited for."""
        with self._lock:
            self._is_closed = True
            left = [*self._running, *self._next, *self._waiting]
            futures = [ask.answer for ask in left] + [made for _call, made in self._calls]
            self._waiting.clear()
            self._next = []
            self._calls.clear()
        for future in futures:
            if not future.done():
                future.set_exception(Unavailable(STOPPED))
        if self._work is not None:
            await asyncio.wait((self._work,))
        await asyncio.to_thread(self._thread.shutdown)

    async def ask(self, kind: str, ids: Sequence[int], about: Any, extra_tokens: int = 0) -> Any:
        """The answer about a sequence. One whose caller is cancelled is not run any more.

        Raises:
            MemoryError: it does not fit into the device's memory, all alone.
            Unavailable: the batcher was closed.
        """
        if self._is_closed:
            raise Unavailable(STOPPED)
        answer = self._loop.create_future()
        ask = Ask(kind, ids, about, answer, URGENCY.get(), len(ids) + extra_tokens)
        ask.age = next(self._ages)
        with self._lock:
            self._waiting.append(ask)
            self._waiting_tokens += ask.tokens
        self._wake()
        if not self._readying and self._lacks_next:
            self._readying = True
            self._loop.call_soon(self._make_ready)
        return await answer

    async def in_thread(self, call: Callable[[], Any]) -> Any:
        """What `call` returns, run between two passes. Raises Unavailable where it was closed."""
        if self._is_closed:
            raise Unavailable(STOPPED)
        made = self._loop.create_future()
        with self._lock:
            self._calls.append((call, made))
        self._wake()
        return await made

    def _wake(self) -> None:
        if not self._works:
            self._works = True
            self._loop.call_soon(self._begin)  # what comes in the same tick goes along

    def _make_ready(self) -> None:
        """Makes the batch after the one that runs, if there is enough for a full one."""
        self._readying = False
        if self._lacks_next:
            with self._lock:
                self._next = self._next or self._take()

    @property
    def _lacks_next(self) -> bool:
        return bool(self._running) and not self._next and self._waiting_tokens >= self._budget

    def _begin(self) -> None:
        if self._is_closed:
            return
        self._work = self._loop.run_in_executor(self._thread, self._serve)

    # ---- in the thread -------------------------------------------------------------------------

    def _serve(self) -> None:
        """Runs what waits until nothing does."""
        while True:
            with self._lock:
                call = self._calls.popleft() if self._calls else None
                batch: list[Ask] = []
                if call is None:
                    batch = [ask for ask in self._next if not ask.answer.done()] or self._take()
                    self._next = []
                self._running = batch
                if self._is_closed or (call is None and not batch):
                    self._works = False
                    return
            if call is not None:
                self._tell([call[1]], [_returned(call[0])])
            else:
                self._tell([ask.answer for ask in batch], self._passed(batch))

    def _tell(self, futures: Sequence[asyncio.Future[Any]], answers: Sequence[Any]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits
            self._loop.call_soon_threadsafe(self._told, futures, answers)

    def _told(self, futures: Sequence[asyncio.Future[Any]], answers: Sequence[Any]) -> None:
        """In the loop."""
        self._make_ready()
        for future, answer in zip(futures, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    def _take(self) -> list[Ask]:
        """The next batch: the most urgent ask, and others of its kind and about its length."""
        # As a whole: what waits is nearly in order, and a sort of that is one pass in C.
        waiting = [ask for ask in self._waiting if not ask.answer.done()]  # without the cancelled
        waiting.sort(key=_ORDER)
        batch: list[Ask] = []
        if waiting:
            batch = alike(waiting, self._budget, self._max_items)
            taken = {id(ask) for ask in batch}
            waiting = [ask for ask in waiting if id(ask) not in taken]
        self._waiting = waiting
        self._waiting_tokens = sum(map(_TOKENS, waiting))
        return batch

    def _passed(self, batch: Sequence[Ask]) -> list[Any]:
        """Answers of a batch. One that fails is halved: what is one's fault is not the others'."""
        try:
            answers = self._pass(batch[0].kind, batch)
        except PassOutOfMemory as error:
            if len(batch) == 1:
                return [MemoryError(str(error))]
            widest = max(ask.tokens for ask in batch) * len(batch)
            # The next ones need not find it out again.
            self._budget = max(widest // 2, max(ask.tokens for ask in batch))
            _log.warning("out of memory with %d padded tokens; now %d", widest, self._budget)
            return self._halves(batch)
        except Exception as error:  # noqa: BLE001 - told to whoever asked
            if len(batch) > 1 and not self.broken:
                return self._halves(batch)
            _log.exception("a forward pass failed")
            self._failed += 1
            if self._failed >= MAX_FAILED:
                self.broken = f"{self._failed} forward passes in a row failed, the last: {error}"
            return [error] * len(batch)
        self._failed = 0
        self.passes += 1
        self.real_tokens += sum(len(ask.ids) for ask in batch)
        self.padded_tokens += max(len(ask.ids) for ask in batch) * len(batch)
        return answers

    def _halves(self, batch: Sequence[Ask]) -> list[Any]:
        middle = len(batch) // 2
        return [*self._passed(batch[:middle]), *self._passed(batch[middle:])]


def _returned(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:  # noqa: BLE001 - told to whoever asked
        return error


def alike(waiting: Sequence[Ask], budget_tokens: int, max_items: int) -> list[Ask]:
    """The first of what waits by urgency, and others of its kind that a pass can take with it.

    Those of about its length, by urgency, so that a call ends before those after it; where they
    are too few, shorter ones, the longest of them first. The longest times their number is within
    the budget, but for a single one.
    """
    first = waiting[0]
    low, high = first.tokens / NEAR, first.tokens * NEAR
    batch, widest = [first], first.tokens
    shorter: list[Ask] = []
    for ask in waiting[1:]:
        if ask.kind != first.kind or ask.tokens > high:
            continue
        if ask.tokens < low:
            shorter.append(ask)
            continue
        wide = max(widest, ask.tokens)
        if wide * (len(batch) + 1) <= budget_tokens and len(batch) < max_items:
            batch.append(ask)
            widest = wide
        elif widest * (len(batch) + 1) > budget_tokens or len(batch) >= max_items:
            return batch  # no other one fits either
    room = min(budget_tokens // widest, max_items) - len(batch)
    if room > 0:
        batch += sorted(shorter, key=_TOKENS, reverse=True)[:room]
    return batch
