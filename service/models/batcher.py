"""Packs what waits for a forward pass into batches: by urgency, by length, within a token budget.

Padding is work for nothing: batches as they come waste three quarters of a pass, batches of texts
of one length nearly none. The pass itself runs in a thread of its own; the event loop goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import math
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from rewardplane.replica.places import URGENCY, Urgency
from rewardplane.rewards.types import Unavailable

_log = logging.getLogger(__name__)

STOPPED = "the model was stopped"
MAX_FAILED = 8
"""So many passes over one item each that fail in a row: it is the device, not the items."""
HORIZON = 16
"""From how many passes' worth of what is most urgent the others of a batch are chosen. More of it
is less padding, and a longer wait of a small urgent call behind what is not."""
PASS_SHARE = 64
"""What a pass costs by itself, whatever it holds: about such a part of one with all its budget."""


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
        self._thread = ThreadPoolExecutor(1, "engine")
        self._first = begin
        self._work: asyncio.Future[None] | None = None
        self._failed = 0
        self._over = ""
        """Why nothing is run any more; empty while it is."""
        self.broken = ""
        """Why no pass will ever succeed again; empty while they do."""
        self.passes = 0
        self.real_tokens = 0
        self.padded_tokens = 0

    async def close(self) -> None:
        """Ends; what waits is Unavailable. A pass that runs is waited for."""
        self._end(self._over or STOPPED)
        if self._work is not None:
            await asyncio.wait((self._work,))
        await asyncio.to_thread(self._thread.shutdown)

    async def ask(self, kind: str, ids: Sequence[int], about: Any, extra_tokens: int = 0) -> Any:
        """The answer about a sequence. One whose caller is cancelled is not run any more.

        Raises:
            MemoryError: it does not fit into the device's memory, all alone.
            Unavailable: the batcher was closed, or is broken.
        """
        if self._over:
            raise Unavailable(self._over)
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
        """What `call` returns, run between two passes. Raises Unavailable as `ask`."""
        if self._over:
            raise Unavailable(self._over)
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
        if not self._over:
            self._work = self._loop.run_in_executor(self._thread, self._serve)

    def _end(self, why: str) -> None:
        """Runs nothing any more; who waits is told why."""
        with self._lock:
            self._over = why
            left = [*self._running, *self._next, *self._waiting]
            futures = [ask.answer for ask in left] + [made for _call, made in self._calls]
            self._waiting.clear()
            self._next = []
            self._calls.clear()
        settle(futures, [Unavailable(why) for _ in futures])

    def _break(self, error: BaseException) -> None:
        """The thread ended by a fault of ours or of a library, and nothing would run what waits."""
        _log.critical("the engine's thread ended", exc_info=error)
        # Before anybody is told: what fails with the engine is run again elsewhere.
        self.broken = self.broken or f"the engine's thread ended: {error!r}"
        self._end(self.broken)

    # ---- in the thread -------------------------------------------------------------------------

    def _serve(self) -> None:
        try:
            first, self._first = self._first, None
            if first is not None:
                first()
            self._serve_all()
        except BaseException as error:  # noqa: BLE001 - else all that comes would wait for ever
            with contextlib.suppress(RuntimeError):  # as in `_tell`
                self._loop.call_soon_threadsafe(self._break, error)

    def _serve_all(self) -> None:
        """Runs what waits until nothing does."""
        while True:
            with self._lock:
                call = self._calls.popleft() if self._calls else None
                batch: list[Ask] = []
                if call is None:
                    batch = [ask for ask in self._next if not ask.answer.done()] or self._take()
                    self._next = []
                self._running = batch
                if self._over or (call is None and not batch):
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
        settle(futures, answers)

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
            answers = self._answers(batch)
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

    def _answers(self, batch: Sequence[Ask]) -> list[Any]:
        answers = self._pass(batch[0].kind, batch)
        if len(answers) != len(batch):  # whose they are cannot be told
            raise RuntimeError(f"{len(answers)} answers to {len(batch)} asks")
        return answers

    def _halves(self, batch: Sequence[Ask]) -> list[Any]:
        middle = len(batch) // 2
        return [*self._passed(batch[:middle]), *self._passed(batch[middle:])]


def settle(futures: Iterable[asyncio.Future[Any]], answers: Iterable[Any]) -> None:
    """Tells each its answer, or raises an exception in the place of one, where anybody waits."""
    for future, answer in zip(futures, answers, strict=True):
        if future.done():
            continue
        if not isinstance(answer, BaseException):
            future.set_result(answer)
        elif isinstance(answer, StopIteration) or not isinstance(answer, Exception):
            # No future takes the one; the others would end or cancel who waits.
            future.set_exception(RuntimeError(repr(answer)))
        else:
            future.set_exception(answer)


def _returned(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:  # noqa: BLE001 - told to whoever asked
        return error


def alike(waiting: Sequence[Ask], budget_tokens: int, max_items: int) -> list[Ask]:
    """The first of what waits by urgency, and others of its kind that a pass can take with it.

    Of the next `HORIZON` passes' worth by urgency, those next to its length: the run of neighbours
    with the least padding for what it holds. The longest times their number is within the budget,
    but for a single one.
    """
    first = waiting[0]
    ahead: list[Ask] = []
    tokens = 0
    for ask in waiting:
        if ask.kind == first.kind:
            ahead.append(ask)
            tokens += ask.tokens
            if tokens >= HORIZON * budget_tokens:
                break
    ahead.sort(key=_TOKENS)  # of one length, the most urgent stays the first
    sums = [0, *itertools.accumulate(map(_TOKENS, ahead))]
    at = ahead.index(first)
    chosen, least = ahead[at : at + 1], math.inf
    for end in range(at + 1, len(ahead) + 1):
        widest = ahead[end - 1].tokens
        begin = max(0, end - max(1, min(budget_tokens // max(1, widest), max_items)))
        if begin > at:
            break
        real = sums[end] - sums[begin]
        waste = (widest * (end - begin) - real + budget_tokens / PASS_SHARE) / max(1, real)
        if waste < least:
            chosen, least = ahead[begin:end], waste
    return chosen
