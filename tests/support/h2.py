"""An HTTP/2 client that can be as rude as a test wants, but within the server's windows."""

from __future__ import annotations

import asyncio
import struct
from collections import Counter
from contextlib import suppress
from typing import Self

DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS = 1, 4
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_LARGEST = 2**31 - 1
_STREAM_WINDOW = 4
_FIRST_WINDOW = 65_535


def frame(kind: int, flags: int, stream: int, body: bytes = b"") -> bytes:
    """One frame."""
    return len(body).to_bytes(3, "big") + struct.pack(">BBI", kind, flags, stream) + body


def head(path: str, timeout_s: int = 300) -> bytes:
    """The headers of a gRPC call, in no table."""

    def text(value: str) -> bytes:
        return bytes([len(value)]) + value.encode()

    fields = {
        ":path": path,
        ":authority": "test",
        "content-type": "application/grpc",
        "te": "trailers",
        "grpc-timeout": f"{timeout_s}S",
    }
    # `:method: POST`, `:scheme: http` of the static table; the others as literals, never indexed.
    return b"\x83\x86" + b"".join(b"\x10" + text(k) + text(v) for k, v in fields.items())


class Rude:
    """One connection. `ended`: the streams that the server has ended or reset, and how often."""

    def __init__(self, port: int, *, reads_data: bool = True) -> None:
        self._port = port
        self._reads_data = reads_data
        self.ended: Counter[int] = Counter()
        self.data: Counter[int] = Counter()
        """Bytes of answers by stream."""
        self.closed = asyncio.Event()
        self._windows = {0: _FIRST_WINDOW}
        self._first_window = _FIRST_WINDOW
        self._room = asyncio.Event()
        self._next = 1

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        settings = struct.pack(">HI", _STREAM_WINDOW, _LARGEST if self._reads_data else 1000)
        self._writer.write(_PREFACE + frame(SETTINGS, 0, 0, settings))
        if self._reads_data:
            more = struct.pack(">I", _LARGEST - _FIRST_WINDOW)
            self._writer.write(frame(WINDOW, 0, 0, more))
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._reading.cancel()
        self._writer.transport.abort()

    def begin(self, path: str, *, timeout_s: int = 300) -> int:
        """Sends the headers of a call; returns its stream."""
        stream, self._next = self._next, self._next + 2
        self._windows[stream] = self._first_window
        self._writer.write(frame(HEADERS, END_HEADERS, stream, head(path, timeout_s)))
        return stream

    def reset(self, stream: int) -> None:
        """Takes a call back."""
        self._writer.write(frame(RESET, 0, stream, struct.pack(">I", 8)))

    async def send(self, stream: int, data: bytes, *, end: bool = False) -> None:
        """Sends bytes of a call as the server's windows allow. Raises ConnectionError."""
        at = 0
        while at < len(data):
            size = min(16_384, len(data) - at, self._windows[0], self._windows[stream])
            if size <= 0:
                self._room.clear()
                if self.closed.is_set():
                    raise ConnectionError("the server hung up")
                await self._room.wait()
                continue
            last = end and at + size == len(data)
            self._writer.write(frame(DATA, END_STREAM * last, stream, data[at : at + size]))
            self._windows[0] -= size
            self._windows[stream] -= size
            at += size
            await self._writer.drain()

    async def message(self, stream: int, message: bytes, *, of: int | None = None) -> None:
        """Sends a message; `of`: one that claims so many bytes, and ends before they have come."""
        size = len(message) if of is None else of
        await self.send(stream, struct.pack(">BI", 0, size) + message, end=of is None)

    async def _read(self) -> None:
        with suppress(OSError, EOFError):
            while True:
                start = await self._reader.readexactly(9)
                body = await self._reader.readexactly(int.from_bytes(start[:3], "big"))
                self._take(start[3], start[4], int.from_bytes(start[5:], "big") & _LARGEST, body)
        self.closed.set()
        self._room.set()

    def _take(self, kind: int, flags: int, stream: int, body: bytes) -> None:
        if kind == SETTINGS and not flags & END_STREAM:
            for at in range(0, len(body), 6):
                key, value = struct.unpack_from(">HI", body, at)
                if key == _STREAM_WINDOW:
                    more, self._first_window = value - self._first_window, value
                    for open_stream in self._windows:
                        self._windows[open_stream] += more * (open_stream > 0)
            self._writer.write(frame(SETTINGS, END_STREAM, 0))
        elif kind == PING and not flags & END_STREAM:
            self._writer.write(frame(PING, END_STREAM, 0, body))
        elif kind == WINDOW and stream in self._windows:
            self._windows[stream] += int.from_bytes(body, "big") & _LARGEST
        elif kind == DATA:
            self.data[stream] += len(body)
        if kind == RESET or (kind in (DATA, HEADERS) and flags & END_STREAM):
            self.ended[stream] += 1
        self._room.set()
