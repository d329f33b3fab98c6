"""Who may come in: items and bytes in flight are bounded; what is over is refused at once."""

from __future__ import annotations

from rewardplane.config.settings import Limits
from rewardplane.wire.errors import NotReady, Overloaded

MIN_RETRY_S = 0.1
MAX_RETRY_S = 10.0


class Admission:
    """The places of one gateway. `closed` is set while it drains."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.items = 0
        self.bytes = 0
        self.calls = 0
        self.closed = False

    def enter(self, count: int, backlog_s: float) -> None:
        """Takes the place of a message, before it is parsed; `leave` gives it back.

        Raises:
            Overloaded: there is no room for so many bytes now.
            NotReady: the gateway drains.
        """
        if self.closed:
            raise NotReady("the gateway is stopping; another one takes the call")
        if self.bytes + count > self.limits.max_in_flight_bytes and self.calls:
            limit = self.limits.max_in_flight_bytes
            raise overloaded(f"{self.bytes} of {limit} bytes are in flight", backlog_s)
        self.bytes += count
        self.calls += 1

    def take(self, items: int, backlog_s: float) -> None:
        """Takes the places of the items of a call that has entered.

        Raises:
            Overloaded: there is no room for so many items now.
        """
        if self.items and self.items + items > self.limits.max_in_flight_items:
            limit = self.limits.max_in_flight_items
            raise overloaded(f"{self.items} of {limit} items are in flight", backlog_s)
        self.items += items

    def leave(self, items: int, count: int) -> None:
        """Gives the places of a call back; `items` 0: it took none."""
        self.items -= items
        self.bytes -= count
        self.calls -= 1


def overloaded(why: str, backlog_s: float) -> Overloaded:
    """The refusal of a call that may come again when a backlog of so many seconds is done."""
    retry_s = round(min(MAX_RETRY_S, max(MIN_RETRY_S, backlog_s)), 1)
    return Overloaded(f"no room: {why}; try again in {retry_s:.1f} s", retry_after_s=retry_s)
