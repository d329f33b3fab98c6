"""Whose turn it is: a lock that can also be taken without waiting."""

from __future__ import annotations

import asyncio
from collections import deque


class Turn:
    """Taken by one at a time; those who wait get it in the order that they came in."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.taken = False

    def try_take(self) -> bool:
        """Takes it if it is free."""
        if self.taken:
            return False
        self.taken = True
        return True

    async def take(self) -> None:
        """Waits for it and takes it."""
        if self.try_take():
            return
        given = asyncio.get_running_loop().create_future()
        self._waiting.append(given)
        try:
            await given
        except asyncio.CancelledError:
            if given.done() and not given.cancelled():
                self.give()  # it came while this was cancelled
            raise

    def give(self) -> None:
        """Gives it to the next who waits."""
        while self._waiting:
            given = self._waiting.popleft()
            if not given.done():
                given.set_result(None)
                return
        self.taken = False
