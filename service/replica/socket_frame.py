"""Frames on a socket between a gateway and a replica of the same node.

Both ends are this service's own processes of one user and one Python, so bodies are `marshal`:
the bytes of a shard are copied, not encoded.
"""

from __future__ import annotations

import asyncio
import marshal
import socket
import struct
from typing import Any, Final, cast

RUN: Final = 0
"""Gateway to replica: jobs and the backlog behind them."""
CANCEL: Final = 1
"""Gateway to replica: nobody waits for the call any more."""
ANSWER: Final = 2
"""Replica to gateway: outcomes, as `replica.Answer` with each part as a tuple."""
END: Final = 3
"""Replica to gateway: the call is over; the body says what went wrong with it, or nothing."""

_HEAD = struct.Struct("<QBQ")  # bytes of the body, kind, number of the call
NO_BODY = b""
_PEER = struct.Struct("3i")  # pid, uid, gid


class Framed(asyncio.Protocol):
    """A connection as frames. Subclasses override `received` and `lost`."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._wanted = _HEAD.size
        self._transport: asyncio.WriteTransport | None = None

    @property
    def is_open(self) -> bool:
        """Whether frames may be sent."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def peer_pid(self) -> int:
        """The process at the other end of a Unix socket, as the kernel knows it; 0: none."""
        if self._transport is None:
            return 0
        peer: socket.socket | None = self._transport.get_extra_info("socket")
        if peer is None:
            return 0
        given = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
        return int(_PEER.unpack(given)[0])

    def send(self, kind: int, call: int, body: Any = None) -> None:
        """Sends a frame; on a closed connection it goes nowhere, and `lost` has said so."""
        if self._transport is None or self._transport.is_closing():
            return
        data = NO_BODY if body is None else marshal.dumps(body)
        self._transport.writelines((_HEAD.pack(len(data), kind, call), data))

    def close(self) -> None:
        """Closes the connection."""
        if self._transport is not None:
            self._transport.abort()

    def received(self, kind: int, call: int, body: Any) -> None:
        """A frame came."""

    def lost(self) -> None:
        """The connection is no more."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As asyncio calls it."""
        self._transport = cast("asyncio.WriteTransport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """As asyncio calls it."""
        del exc
        self._transport = None
        self.lost()

    def data_received(self, data: bytes) -> None:
        """As asyncio calls it."""
        buffer = self._buffer
        buffer += data
        if len(buffer) < self._wanted:
            return
        at = 0
        view = memoryview(buffer)
        while len(buffer) - at >= _HEAD.size:
            size, kind, call = _HEAD.unpack_from(view, at)
            begin = at + _HEAD.size
            if len(buffer) - begin < size:
                break
            at = begin + size
            body = marshal.loads(view[begin:at]) if size else None  # noqa: S302 - our own process wrote it
            self.received(kind, call, body)
        left = len(buffer) - at
        self._wanted = _HEAD.size
        if left >= _HEAD.size:
            self._wanted += _HEAD.unpack_from(view, at)[0]
        view.release()
        del buffer[:at]
