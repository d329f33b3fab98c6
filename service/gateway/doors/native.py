"""The native door: HTTP/2 and gRPC on Rust threads outside the GIL (pygrpc-native).

Calls come in bursts: one thread takes what has arrived and wakes the event loop once for it, so
that a call costs an entry in a dict, no task, no timer and no future. TLS it has none: an Envoy may
stand in front (deploy/envoy). It holds a message whole before it can refuse it as too large: serve
it to clients that can be trusted so far.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import tempfile
import threading
import time
from collections import deque
from collections.abc import Collection
from pathlib import Path
from typing import Any, cast

import grpc
from pygrpc_native import EVENT_CALL, STREAM_CLOSED, STREAM_FULL, NativeGrpcFront
from rewardplane.wire.status import encode

from ..admission import overloaded
from .door import Door, DoorKind, address_of
from .probe import answers
from .reflection import reflection_handlers
from .rpc import Metadata, Rpc

_log = logging.getLogger(__name__)

MAX_BATCH = 64
"""Calls handed on in one turn of the loop, which has others to serve too."""
MAX_STREAMS = 1_000_000
"""Calls on one connection; more wait in the client, where no refusal of ours reaches them."""
MAX_METADATA_BYTES = 64 * 1024
FRONT_S = 1000.0
"""How long calls may wait until the gateway looks at them; the newest beyond it are refused.
So long because the measured cost of a call jumps: bursts of 20,000 must all be answered."""
FLUSH_S = 2.0
"""The longest that `close` waits until answers have been written to their connections."""
PROBE_EVERY_S = 2.0
PROBE_TIMEOUT_S = 5.0

_Details = tuple[Metadata, str, float | None]
_Event = tuple[int, int, int, bytes | None, object, _Details | None]


class _NativeRpc(Rpc):
    __slots__ = ("_door", "_id")

    def __init__(
        self,
        door: NativeDoor,
        number: int,
        method: str,
        message: bytes,
        metadata: Metadata,
        deadline_s: float | None,
        peer: str,
    ) -> None:
        super().__init__(method, message, metadata, deadline_s, peer)
        self._door = door
        self._id = number

    def answer(self, message: bytes, trailers: Metadata = ()) -> None:
        if self._door.ended(self._id):
            self._door.front.respond(self._id, message, None, trailers or None)

    def fail(self, code: grpc.StatusCode, text: str, trailers: Metadata = ()) -> None:
        if self._door.ended(self._id):
            number = cast("tuple[int, str]", code.value)[0]
            self._door.front.fail(self._id, number, text, trailers or None)

    def finish(self, trailers: Metadata = ()) -> None:
        if self._door.ended(self._id):
            self._door.front.stream_end(self._id, trailers or None)

    async def send(self, message: bytes, by_s: float | None = None) -> bool:
        # The door has no event for "there is room again"; a slow reader is asked ever more rarely.
        pause_s = 0.0005
        while self._door.has(self._id):
            told = self._door.front.stream_try_send(self._id, message)
            if told != STREAM_FULL:
                return told != STREAM_CLOSED
            if by_s is not None:
                left_s = by_s - time.monotonic()
                if left_s <= 0:
                    raise TimeoutError("the reader of the stream has no room")
                pause_s = min(pause_s, left_s)
            await asyncio.sleep(pause_s)
            pause_s = min(0.5, 1.5 * pause_s)
        return False


class NativeDoor(Door):
    """One reader thread, and in the event loop nothing that waits."""

    kind = DoorKind.NATIVE
    has_tls = False

    front: NativeGrpcFront

    async def open(self, host: str, port: int, *, share_port: bool = False) -> int:
        """See `Door`."""
        self._calls: dict[int, _NativeRpc] = {}
        self._arrived: deque[tuple[int, list[_Event]]] = deque()
        # Of what has arrived and of what was taken: each is written by one thread only.
        self._arrived_calls = self._arrived_bytes = 0
        self._taken_calls = self._taken_bytes = 0
        self._call_s = 0.0
        """What the gateway takes to look at a call."""
        self._woken = False
        self._closing = False
        self._loop = asyncio.get_running_loop()
        self._paths = list(self._methods)
        address = address_of(host, port)
        try:
            self.front = NativeGrpcFront(
                address,
                list(self._methods.items()),
                # One thread of it carries more than one loop of Python can take.
                io_threads=1 if (os.cpu_count() or 1) <= 4 else 2,
                call_details=True,
                delay_stream_headers=True,
                metrics=True,
                max_concurrent_streams=MAX_STREAMS,
                max_metadata_size=MAX_METADATA_BYTES,
                reuse_port=share_port,
            )
        except OSError as error:
            raise OSError(f"cannot listen on {address}: {error.strerror or error}") from None
        await self._open_reflection()
        self.front.start()
        self._reader = threading.Thread(target=self._read, name="door", daemon=True)
        self._reader.start()
        taken = self.front.bound_port
        self._watching = asyncio.ensure_future(self._watch(host, taken))
        return taken

    async def _open_reflection(self) -> None:
        """Bidirectional streams are beyond the native server: grpcio's serves them behind it."""
        self._folder = Path(tempfile.mkdtemp(prefix="rewardplane-door-"))
        self._behind = grpc.aio.server()
        self._behind.add_generic_rpc_handlers(tuple(reflection_handlers(self._methods)))
        socket = self._folder / "reflection"
        self._behind.add_insecure_port(f"unix:{socket}")
        await self._behind.start()
        self.front.set_fallback(str(socket))

    # ---- calls ------------------------------------------------------------------------------

    def in_flight(self) -> Collection[Rpc]:
        """See `Door`."""
        return self._calls.values()

    def has(self, number: int) -> bool:
        """Whether a call is in flight."""
        return number in self._calls

    def ended(self, number: int) -> bool:
        """Notes that a call ends now; returns whether it was in flight."""
        rpc = self._calls.pop(number, None)
        if rpc is None:
            return False
        rpc.on_cancel = None
        return True

    def _read(self) -> None:
        """The reader thread: takes bursts, wakes the loop once until it has come for them."""
        why = "its reader ended"
        try:
            while (events := self.front.recv_batch_details(MAX_BATCH)) is not None:
                size = sum([len(event[3] or b"") for event in cast("list[_Event]", events)])
                self._arrived.append((size, cast("list[_Event]", events)))
                self._arrived_calls += len(events)
                self._arrived_bytes += size
                del events  # the thread sleeps in the next call, and would hold the messages
                if not self._woken:
                    self._woken = True
                    self._loop.call_soon_threadsafe(self._take)
        except BaseException as error:  # noqa: BLE001 - told to the loop, which ends the process
            why = f"its reader failed: {type(error).__name__}: {error}"
        if not self._closing and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._lost, why)

    def _take(self) -> None:
        """Takes bursts that have arrived and hands their calls on as one batch."""
        self._woken = False  # before the bursts are taken: what comes from here on wakes again
        now_s = time.monotonic()
        fresh: list[Rpc] = []
        gone: list[Rpc] = []
        while self._arrived and len(fresh) < MAX_BATCH:
            for kind, number, method, message, _key, details in self._taken_from(left=True):
                try:
                    if kind == EVENT_CALL and message is not None and details is not None:
                        if (rpc := self._made(number, method, message, details, now_s)) is not None:
                            fresh.append(rpc)
                    elif (rpc := self._calls.pop(number, None)) is not None:
                        if rpc.on_cancel is None:  # it came in this turn: it is not begun yet
                            gone.append(rpc)
                        else:
                            rpc.cancelled()
                except Exception:  # noqa: BLE001 - our fault: the others of the burst go on
                    _log.exception("a call could not be taken in")
                    self.front.fail(number, 13, "internal error; the log has the rest", None)
        if self._arrived and not self._woken:
            self._woken = True
            self._loop.call_soon(self._take)
        if fresh:
            self._handle(fresh)
            self._call_s += 0.2 * ((time.monotonic() - now_s) / len(fresh) - self._call_s)
        for rpc in gone:
            self._loop.call_soon(rpc.cancelled)
        if len(self._arrived) > 1 and self._is_full():
            self._turn_away()

    def _taken_from(self, *, left: bool) -> list[_Event]:
        """The oldest burst that has arrived, or the newest."""
        size, events = self._arrived.popleft() if left else self._arrived.pop()
        self._taken_calls += len(events)
        self._taken_bytes += size
        return events

    def _is_full(self) -> bool:
        """Whether more waits here than the gateway can look at soon, or may hold."""
        waiting_s = (self._arrived_calls - self._taken_calls) * self._call_s
        waiting_bytes = self._arrived_bytes - self._taken_bytes
        return waiting_s > FRONT_S or waiting_bytes > self._limits.max_in_flight_bytes

    def _turn_away(self) -> None:
        """Refuses the newest calls, unparsed, until there is room; questions of health wait on."""
        refusal = overloaded("too many calls wait to be looked at", FRONT_S)
        _code, text, trailers = encode(refusal)
        kept: list[list[_Event]] = []
        while self._arrived and self._is_full():
            rest: list[_Event] = []
            for event in self._taken_from(left=False):
                kind, number, method, message, _key, details = event
                if (
                    kind != EVENT_CALL
                    or message is None
                    or details is None
                    or self._paths[method].startswith("/grpc.health.")
                ):
                    rest.append(event)
                else:
                    self._note(details[1], message)
                    self.turned_away += 1
                    self.front.fail(number, 8, text, trailers)  # RESOURCE_EXHAUSTED
            if rest:
                kept.append(rest)
        for rest in reversed(kept):
            self._arrived.append((0, rest))
            self._taken_calls -= len(rest)

    def _made(
        self, number: int, method: int, message: bytes, details: _Details, now_s: float
    ) -> _NativeRpc | None:
        """The call, unless its message is too large: then it is refused."""
        most = self._limits.max_request_bytes
        self._note(details[1], message)
        if len(message) > most:
            text = f"received a message larger than max ({len(message)} vs. {most})"
            self.front.fail(number, 8, text, None)  # RESOURCE_EXHAUSTED
            return None
        metadata, peer, remaining_s = details
        deadline_s = None if remaining_s is None else now_s + remaining_s
        rpc = _NativeRpc(self, number, self._paths[method], message, metadata, deadline_s, peer)
        self._calls[number] = rpc
        return rpc

    # ---- its end ----------------------------------------------------------------------------

    async def _watch(self, host: str, port: int) -> None:
        """Says hello to the door now and then: threads in Rust die without a word."""
        missed = 0
        while missed < 2:
            await asyncio.sleep(PROBE_EVERY_S)
            wrong = await answers(host, port, PROBE_TIMEOUT_S)
            missed = missed + 1 if wrong else 0
            if missed == 2:
                self._lost(wrong)

    def _lost(self, why: str) -> None:
        if not self._closing:
            self._closing = True
            self._on_lost(f"the native door has died: {why}")

    async def close(self) -> None:
        """See `Door`."""
        self._closing = True
        self._watching.cancel()
        await self._flushed()
        await self._behind.stop(None)
        await self._loop.run_in_executor(None, self.front.close)
        await self._loop.run_in_executor(None, self._reader.join, FLUSH_S)
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _flushed(self) -> None:
        """Waits until the answers have left: closing cuts what is still to be written."""
        until_s = time.monotonic() + FLUSH_S
        # There is no event for it.
        while time.monotonic() < until_s and not _all_ended(self.front.metrics()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        # Ended is what has been written to the connection; the connection writes on its own.
        await asyncio.sleep(0.1)


def _all_ended(metrics: dict[str, Any] | None) -> bool:
    """Whether as many calls of each method have ended as have started."""
    methods: dict[str, dict[str, Any]] = (metrics or {}).get("methods", {})
    return all(
        counts["started"] == sum(ended["count"] for ended in counts["status"].values())
        for name, counts in methods.items()
        if name != "other"
    )
