"""Packs what waits for a forward pass into batches: by urgency, by length, within a token budget.

Padding is work for nothing: batches as they come waste three quarters of a pass, batches of texts
of one length nearly none. The pass itself runs in a thread of its own; the event loop goes on.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
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
WINDOW = 16
"""How many budgets' worth of the most urgent work is looked at to find texts of one length."""


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
    """The queue in front of one device. Owned by its event loop; `run_pass` runs in a thread.

    `begin` runs once in that thread, before all else.
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
        self._waiting: list[Ask] = []
        self._ages = itertools.count()
        self._waiting_tokens = 0
        self._running: deque[tuple[list[Ask], asyncio.Future[list[Any]]]] = deque()
        self._wake = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "engine", begin)
        self._loop_task: asyncio.Task[None] | None = None
        self._failed = 0
        self._is_closed = False
        self.broken = ""
        """Why no pass will ever succeed again; empty while they do."""
        self.passes = 0
        self.real_tokens = 0
        self.padded_tokens = 0

    def start(self) -> None:
        """Begins to run passes."""
        self._loop_task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Ends; what waits is Unavailable. A pass that runs is waited for."""
        self._is_closed = True
        if self._loop_task is not None:
            self._loop_task.cancel()
            await asyncio.wait((self._loop_task,))
        for ask in [
            *(a for batch, _ in self._running for a in batch),
            *self._waiting,
        ]:
            if not ask.answer.done():
                ask.answer.set_exception(Unavailable(STOPPED))
        self._waiting.clear()
        await asyncio.to_thread(self._thread.shutdown)

    async def ask(self, kind: str, ids: Sequence[int], about: Any, extra_tokens: int = 0) -> Any:
        """The answer about a sequence. One whose caller is cancelled is not run any more.

        Raises:
            MemoryError: it does not fit into the device's memory, all alone.
            Unavailable: the batcher was closed.
        """
        if self._is_closed:
            raise Unavailable(STOPPED)
        answer = asyncio.get_running_loop().create_future()
        ask = Ask(kind, ids, about, answer, URGENCY.get(), len(ids) + extra_tokens)
        ask.age = next(self._ages)
        self._waiting.append(ask)
        self._waiting_tokens += ask.tokens
        self._wake.set()
        return await answer

    async def in_thread(self, call: Callable[[], Any]) -> Any:
        """What `call` returns, run between two passes. Raises Unavailable where it was closed."""
        if self._is_closed:
            raise Unavailable(STOPPED)
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    async def _run(self) -> None:
        while True:
            self._submit()
            if not self._running:
                self._wake.clear()
                await self._wake.wait()
                await asyncio.sleep(0)  # what comes in the same tick goes along
                continue
            batch, passed = self._running[0]
            answers: list[Any]
            try:
                answers = await passed
            except Exception as error:  # noqa: BLE001 - told to whoever asked
                _log.exception("a forward pass failed")
                answers = [error] * len(batch)
            self._running.popleft()
            for ask, answer in zip(batch, answers, strict=True):
                if ask.answer.done():
                    continue
                if isinstance(answer, Exception):
                    ask.answer.set_exception(answer)
                else:
                    ask.answer.set_result(answer)

    def _submit(self) -> None:
        """Hands batches to the thread: one, and one ahead, so that the device need not wait.

        Only a full one goes ahead: what waits with few others may get company until its turn.
        """
        loop = asyncio.get_running_loop()
        while len(self._running) < 2:
            if self._running and self._waiting_tokens < self._budget:
                return
            batch = self._take()
            if not batch:
                return
            passed = loop.run_in_executor(self._thread, self._passed, batch)
            self._running.append((batch, passed))

    def _take(self) -> list[Ask]:
        """The next batch: the most urgent ask, and others of its kind and about its length."""
        # As a whole: what waits is nearly in order, and a sort of that is one pass in C.
        waiting = [ask for ask in self._waiting if not ask.answer.done()]  # without the cancelled
        waiting.sort(key=_ORDER)
        if waiting:
            kind = waiting[0].kind
            alike = [ask for ask in self._window(waiting) if ask.kind == kind]
            packed = pack(alike, self._budget, self._max_items)
            batch = next(b for b in packed if waiting[0] in b)
            taken = {id(ask) for ask in batch}
            waiting = [ask for ask in waiting if id(ask) not in taken]
        else:
            batch = []
        self._waiting = waiting
        self._waiting_tokens = sum(map(_TOKENS, waiting))
        return batch

    def _window(self, waiting: Sequence[Ask]) -> Iterator[Ask]:
        """The most urgent of those in order, `WINDOW` budgets' worth of them."""
        room = WINDOW * self._budget
        for ask in waiting:
            yield ask
            room -= ask.tokens
            if room <= 0:
                return

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


def pack(asks: Sequence[Ask], budget_tokens: int, max_items: int) -> list[list[Ask]]:
    """Batches of neighbours in length whose longest times their number is within the budget."""
    batches: list[list[Ask]] = []
    for ask in sorted(asks, key=_TOKENS, reverse=True):
        batch = batches[-1] if batches else []
        # Sorted: the first of a batch is its longest.
        if batch and len(batch) < max_items and batch[0].tokens * (len(batch) + 1) <= budget_tokens:
            batch.append(ask)
        else:
            batches.append([ask])
    return batches
