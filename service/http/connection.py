"""One HTTP connection with the limits that uvicorn does not set: on heads, and on slow readers.

A request's head must be there within `HEAD_S` of its first byte (of the connection, for the first
one) and have at most `MAX_HEAD_BYTES`; an answer must be taken within `SEND_S`. When the client
hangs up, the task that answers it is cancelled.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from .tls import shown_by

HEAD_S = 20.0
MAX_HEAD_BYTES = 64 * 1024
SEND_S = 60.0
TASK, GONE = "rewardplane.task", "rewardplane.gone"
"""Keys of a request's scope: the task that answers it, and whether its client has hung up."""

if TYPE_CHECKING:

    class _Protocol(asyncio.Protocol):
        app_state: dict[str, Any]
        cycle: Any
        transport: Any
else:
    _Protocol = AutoHTTPProtocol


class BoundedConnection(_Protocol):
    """uvicorn's own protocol, whichever is installed, with these limits."""

    def connection_made(self, transport: Any) -> None:
        """See `asyncio.Protocol`."""
        self.app_state = {**self.app_state, **shown_by(transport)}
        super().connection_made(transport)
        self._head_bytes = 0
        self._writing_by: asyncio.TimerHandle | None = None
        self._head_by: asyncio.TimerHandle | None = self._abort_in(HEAD_S)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        before = self.cycle
        super().data_received(data)
        cycle = self.cycle
        if cycle is not before or (cycle is not None and not cycle.response_complete):
            # A head is complete, and what follows it is a body, whose reader has limits of its own.
            self._head_bytes = 0
            if self._head_by is not None:
                self._head_by.cancel()
                self._head_by = None
            return
        self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD_BYTES:
            self.transport.write(_TOO_LARGE)
            self.transport.close()
        elif self._head_by is None:
            self._head_by = self._abort_in(HEAD_S)

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        super().pause_writing()
        self._writing_by = self._abort_in(SEND_S)

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        super().resume_writing()
        if self._writing_by is not None:
            self._writing_by.cancel()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        for timer in (self._head_by, self._writing_by):
            if timer is not None:
                timer.cancel()
        cycle = self.cycle
        super().connection_lost(exc)
        if cycle is not None and not cycle.response_complete:
            task = cycle.scope.get(TASK)
            cycle.scope[GONE] = True
            if task is not None:
                task.cancel()

    def _abort_in(self, seconds: float) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, self.transport.abort)


_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)
