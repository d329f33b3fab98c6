"""How long the gateway's event loop is held: everybody waits for as long."""

from __future__ import annotations

import asyncio
import time

TICK_S = 0.05
WINDOW_S = 15.0


class LoopLag:
    """Measures by how much a timer is late. `watch` runs until it is cancelled."""

    def __init__(self) -> None:
        self._now_s = self._before_s = 0.0

    @property
    def largest_s(self) -> float:
        """The largest lag of the last 15 to 30 seconds, however often it is asked for."""
        return max(self._now_s, self._before_s)

    async def watch(self) -> None:
        """Looks again and again."""
        until_s = time.monotonic() + WINDOW_S
        while True:
            due_s = time.monotonic() + TICK_S
            await asyncio.sleep(TICK_S)
            now_s = time.monotonic()
            self._now_s = max(self._now_s, now_s - due_s)
            if now_s >= until_s:
                self._before_s, self._now_s = self._now_s, 0.0
                until_s = now_s + WINDOW_S
