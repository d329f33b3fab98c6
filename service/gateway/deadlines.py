"""When calls must be answered: one timer for all of them, not one each."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable
from typing import Generic, TypeVar

TICK_S = 0.01
"""How late a deadline may be told."""

_T = TypeVar("_T")


class Deadlines(Generic[_T]):
    """Tells each of what was added when its time is over. Owned by one event loop."""

    def __init__(self, expire: Callable[[_T], None]) -> None:
        self._expire = expire
        self._ticks: dict[int, set[_T]] = {}
        self._order: list[int] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, what: _T, at_s: float) -> None:
        """`expire(what)` is called at `at_s` (`time.monotonic()`), unless it is removed before."""
        tick = int(at_s / TICK_S) + 1
        there = self._ticks.get(tick)
        if there is not None:
            there.add(what)
            return
        self._ticks[tick] = {what}
        heapq.heappush(self._order, tick)
        if self._order[0] == tick:
            self._arm()

    def remove(self, what: _T, at_s: float) -> None:
        """Forgets what was added with this time."""
        there = self._ticks.get(int(at_s / TICK_S) + 1)
        if there is not None:
            there.discard(what)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if self._order:
            left_s = self._order[0] * TICK_S - time.monotonic()
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, left_s), self._tick)

    def _tick(self) -> None:
        now = time.monotonic() / TICK_S
        try:
            while self._order and self._order[0] <= now:
                there = self._ticks[self._order[0]]
                while there:
                    self._expire(there.pop())
                del self._ticks[heapq.heappop(self._order)]
        finally:  # whatever one of them raises, the others are told
            self._arm()
