"""One HTTP/1.1 connection: requests come in, answers go out in their order, and both in time.

A request's head must be there within `HEAD_S` of its first byte (of the connection, for the first
one) and have at most `MAX_HEAD_BYTES`; its body within `READ_S`, and as large as its port allows;
an answer must be taken within `SEND_S`. When the client hangs up, what is done to answer it is
stopped. A request that is refused is answered at once, and what still comes of it is dropped.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import httptools
from rewardplane.wire.errors import InvalidRequest, Overloaded

from .exchange import Answer, Bodies, Request, Stop, TooLarge, refusal
from .framing import fault_in
from .incoming import Incoming, path_of
from .tls import shown_by

_log = logging.getLogger(__name__)

HEAD_S = 20.0
MAX_HEAD_BYTES = 64 * 1024
READ_S = 60.0
"""How long a body may take to come: until then its part of the memory is held."""
SEND_S = 60.0
KEEP_ALIVE_S = 75.0
"""How long a connection may wait for its next request."""
MAX_WAITING = 256
"""Requests of a connection that may come while others are answered, at the most."""
_SMALL_BYTES = 512
"""Smaller pieces of a body are put together: each of two bytes would take thirty times as many."""
_OF_UPGRADE = (b"connection", b"upgrade")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Port(Protocol):
    """What a connection belongs to."""

    bodies: Bodies
    max_body_bytes: int

    def made(self, connection: Connection) -> None:
        """There is a connection more, which wants its `expire` called every second or so."""
        ...

    def lost(self, connection: Connection) -> None:
        """It is no more."""
        ...

    def refused(self, request: Request) -> Answer | None:
        """What a request is answered when its head has come; None: it is to have its body."""
        ...

    def refusal_of(self, error: Exception, request: Request) -> Answer:
        """What a request is answered for an error."""
        ...

    def answer(self, request: Request, done: Callable[[Answer], None]) -> Stop | None:
        """Has a request answered whose body has come.

        `done` gets the answer, once, perhaps before this returns. What is returned is called where
        nobody waits for that any more.
        """
        ...

    def date(self) -> str:
        """Now, as answers tell it."""
        ...


class Connection(asyncio.Protocol):
    """A connection of a port."""

    def __init__(self, port: Port) -> None:
        self._port = port
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._doubled: list[bytes] = []
        """The names of headers that came again."""
        self._in_head = False
        self._unparsed = 0
        """Bytes since a head or a piece of a body was complete."""
        self._coming: Incoming | None = None
        """The request whose body comes."""
        self._waiting: deque[Incoming] = deque()
        """Those that are complete, or refused, and not answered."""
        self._answering: Incoming | None = None
        """The request that is being answered."""
        self._stop_answering: Stop | None = None
        self._is_beginning = False
        """Whether its answer is asked for just now."""
        self._is_paused = False
        self._is_stuck = False
        """Whether the client does not take its answers."""
        self._is_last = False
        """Whether nothing more is read."""
        self._read_by = self._write_by = math.inf

    # ---- the transport -----------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        """See `asyncio.Protocol`."""
        self._transport: asyncio.Transport = transport
        self._certificate = shown_by(transport)
        self._read_by = time.monotonic() + HEAD_S
        self._port.made(self)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        if self._is_last:
            return
        self._unparsed += len(data)
        try:
            self._parse(data)
        except httptools.HttpParserError as error:
            if not self._is_last:
                self._give_up(refusal(400, InvalidRequest.reason, f"no valid HTTP: {error}"))
        if self._unparsed > MAX_HEAD_BYTES and not self._is_last:
            why = f"a head has at most {MAX_HEAD_BYTES} bytes"
            self._give_up(refusal(431, InvalidRequest.reason, why))
        self._go_on()

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._is_last:
                return
            # Nothing is switched, so that it is a request like any other, and may have a body.
            head = self._without_upgrade()
            self._parser = httptools.HttpRequestParser(self)
            self._parse(head + data[upgrade.args[0] :])

    def _without_upgrade(self) -> bytes:
        """The head that has come, so that the parser does not stop behind it."""
        parser, headers = self._parser, self._headers
        version = parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (parser.get_method(), self._url, version)]
        if b"close" in headers.pop(b"connection", b"").lower():
            lines.append(b"connection: close")
        headers.pop(b"upgrade", None)
        lines += [b"%b: %b" % header for header in headers.items()]
        lines += [b"%b: " % name for name in self._doubled if name not in _OF_UPGRADE]
        return b"\r\n".join((*lines, b"", b""))

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._is_stuck = True
        self._write_by = time.monotonic() + SEND_S

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._is_stuck = False
        if not self._transport.is_closing():
            self._write_by = math.inf
            self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the base's
        """See `asyncio.Protocol`."""
        self._port.lost(self)
        del self._parser  # it knows this connection
        self._answering, stop = None, self._stop_answering
        if stop is not None:
            self._stop_answering = None
            stop()
        while self._waiting:
            self._drop(self._waiting.popleft())
        if self._coming is not None:
            self._drop(self._coming)

    # ---- the port ------------------------------------------------------------------------------

    def expire(self, now_s: float) -> None:
        """Ends what has taken too long."""
        if now_s > self._write_by:
            self._transport.abort()
        elif now_s > self._read_by:
            if self._coming is not None and self._coming.refused is None:
                late = InvalidRequest(f"the body did not come within {READ_S:g} s")
                self._give_up(self._port.refusal_of(late, self._coming.request))
                self._go_on()
            elif self._coming is not None or self._in_head:
                self._transport.abort()
            else:
                self._close()

    def stop(self) -> None:
        """Closes when the requests that have come are answered."""
        if self._coming is not None:
            self._coming.keep_alive = False
        else:
            self._is_last = True
        self._go_on()

    def abort(self) -> None:
        """Ends at once."""
        self._transport.abort()

    # ---- the parser ----------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A request begins."""
        if self._is_last:
            raise ValueError("it is not read: the connection ends with the request before it")
        if len(self._waiting) >= MAX_WAITING:
            raise ValueError(f"more than {MAX_WAITING} requests that wait for those before them")
        self._in_head = True
        self._url = b""
        self._headers = {}
        self._doubled = []
        self._read_by = min(self._read_by, time.monotonic() + HEAD_S)

    def on_url(self, url: bytes) -> None:
        """A piece of the request's target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or one behind a chunked body."""
        if self._in_head:
            name, value = name.lower(), value.rstrip(b" \t")
            if name in self._headers:
                self._doubled.append(name)
            else:
                self._headers[name] = value

    def on_headers_complete(self) -> None:
        """The head has come."""
        self._in_head = False
        self._unparsed = 0
        self._read_by = time.monotonic() + READ_S
        parser, headers = self._parser, self._headers
        method = parser.get_method().decode("ascii")
        switches = parser.should_upgrade()
        if switches and method != "CONNECT":
            return  # it comes again, without that; see `_parse`
        version = parser.get_http_version()
        is_old = version != "1.1"
        request = Request(method, path_of(self._url), headers, self._certificate)
        expects = headers.get(b"expect", b"").lower() == b"100-continue" and not is_old
        keep_alive = not is_old and parser.should_keep_alive() and not switches
        self._coming = coming = Incoming(request, keep_alive=keep_alive, wants_continue=expects)
        if (fault := fault_in(version, headers, self._doubled)) is not None:
            self._give_up(fault)
            return
        refused = self._port.refused(request)
        if refused is None and int(headers.get(b"content-length", b"0")) > self._most:
            refused = self._too_large(coming)
        if refused is not None:
            self._refuse(coming, refused)

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._unparsed = 0
        coming = self._coming
        if coming is None or coming.refused is not None:
            return
        if coming.size + len(body) > self._most:
            self._refuse(coming, self._too_large(coming))
            return
        try:
            self._port.bodies.take(len(body))
        except Overloaded as error:
            self._refuse(coming, self._port.refusal_of(error, coming.request))
            return
        coming.size += len(body)
        chunks = coming.chunks
        if len(body) >= _SMALL_BYTES or not chunks:
            chunks.append(body)
        elif isinstance(last := chunks[-1], bytearray):
            last += body
        else:
            chunks.append(bytearray(body))

    def on_message_complete(self) -> None:
        """The request has come."""
        coming, self._coming = self._coming, None
        self._unparsed = 0
        self._read_by = math.inf
        if coming is not None:
            self._is_last = not coming.keep_alive
            if coming.refused is None:
                self._waiting.append(coming)

    # ---- answers -------------------------------------------------------------------------------

    @property
    def _most(self) -> int:
        return self._port.max_body_bytes

    def _too_large(self, coming: Incoming) -> Answer:
        error = TooLarge(f"the body has more than {self._most} bytes")
        return self._port.refusal_of(error, coming.request)

    def _refuse(self, coming: Incoming, answer: Answer) -> None:
        """Answers a request whose body need not come; what comes of it is dropped."""
        self._drop(coming)
        coming.refused = answer
        if coming.wants_continue:  # a client that is not told to go on may send no body
            coming.keep_alive = coming.wants_continue = False
            self._is_last = True
        self._waiting.append(coming)

    def _give_up(self, answer: Answer) -> None:
        """Answers what comes now, and closes: what follows cannot be read."""
        coming, self._coming = self._coming, None
        self._is_last = True
        self._read_by = math.inf
        if coming is None:
            coming = Incoming(Request("", "", {}), keep_alive=False, wants_continue=False)
        elif coming.refused is not None:
            return
        coming.wants_continue = False
        self._refuse(coming, answer)

    def _drop(self, coming: Incoming) -> None:
        self._port.bodies.give_back(coming.size)
        coming.size = 0
        coming.chunks.clear()

    def _go_on(self) -> None:
        """Answers what has come, one request after the other; closes behind the last."""
        while self._waiting and self._answering is None and not self._is_stuck:
            incoming = self._waiting.popleft()
            if incoming.refused is not None:
                self._send(incoming, incoming.refused)
                continue
            first, *more = incoming.chunks or [b""]
            incoming.request.body = b"".join((first, *more)) if more else bytes(first)
            self._drop(incoming)
            self._begin(incoming)
            if self._answering is None and self._waiting:
                # However many came together, other connections have their turn between them.
                asyncio.get_running_loop().call_soon(self._go_on)
                break
        if self._transport.is_closing():
            return
        coming = self._coming
        if self._answering is not None or self._waiting:
            if not self._is_paused and (coming is not None or self._waiting):
                # No more than one request is taken in while another is answered.
                self._is_paused = True
                self._read_by = math.inf
                self._transport.pause_reading()
            return
        if self._is_last:
            self._close()
            return
        if self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()
        if self._read_by == math.inf:
            wait_s = KEEP_ALIVE_S if coming is None else READ_S
            self._read_by = time.monotonic() + (HEAD_S if self._in_head else wait_s)
        if coming is not None and coming.wants_continue:
            coming.wants_continue = False
            self._transport.write(_CONTINUE)

    def _begin(self, incoming: Incoming) -> None:
        self._answering = incoming
        self._is_beginning = True
        stop = self._port.answer(incoming.request, self._answered)
        if self._is_beginning:  # there is no answer yet
            self._is_beginning = False
            self._stop_answering = stop

    def _answered(self, answer: Answer) -> None:
        """Takes the answer of the request that is being answered; nothing is raised into a lane."""
        incoming, self._answering = self._answering, None
        self._stop_answering = None
        at_once, self._is_beginning = self._is_beginning, False
        if incoming is None:  # the client hung up
            return
        try:
            self._send(incoming, answer)
            if not at_once:  # else whoever asked for it goes on
                self._go_on()
        except Exception:  # noqa: BLE001 - our fault; nobody is to wait for the answer
            _log.exception("a connection is ended by our own fault")
            self._transport.abort()

    def _send(self, incoming: Incoming, answer: Answer) -> None:
        if not self._transport.is_closing():
            close = not incoming.keep_alive or (self._is_last and not self._waiting)
            bodiless = incoming.request.method == "HEAD"
            date = self._port.date()
            self._transport.write(answer.encoded(date, close=close, bodiless=bodiless))

    def _close(self) -> None:
        self._write_by = min(self._write_by, time.monotonic() + SEND_S)
        self._transport.close()
