"""The gate before an endpoint: first come, first served, within its limits. One per event loop."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from dataclasses import dataclass

from ..types import RateLimited


class Bucket:
    """At most `per_minute` in any minute, evenly: what a second brings may be taken at once.

    Something larger than that is let through when the bucket is full, and paid for afterwards.
    """

    def __init__(self, per_minute: float | None, level: float = math.inf) -> None:
        """`level`: what may be taken at the start; no more than a second's."""
        self._level = level
        self._at_s = -math.inf
        self.limit(per_minute, -math.inf)

    def limit(self, per_minute: float | None, now_s: float) -> None:
        """Another limit from now on; no more may be taken at once than before."""
        if self._at_s > -math.inf:
            self.wait_s(0.0, now_s)
        self._burst = math.inf if per_minute is None else max(1.0, per_minute / 60)
        rate = 0.0 if per_minute is None else max(per_minute - self._burst, per_minute / 2) / 60
        self._per_s = rate
        self._level = min(self._level, self._burst)

    def wait_s(self, amount: float, now_s: float) -> float:
        """Seconds until `amount` may be taken."""
        if self._burst == math.inf:
            return 0.0
        if self._at_s > -math.inf:
            self._level = min(self._burst, self._level + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        missing = min(amount, self._burst) - self._level
        # What was waited for to the end must not be found missing by rounding.
        return missing / self._per_s if missing > 1e-9 else 0.0

    def take(self, amount: float) -> None:
        """Takes it, whatever is there; less than nothing gives back."""
        if self._burst != math.inf:
            self._level = min(self._burst, self._level - amount)


@dataclass(slots=True, eq=False)
class _Waiter:
    future: asyncio.Future[None]
    tokens: float
    until_s: float


class Gate:
    """Lets calls through in their order: so many at a time, so many and so many tokens a minute.

    Any number may wait. Times are the event loop's.
    """

    def __init__(
        self,
        concurrency: int,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._concurrency = concurrency
        self._requests = Bucket(requests_per_minute)
        self._tokens = Bucket(tokens_per_minute)
        self._queue: deque[_Waiter] = deque()
        self._gone = 0
        self._in_flight = 0
        self._held_until_s = -math.inf
        self._leased_until_s = math.inf
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    def beside(
        cls,
        concurrency: int,
        requests_per_minute: float | None,
        tokens_per_minute: float | None,
    ) -> Gate:
        """One whose endpoint others use too: of what may be taken at once it begins with a call."""
        gate = cls(concurrency)
        gate._requests = Bucket(requests_per_minute, 1.0)
        gate._tokens = Bucket(tokens_per_minute, 0.0)
        return gate

    def limit(
        self,
        concurrency: int,
        requests_per_minute: float | None,
        tokens_per_minute: float | None,
        pays: int = 0,
    ) -> None:
        """Other limits from now on; `pays`: calls that others have begun with at its expense."""
        now_s = self._loop.time()
        self._concurrency = concurrency
        self._requests.limit(requests_per_minute, now_s)
        self._requests.take(pays)
        self._tokens.limit(tokens_per_minute, now_s)
        self._pump()

    async def enter(self, tokens: float, until_s: float, *, again: bool = False) -> None:
        """Waits for its turn; `leave` must follow. `tokens` is what the call may take, a guess.

        `again`: it had its turn before, and goes ahead of those that had none.

        Raises:
            RateLimited: its turn does not come by `until_s`; told as soon as that is sure.
        """
        waiter = _Waiter(self._loop.create_future(), tokens, until_s)
        (self._queue.appendleft if again else self._queue.append)(waiter)
        self._pump()
        if waiter.future.done():
            waiter.future.result()
            return
        expiry = self._loop.call_at(until_s, self._expire, waiter) if until_s < math.inf else None
        try:
            await waiter.future
        except asyncio.CancelledError:
            if waiter.future.done() and not waiter.future.cancelled():
                if waiter.future.exception() is None:
                    self.leave(-tokens)
            else:
                self._forget()
            raise
        finally:
            if expiry is not None:
                expiry.cancel()

    def leave(self, more_tokens: float = 0.0) -> None:
        """Ends a call. `more_tokens`: how many it took beyond the guess; negative for fewer."""
        self._in_flight -= 1
        self._tokens.take(more_tokens)
        self._pump()

    def hold(self, until_s: float) -> None:
        """Lets nobody through before `until_s`, or the latest such time that was told."""
        self._held_until_s = max(self._held_until_s, until_s)

    def lease(self, until_s: float) -> None:
        """Lets nobody through from `until_s` on, unless this is told anew before or after."""
        self._leased_until_s = until_s
        self._pump()

    @property
    def in_flight(self) -> int:
        """Calls that were let through and have not ended."""
        return self._in_flight

    def stop(self) -> None:
        """Forgets its timer; for when no call will come any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _pump(self) -> None:
        now_s = self._loop.time()
        if now_s >= self._leased_until_s:
            return
        while self._queue and self._in_flight < self._concurrency:
            waiter = self._queue[0]
            if waiter.future.done():
                self._queue.popleft()
                self._gone -= 1
                continue
            open_s = self._opens_at(waiter.tokens, now_s)
            if open_s > waiter.until_s:
                self._queue.popleft()
                waiter.future.set_exception(
                    RateLimited(
                        f"the endpoint's limits leave no room for another {open_s - now_s:.1f} s"
                    )
                )
            elif open_s > now_s:
                self._wake_at(open_s)
                return
            else:
                self._queue.popleft()
                self._requests.take(1)
                self._tokens.take(waiter.tokens)
                self._in_flight += 1
                waiter.future.set_result(None)

    def _opens_at(self, tokens: float, now_s: float) -> float:
        wait_s = max(self._requests.wait_s(1, now_s), self._tokens.wait_s(tokens, now_s))
        return max(now_s + wait_s, self._held_until_s)

    def _wake_at(self, when_s: float) -> None:
        self.stop()
        self._timer = self._loop.call_at(when_s, self._woken)

    def _woken(self) -> None:
        self._timer = None
        self._pump()

    def _expire(self, waiter: _Waiter) -> None:
        if not waiter.future.done():
            now_s = self._loop.time()
            why = f"{len(self._queue)} calls wait for it"
            if now_s < self._held_until_s:
                why = "it asked to be left alone"
            elif now_s >= self._leased_until_s:
                why = "what this replica may send of it is not known"
            waiter.future.set_exception(RateLimited(f"the endpoint had no room in time: {why}"))
            self._forget()

    def _forget(self) -> None:
        """Counts a waiter that is gone; the queue is cleared of them when they are the most."""
        self._gone += 1
        if self._gone > 64 and 2 * self._gone > len(self._queue):
            self._queue = deque(w for w in self._queue if not w.future.done())
            self._gone = 0
