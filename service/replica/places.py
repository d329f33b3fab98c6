"""Places for calls that run side by side, given to what is most urgent."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
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

    async def acquire(self, urgency: Urgency, until_ns: int) -> bool:
        """Takes a place; False where there was none until then (`time.monotonic_ns()`).

        Whatever runs in this context has its urgency.
        """
        left_s = (until_ns - time.monotonic_ns()) / 1e9
        if left_s <= 0:
            return False
        URGENCY.set(urgency)
        if self.free > 0:
            self.free -= 1
            return True
        given = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (urgency, next(self._ages), given))
        try:
            # Not `timeout`, which cancels the task: who asks whether it was must be told no.
            await asyncio.wait((given,), timeout=left_s)
        except asyncio.CancelledError:
            if not given.cancel():
                self.release()  # it came while this was cancelled
            raise
        return not given.cancel()  # True: it has not come

    def release(self) -> None:
        """Gives a place back: to the most urgent one that waits a moment later.

        Whoever gives it back may have something more urgent than what waits now.
        """
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._give)
        else:
            self.free += 1

    def _give(self) -> None:
        while self._waiting:
            _urgency, _age, given = heapq.heappop(self._waiting)
            if not given.done():
                given.set_result(None)
                return
        self.free += 1
