"""A client that puts thousands of calls on one HTTP/2 connection faster than gRPC's Python does.

`grpc.aio` needs over 100 µs to make one call; here a call is 15 bytes of prepared headers and its
message, so 20,000 of them leave within 100 ms where the server's windows allow it. It reads only
what it must: settings, windows, pings, and the data of the answers (RFC 9113; headers by RFC 7541).
"""

from __future__ import annotations

import selectors
import socket
import struct
import time
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_ACK = _END_STREAM = 1
_END_HEADERS = 4
_MAX_STREAMS, _STREAM_WINDOW = 3, 4
_WINDOW_SIZE = 2**31 - 1
_FIRST_WINDOW = 65_535
_CHUNK = 1 << 20
_BATCH = 64


@dataclass
class Answers:
    """What came of a flood, by call; times in seconds. A call without bytes got no answer."""

    messages: list[bytes]
    latencies_s: list[float]
    sending_s: float
    """From the first byte to the last that the kernel took; 0 when it did not take all."""
    max_streams: int
    """The most streams that the server allows at once."""


@dataclass
class _Connection:
    """The state of the connection that the server changes."""

    window: int = _FIRST_WINDOW
    max_streams: int = 2**31 - 1
    out: bytearray = field(default_factory=bytearray)
    parts: defaultdict[int, bytearray] = field(default_factory=lambda: defaultdict(bytearray))
    ended: dict[int, float] = field(default_factory=dict)
    closed: bool = False

    def take(self, kind: int, flags: int, stream: int, body: bytes) -> None:
        """One frame from the server."""
        if kind == _DATA:
            self.parts[stream] += body
        elif kind == _SETTINGS and not flags & _ACK:
            for at in range(0, len(body), 6):
                key, value = struct.unpack_from(">HI", body, at)
                if key == _MAX_STREAMS:
                    self.max_streams = value
            self.out += _frame(_SETTINGS, _ACK, 0, b"")
        elif kind == _PING and not flags & _ACK:
            self.out += _frame(_PING, _ACK, 0, body)
        elif kind == _WINDOW and stream == 0:
            self.window += struct.unpack(">I", body)[0]
        elif kind == _GOAWAY:
            self.closed = True
        if kind == _RESET or (kind in (_DATA, _HEADERS) and flags & _END_STREAM):
            self.ended[stream] = time.perf_counter()


def flood(port: int, path: str, messages: Sequence[bytes], deadline_s: int) -> Answers:
    """Sends one unary call per message on one connection, as fast as the server lets it.

    Returns when each call has ended, the connection is lost, or the deadline is over.
    """
    first, later = _header_blocks(path, f"127.0.0.1:{port}", f"{deadline_s}S")
    settings = struct.pack(">HI", _STREAM_WINDOW, _WINDOW_SIZE)
    more = struct.pack(">I", _WINDOW_SIZE - _FIRST_WINDOW)
    state = _Connection()
    state.out += _PREFACE + _frame(_SETTINGS, 0, 0, settings) + _frame(_WINDOW, 0, 0, more)
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
        sock.setblocking(False)
        with selectors.DefaultSelector() as selector:
            selector.register(sock, selectors.EVENT_READ | selectors.EVENT_WRITE)
            received = bytearray()
            _exchange(sock, selector, state, received, until=time.perf_counter() + 0.5)
            batches = _batches(messages, first, later)
            begin = time.perf_counter()
            sent: list[float] = []
            sending_s = 0.0
            while len(state.ended) < len(messages) and not state.closed:
                while batches and len(state.out) < _CHUNK and state.window >= batches[0].cost:
                    batch = batches.popleft()
                    state.window -= batch.cost
                    state.out += batch.frames
                    sent += [time.perf_counter()] * batch.calls
                _exchange(sock, selector, state, received)
                if not sending_s and len(sent) == len(messages) and not state.out:
                    sending_s = time.perf_counter() - begin
                if time.perf_counter() > begin + deadline_s:
                    break
    streams = range(1, 2 * len(messages), 2)
    return Answers(
        [bytes(state.parts[s][5:]) for s in streams],
        [state.ended[s] - t for s, t in zip(streams, sent, strict=False) if s in state.ended],
        sending_s,
        state.max_streams,
    )


@dataclass(frozen=True, slots=True)
class _Batch:
    """Calls that are written together: their frames, and what they take of the server's window."""

    frames: bytes
    cost: int
    calls: int


def _batches(messages: Sequence[bytes], first: bytes, later: bytes) -> deque[_Batch]:
    frames = [
        _frame(_HEADERS, _END_HEADERS, 2 * i + 1, later if i else first)
        + _frame(_DATA, _END_STREAM, 2 * i + 1, struct.pack(">BI", 0, len(m)) + m)
        for i, m in enumerate(messages)
    ]
    costs = [len(m) + 5 for m in messages]
    starts = range(0, len(messages), _BATCH)
    return deque(
        _Batch(
            b"".join(frames[at : at + _BATCH]),
            sum(costs[at : at + _BATCH]),
            len(costs[at : at + _BATCH]),
        )
        for at in starts
    )


def _exchange(
    sock: socket.socket,
    selector: selectors.BaseSelector,
    state: _Connection,
    received: bytearray,
    until: float = 0.0,
) -> None:
    """Writes what waits and reads what came; with `until`, again and again up to that time."""
    while True:
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if state.out else 0)
        selector.modify(sock, wanted)
        for _key, events in selector.select(0.05):
            if events & selectors.EVENT_WRITE:
                del state.out[: sock.send(state.out)]
            if events & selectors.EVENT_READ:
                data = sock.recv(_CHUNK)
                state.closed |= not data
                received += data
                _frames(received, state)
        if time.perf_counter() >= until or state.closed:
            return


def _frames(received: bytearray, state: _Connection) -> None:
    at = 0
    while len(received) >= at + 9:
        length = int.from_bytes(received[at : at + 3], "big")
        if len(received) < at + 9 + length:
            break
        kind, flags = received[at + 3], received[at + 4]
        stream = int.from_bytes(received[at + 5 : at + 9], "big") & 0x7FFFFFFF
        state.take(kind, flags, stream, bytes(received[at + 9 : at + 9 + length]))
        at += 9 + length
    del received[:at]


def _frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "big") + struct.pack(">BBI", kind, flags, stream) + body


def _header_blocks(path: str, authority: str, timeout: str) -> tuple[bytes, bytes]:
    """The headers of the first call, which the server is to remember, and those of all others."""

    def text(value: str) -> bytes:
        return bytes([len(value)]) + value.encode()

    post_http = b"\x83\x86"  # static table: `:method: POST`, `:scheme: http`
    remembered = (
        b"\x44" + text(path),  # static name 4, `:path`
        b"\x41" + text(authority),  # static name 1, `:authority`
        b"\x5f" + text("application/grpc"),  # static name 31, `content-type`
        b"\x40" + text("te") + text("trailers"),
        b"\x40" + text("grpc-timeout") + text(timeout),
    )
    # The dynamic table begins at 62 with what was added last.
    again = bytes(0x80 | 62 + i for i in reversed(range(len(remembered))))
    return post_http + b"".join(remembered), post_http + again
