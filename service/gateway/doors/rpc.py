"""What stands between a door and the gateway: remote calls, and what may be said to each.

A door calls `Handle` with the calls that came, in the gateway's event loop. The gateway answers
each once, at once or later, by `answer`, `fail`, or `send` as often as it likes and then `finish`.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import grpc
from rewardplane.access.caller import Caller

Metadata = Sequence[tuple[str, str | bytes]]
"""Keys in lower case; values of keys that end with `-bin` are bytes, all others text."""


class Rpc(ABC):
    """One remote call. All its methods belong to the gateway's event loop.

    What is said to a call that has ended is dropped: its caller has left, or has its answer.
    """

    __slots__ = (
        "caller",
        "deadline_s",
        "lasting",
        "message",
        "metadata",
        "method",
        "on_cancel",
        "peer",
    )

    def __init__(
        self, method: str, message: bytes, metadata: Metadata, deadline_s: float | None, peer: str
    ) -> None:
        self.method = method
        """The full path: "/package.Service/Method"."""
        self.message = message
        self.metadata = metadata
        self.deadline_s = deadline_s
        """The client's deadline in terms of `time.monotonic()`. None: it set none."""
        self.peer = peer
        self.on_cancel: Callable[[], object] | None = None
        """Called once when the call ends before its answer: cancelled by its client, its deadline
        passed, its connection lost, or cut by the door when it closes. Not after an answer."""
        self.caller: Caller | None = None
        """Who calls, once the gate has said it. None: nobody asks."""
        self.lasting = False
        """Whether the call lasts as long as the door: draining does not wait for it."""

    def remaining_s(self) -> float | None:
        """The time until the client's deadline, at least 0. None: it set none."""
        if self.deadline_s is None:
            return None
        return max(0.0, self.deadline_s - time.monotonic())

    def certificate(self) -> str:
        """The name in the client's certificate; empty: it has none."""
        return ""

    @abstractmethod
    def answer(self, message: bytes, trailers: Metadata = ()) -> None:
        """Ends a unary call with its answer."""

    @abstractmethod
    def fail(self, code: grpc.StatusCode, text: str, trailers: Metadata = ()) -> None:
        """Ends a call of either kind with a status other than OK."""

    @abstractmethod
    async def send(self, message: bytes, by_s: float | None = None) -> bool:
        """Sends one message of a stream, when its reader has room for it.

        Returns whether it was taken; False: the caller is gone. `by_s` is in terms of
        `time.monotonic()`.

        Raises:
            TimeoutError: the reader had no room until `by_s`; the call is still open.
        """

    @abstractmethod
    def finish(self, trailers: Metadata = ()) -> None:
        """Ends a stream whose messages have all been sent."""

    def cancelled(self) -> None:
        """Tells the gateway that the call is over; for the door."""
        told, self.on_cancel = self.on_cancel, None
        if told is not None:
            told()


Handle = Callable[[Sequence[Rpc]], None]
"""Takes a batch of calls in the event loop. Must not raise and must not block; it sets `on_cancel`
of each call that it does not answer at once."""
