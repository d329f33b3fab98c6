"""Bytes in, bytes out: whatever comes, and however it is cut, answers are right and in order."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rewardplane.http import connection
from rewardplane.http.connection import Connection
from rewardplane.http.exchange import Answer, Bodies, Request, Stop, refusal

MOST = 2_000
ENDS = (400, 415, 431, 501, 505)
"""What is answered before the connection ends."""


class Echo:
    """A port that answers with the body; `/slow…` takes turns of the loop, `/no…` is refused."""

    def __init__(self) -> None:
        self.bodies = Bodies(10_000)
        self.max_body_bytes = MOST
        self.connections: set[Connection] = set()
        self.cancelled = self.answering = self.most = 0

    def made(self, connection: Connection) -> None:
        self.connections.add(connection)

    def lost(self, connection: Connection) -> None:
        self.connections.discard(connection)

    def refused(self, request: Request) -> Answer | None:
        return refusal(404, "NOT_FOUND", "no") if request.path.startswith("/no") else None

    def refusal_of(self, error: Exception, _request: Request) -> Answer:
        return Answer(b"", {"TooLarge": 413, "Overloaded": 429}.get(type(error).__name__, 400))

    def answer(self, request: Request, done: Callable[[Answer], None]) -> Stop | None:
        self.answering += 1
        self.most = max(self.most, self.answering)
        turns = request.path.count("slow")
        answer = Answer(f"{request.method} {request.path} ".encode() + request.body)
        waits = True

        def go_on() -> None:
            nonlocal turns, waits
            if not waits:
                return
            if turns:
                turns -= 1
                asyncio.get_running_loop().call_soon(go_on)
            elif request.path != "/never":
                waits = False
                self.answering -= 1
                done(answer)

        def stop() -> None:
            nonlocal waits
            assert waits
            waits = False
            self.cancelled += 1

        go_on()
        return stop

    def date(self) -> str:
        return "Sat, 28 Nov 2026 12:00:00 GMT"


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.sent = b""
        self.closing = self.aborted = False
        self.reading = True

    def get_extra_info(self, _name: str) -> None:
        return None

    def write(self, data: bytes) -> None:
        assert not self.closing
        self.sent += data

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = self.aborted = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


def connected() -> tuple[Echo, Wire, Connection]:
    port, wire = Echo(), Wire()
    made = Connection(port)
    made.connection_made(wire)
    return port, wire, made


async def sent(pieces: Sequence[bytes]) -> tuple[bytes, bool]:
    """What is answered to these pieces, and whether the connection was closed then."""
    port, wire, made = connected()
    for piece in pieces:
        while not (wire.reading or wire.closing):
            await asyncio.sleep(0)
        if wire.closing:
            break
        made.data_received(piece)
        await asyncio.sleep(0)
    for _ in range(600):
        await asyncio.sleep(0)
    closed = wire.closing
    made.connection_lost(None)
    assert port.bodies.bytes == 0
    assert not port.connections
    return wire.sent, closed


def answers(data: bytes, heads: Sequence[bool] = ()) -> list[tuple[int, bytes]]:
    """Status and body of each answer; `heads`: which of them answer `HEAD`."""
    found: list[tuple[int, bytes]] = []
    while data:
        head, end, data = data.partition(b"\r\n\r\n")
        assert end, head
        status, *lines = head.split(b"\r\n")
        assert status.startswith(b"HTTP/1.1 "), status
        if status.startswith(b"HTTP/1.1 100"):
            continue
        fields = {name: value for name, _, value in (line.partition(b": ") for line in lines)}
        size = int(fields[b"content-length"])
        if len(found) < len(heads) and heads[len(found)]:
            size = 0
        assert len(data) >= size
        found.append((int(status.split()[1]), data[:size]))
        data = data[size:]
    return found


@dataclass(frozen=True)
class Sent:
    """A request as bytes, and what it must be answered."""

    data: bytes
    status: int
    body: bytes | None
    is_head: bool = False


@st.composite
def requests(draw: st.DrawFn) -> Sent:
    method = draw(st.sampled_from(["GET", "HEAD", "POST", "PUT"]))
    path = draw(st.sampled_from(["/", "/slow", "/slowslow", "/no", "/a%20b", "/%zz", "/x?q=1"]))
    body = draw(st.binary(max_size=300)) if method in ("POST", "PUT") else b""
    if draw(st.integers(0, 9)) == 0 and body:
        body = body[:1] * (MOST + draw(st.integers(-1, 1)))
    fields = draw(st.sampled_from([b"", b"X-A: 1\r\nx-a:2\r\n", b"Expect: 100-continue\r\n"]))
    will_close = b"Expect" in fields and (path == "/no" or len(body) > MOST)
    if method in ("POST", "PUT") and draw(st.booleans()) and not will_close:
        cut = draw(st.integers(0, len(body)))
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in (body[:cut], body[cut:]) if c)
        trailer = draw(st.sampled_from([b"", b"x-trailer: 1\r\n"]))
        fields += b"Transfer-Encoding: chunked\r\n"
        framed = chunks + b"0\r\n" + trailer + b"\r\n"
    else:
        if method in ("POST", "PUT"):
            fields += b"Content-Length: %d\r\n" % len(body)
        framed = b"" if will_close else body
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\n".encode() + fields + b"\r\n"
    is_head = method == "HEAD"
    if path == "/no":
        return Sent(head + framed, 404, None, is_head)
    if len(body) > MOST:
        return Sent(head + framed, 413, None)
    shown = {"/a%20b": "/a b", "/x?q=1": "/x"}.get(path, path)
    return Sent(
        head + framed, 200, b"" if is_head else f"{method} {shown} ".encode() + body, is_head
    )


@given(st.lists(requests(), min_size=1, max_size=5), st.data())
@settings(max_examples=200, deadline=None)
def test_answers_do_not_depend_on_how_the_bytes_are_cut(asked: list[Sent], data: Any) -> None:
    whole = b"".join(one.data for one in asked)
    cuts = data.draw(st.lists(st.integers(0, len(whole)), max_size=20))
    ends = [*sorted(set(cuts)), len(whole)]
    pieces = [whole[a:b] for a, b in zip([0, *ends], ends, strict=False) if a < b]
    # One that is refused without having been told to send its body is the last.
    last = next(
        (i for i, one in enumerate(asked) if one.status in (404, 413) and b"Expect" in one.data),
        len(asked) - 1,
    )
    wanted = asked[: last + 1]
    told, closed = asyncio.run(sent(pieces))
    got = answers(told, [one.is_head for one in wanted])
    assert [status for status, _ in got] == [one.status for one in wanted]
    for (_, body), one in zip(got, wanted, strict=True):
        assert one.body is None or body == one.body
    assert closed == (wanted[-1].status in (404, 413) and b"Expect" in wanted[-1].data)


@given(st.lists(requests(), max_size=3), st.data())
@settings(max_examples=300, deadline=None)
def test_malformed_bytes_are_refused_behind_what_came_before(asked: list[Sent], data: Any) -> None:
    whole = bytearray(b"".join(one.data for one in asked))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(whole)))
        whole[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=8))
    cut = data.draw(st.integers(0, len(whole)))
    told, closed = asyncio.run(sent([bytes(p) for p in (whole[:cut], whole[cut:]) if p]))
    if b"HEAD " in whole:
        return  # a head may be answered without the body that it tells of
    got = answers(told)
    assert all(status in (200, 404, 413, *ENDS) for status, _ in got)
    if any(status in ENDS for status, _ in got):
        assert closed
        assert got[-1][0] in ENDS


@pytest.mark.parametrize(
    ("raw", "statuses"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", [400]),  # TLS to a plain port
        (b"GET / HTTP/1.1\r\nhost: x\r\n bad: y\r\n\r\n", [400]),
        (b"GET / HTTP/1.1\r\nhost x\r\n\r\n", [400]),
        (
            b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
            [400],
        ),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -3\r\n\r\nabcd", [400]),
        (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip\r\n\r\nabcd", [501]),
        (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n", [400]),
        (b"POST /no HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n", [404]),
        (b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\nGET /\x00 HTTP/1.1\r\n\r\n", [200, 400]),
        (b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\nGET / HTTP/1.1\r\n\r\n", [200]),
        (b"GET / HTTP/1.0\r\n\r\n", [200]),
        (b"CONNECT x:443 HTTP/1.1\r\nhost: x\r\n\r\n\x16\x03", [200]),
        (
            b"GET / HTTP/1.1\r\nhost: x\r\n" + b"".join(b"a%d: b\r\n" % i for i in range(9_000)),
            [431],
        ),
        (
            b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1;" + b"e" * 70_000,
            [431],
        ),
        (
            b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\nt: "
            + b"e" * 70_000,
            [431],
        ),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\n\r\n", [413]),
    ],
)
async def test_what_ends_a_connection(raw: bytes, statuses: list[int]) -> None:
    size = 4_096
    told, closed = await sent([raw[at : at + size] for at in range(0, len(raw), size)])
    assert [status for status, _ in answers(told)] == statuses
    assert closed or statuses == [413]  # which waits for the body that was announced
    assert b"connection: close" in told or statuses == [413]


async def test_one_request_is_taken_in_while_another_is_answered() -> None:
    port, wire, made = connected()
    made.data_received(b"GET /never HTTP/1.1\r\nhost: x\r\n\r\n")
    await asyncio.sleep(0)
    assert wire.reading  # a client that hangs up is seen
    made.data_received(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf")
    assert not wire.reading
    made.connection_lost(None)
    await asyncio.sleep(0)
    assert port.cancelled == 1
    assert port.bodies.bytes == 0


async def test_requests_that_came_together_are_answered_one_a_turn() -> None:
    port, wire, made = connected()
    made.data_received(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * 5)
    for count in range(1, 6):  # other connections have their turn between them
        assert len(answers(wire.sent)) == count
        await asyncio.sleep(0)
    assert wire.reading
    made.data_received(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n" * 5)
    for _ in range(30):
        await asyncio.sleep(0)
    assert len(answers(wire.sent)) == 10
    assert port.most == 1
    made.connection_lost(None)
    assert port.cancelled == 0


async def test_no_flood_of_requests_waits() -> None:
    told, closed = await sent([b"GET /never HTTP/1.1\r\nhost: x\r\n\r\n" * 1000])
    assert (told, closed) == (b"", False)
    told, closed = await sent([b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n" * 1000])
    found = [status for status, _ in answers(told)]
    assert found == [200] * connection.MAX_WAITING + [400]
    assert closed


async def test_a_body_in_tiny_pieces_takes_what_is_accounted() -> None:
    port, wire, made = connected()
    head = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    pieces = [b"%02d" % (i % 100) for i in range(900)]
    data = head + b"".join(b"2\r\n%b\r\n" % piece for piece in pieces)
    tracemalloc.start()
    made.data_received(data)
    held, _peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert port.bodies.bytes == 1_800
    assert held < 20_000  # 900 objects would take more than 40,000
    made.data_received(b"0\r\n\r\n")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert answers(wire.sent) == [(200, b"POST /echo " + b"".join(pieces))]
    made.connection_lost(None)


async def test_a_client_is_told_to_go_on_once_and_in_its_turn() -> None:
    _port, wire, made = connected()
    made.data_received(b"GET /slowslow HTTP/1.1\r\nhost: x\r\n\r\n")
    head = b"POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n"
    made.data_received(head)
    assert wire.sent == b""
    for _ in range(10):
        await asyncio.sleep(0)
    assert [status for status, _ in answers(wire.sent)] == [200]
    assert wire.sent.count(b"100 Continue") == 1
    made.data_received(b"o")
    made.data_received(b"k")
    await asyncio.sleep(0)
    assert answers(wire.sent)[1] == (200, b"POST / ok")
    assert wire.sent.count(b"100 Continue") == 1


async def test_what_takes_too_long_is_ended() -> None:
    def after(data: bytes, seconds: float) -> Wire:
        _port, wire, made = connected()
        made.data_received(data)
        made.expire(time.monotonic() + seconds)
        return wire

    head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhalf"
    assert not after(b"GET / HT", connection.HEAD_S - 1).closing
    assert after(b"GET / HT", connection.HEAD_S + 1).aborted
    assert after(b"", connection.HEAD_S + 1).closing
    assert not after(head, connection.READ_S - 1).closing
    late = after(head, connection.READ_S + 1)
    assert late.closing
    assert [status for status, _ in answers(late.sent)] == [400]
    # What is refused is dropped as it comes, and not for ever.
    assert not after(b"POST /no" + head[6:], connection.READ_S - 1).closing
    assert after(b"POST /no" + head[6:], connection.READ_S + 1).aborted
    assert not after(b"GET /never HTTP/1.1\r\nhost: x\r\n\r\n", 1e6).closing


async def test_a_client_that_does_not_read_gets_no_second_answer() -> None:
    _port, wire, made = connected()
    made.pause_writing()
    made.data_received(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * 3)
    for _ in range(5):
        await asyncio.sleep(0)
    assert wire.sent == b""
    assert not wire.reading
    made.expire(time.monotonic() + connection.SEND_S - 1)
    assert not wire.closing
    made.resume_writing()
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(answers(wire.sent)) == 3
    assert wire.reading
    made.expire(time.monotonic() + connection.KEEP_ALIVE_S + 1)
    assert wire.closing
    made.expire(time.monotonic() + connection.KEEP_ALIVE_S + connection.SEND_S + 2)
    assert wire.aborted


async def test_a_stopped_connection_ends_behind_what_has_come() -> None:
    _port, wire, made = connected()
    made.stop()
    assert wire.closing
    _port, wire, made = connected()
    made.data_received(b"GET /slowslow HTTP/1.1\r\nhost: x\r\n\r\n" * 2)
    made.stop()
    assert not wire.closing
    for _ in range(10):
        await asyncio.sleep(0)
    assert [status for status, _ in answers(wire.sent)] == [200, 200]
    assert wire.sent.count(b"connection: close") == 1
    assert wire.closing
    _port, wire, made = connected()
    made.data_received(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\no")
    made.stop()
    assert not wire.closing
    made.data_received(b"k")
    await asyncio.sleep(0)
    assert answers(wire.sent) == [(200, b"POST / ok")]
    assert wire.closing
