"""Places in an engine, given to what is most urgent."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from contextvars import ContextVar

AT_ONCE = 32
"""Places that are given in one turn of the event loop: of a thousand items that come together, the
first are to be in the engine while the others begin."""

Urgency = tuple[int, int]
"""When the call must be answered (`time.monotonic_ns()`), and how many items its group lacks."""

URGENCY: ContextVar[Urgency] = ContextVar("urgency", default=(2**63, 0))
"""Of the item that runs in this context: engines order by it what waits in them."""


class Places:
    """A bounded number of places; who waits gets one by urgency, then by age."""

    def __init__(self, count: int) -> None:
        self.free = count
        self._left = AT_ONCE
        """Of those that may be given in this turn of the loop."""
        self._waiting: list[tuple[Urgency, int, asyncio.Future[None]]] = []
        self._ages = itertools.count()

    async def acquire(self, urgency: Urgency) -> None:
        """Waits for a place and takes it; whatever runs in this context has its urgency."""
        URGENCY.set(urgency)
        if self.free > 0 and self._left > 0:
            self._take()
            return
        given = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (urgency, next(self._ages), given))
        try:
            await given
        except asyncio.CancelledError:
            if given.done() and not given.cancelled():
                self.release()  # it came while this was cancelled
            raise

    def release(self) -> None:
        """Gives a place back: to the most urgent one that waits a moment later.

        Whoever gives it back may have something more urgent than what waits now.
        """
        asyncio.get_running_loop().call_soon(self._released)

    def _released(self) -> None:
        self.free += 1
        self._give()

    def _take(self) -> None:
        if self._left == AT_ONCE:
            asyncio.get_running_loop().call_soon(self._next_turn)
        self._left -= 1
        self.free -= 1

    def _next_turn(self) -> None:
        self._left = AT_ONCE
        self._give()

    def _give(self) -> None:
        while self._waiting and self.free > 0 and self._left > 0:
            _urgency, _age, given = heapq.heappop(self._waiting)
            if not given.done():
                self._take()
                given.set_result(None)
