"""Places in an engine, given to what is most urgent."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from contextvars import ContextVar

Urgency = tuple[int, int]
"""When the call must be answered (`time.monotonic_ns()`), and how many items its group lacks."""

URGENCY: ContextVar[Urgency] = ContextVar("urgency", default=(2**63, 0))
"""Of the item that runs in this context: engines order by it what waits in them."""


class Places:
    """A bounded number of places; who waits gets one by urgency, then by age."""

    def __init__(self, count: int) -> None:
        self.free = count
        self._waiting: list[tuple[Urgency, int, asyncio.Future[None]]] = []
        self._ages = itertools.count()

    async def acquire(self, urgency: Urgency) -> None:
        """Waits for a place and takes it; whatever runs in this context has its urgency."""
        URGENCY.set(urgency)
        if self.free > 0:
            self.free -= 1
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
        asyncio.get_running_loop().call_soon(self._give)

    def _give(self) -> None:
        while self._waiting:
            _urgency, _age, given = heapq.heappop(self._waiting)
            if not given.done():
                given.set_result(None)
                return
        self.free += 1
