"""Heads and bodies that can be read in two ways (RFC 9112): none of them brings a second request.

Each case is sent with another request behind it, in one piece and byte by byte.
"""

from __future__ import annotations

import asyncio
import time

import aiohttp
import pytest
from rewardplane.http import connection
from rewardplane.http.framing import MAX_HEADERS

from .facing import facing
from .test_connection import answers, connected, sent

NEXT = b"GET /next HTTP/1.1\r\nhost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nhost: x\r\n"
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nhost: x\r\n"

FAULTS: dict[str, tuple[bytes, int]] = {
    # Host
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two hosts": (b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400),
    "one host twice": (b"GET / HTTP/1.1\r\nhost: a\r\nHost: a\r\n\r\n", 400),
    "a host with a space": (b"GET / HTTP/1.1\r\nhost: a b\r\n\r\n", 400),
    "a host with a user": (b"GET / HTTP/1.1\r\nhost: a@b\r\n\r\n", 400),
    "a host with a path": (b"GET / HTTP/1.1\r\nhost: a/b\r\n\r\n", 400),
    "two hosts and an upgrade": (
        b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n",
        400,
    ),
    # who calls
    "two tokens": (GET + b"authorization: Bearer a\r\nauthorization: Bearer b\r\n\r\n", 400),
    "two certificates": (GET + b"x-forwarded-client-cert: a\r\n" * 2 + b"\r\n", 400),
    # how long it is
    "two lengths": (POST + b"content-length: 2\r\ncontent-length: 3\r\n\r\nok", 400),
    "one length twice": (POST + b"content-length: 2\r\ncontent-length: 2\r\n\r\nok", 400),
    "a list of lengths": (POST + b"content-length: 2, 2\r\n\r\nok", 400),
    "a signed length": (POST + b"content-length: +2\r\n\r\nok", 400),
    "a negative length": (POST + b"content-length: -2\r\n\r\nok", 400),
    "a hexadecimal length": (POST + b"content-length: 0x2\r\n\r\nok", 400),
    "a length in two words": (POST + b"content-length: 2 3\r\n\r\nok", 400),
    "an empty length": (POST + b"content-length:\r\n\r\nok", 400),
    "a length beyond 64 bits": (POST + b"content-length: 99999999999999999999\r\n\r\nok", 400),
    "a space before the colon": (POST + b"content-length : 2\r\n\r\nok", 400),
    "length and chunks": (
        POST + b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "chunks and length": (
        POST + b"transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n",
        400,
    ),
    "chunked twice": (POST + b"transfer-encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n", 400),
    "chunked not last": (POST + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
    "chunked behind another": (POST + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "an unknown coding": (POST + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
    "a quoted coding": (POST + b'transfer-encoding: "chunked"\r\n\r\n0\r\n\r\n', 501),
    "a control character": (POST + b"transfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
    "a coding, a space, a colon": (POST + b"transfer-encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    # chunks
    "a negative chunk": (CHUNKED + b"-1\r\n\r\n0\r\n\r\n", 400),
    "a signed chunk": (CHUNKED + b"+2\r\nok\r\n0\r\n\r\n", 400),
    "a chunk with a prefix": (CHUNKED + b"0x2\r\nok\r\n0\r\n\r\n", 400),
    "a chunk behind a space": (CHUNKED + b" 2\r\nok\r\n0\r\n\r\n", 400),
    "a chunk before a space": (CHUNKED + b"2 \r\nok\r\n0\r\n\r\n", 400),
    "a chunk without CR": (CHUNKED + b"2\nok\r\n0\r\n\r\n", 400),
    "an extension without CR": (CHUNKED + b"2;e\nok\r\n0\r\n\r\n", 400),
    "a chunk's end without CR": (CHUNKED + b"2\r\nok\n0\r\n\r\n", 400),
    "a chunk that is longer": (CHUNKED + b"2\r\nokk\r\n0\r\n\r\n", 400),
    "a chunk without its end": (CHUNKED + b"2\r\nok0\r\n\r\n", 400),
    "a chunk beyond 64 bits": (CHUNKED + b"10000000000000002\r\nok\r\n0\r\n\r\n", 400),
    "the last chunk without CR": (CHUNKED + b"0\n\n", 400),
    "a length behind the body": (CHUNKED + b"0\r\ncontent-length: 30\r\n\r\n", 400),
    "a coding behind the body": (CHUNKED + b"0\r\ntransfer-encoding: chunked\r\n\r\n", 400),
    # lines
    "a folded line": (GET + b"x: a\r\n b\r\n\r\n", 400),
    "a folded first line": (b"GET / HTTP/1.1\r\n host: x\r\n\r\n", 400),
    "a folded host": (b"GET / HTTP/1.1\r\nhost: x\r\n\ty\r\n\r\n", 400),
    "lines without CR": (b"GET / HTTP/1.1\nhost: x\n\n", 400),
    "a header without CR": (b"GET / HTTP/1.1\r\nhost: x\nx: y\r\n\r\n", 400),
    "a header without LF": (b"GET / HTTP/1.1\r\nhost: x\rx: y\r\n\r\n", 400),
    "an empty line without CR": (b"GET / HTTP/1.1\r\nhost: x\r\n\n", 400),
    "a request line without CR": (b"GET / HTTP/1.1\nhost: x\r\n\r\n", 400),
    "NUL": (GET + b"x: a\0b\r\n\r\n", 400),
    "a header without a name": (GET + b": b\r\n\r\n", 400),
    "a name with a space": (GET + b"x y: b\r\n\r\n", 400),
    "a header without a colon": (GET + b"xy\r\n\r\n", 400),
    # the request line
    "no such method": (b"FOO / HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    "a method in lower case": (b"get / HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "a later version": (b"GET / HTTP/2.0\r\nhost: x\r\n\r\n", 505),
    "an older version": (b"GET / HTTP/0.9\r\nhost: x\r\n\r\n", 505),
    "no version": (b"GET /\r\n\r\n", 505),
    "no such version": (b"GET / HTTP/1.2\r\nhost: x\r\n\r\n", 400),
    "a version with a zero": (b"GET / HTTP/01.1\r\nhost: x\r\n\r\n", 400),
    "a path with a space": (b"GET /a b HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    "a tab": (b"GET\t/\tHTTP/1.1\r\nhost: x\r\n\r\n", 400),
    # what is not understood
    "a compressed body": (POST + b"content-encoding: gzip\r\ncontent-length: 2\r\n\r\nok", 415),
    "many headers": (GET + b"".join(b"a%d: b\r\n" % i for i in range(3_000)) + b"\r\n", 431),
    "one header many times": (GET + b"a:\r\n" * 9_000 + b"\r\n", 431),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_ends_the_connection_and_nothing_behind_it_is_read(name: str) -> None:
    raw, status = FAULTS[name]
    pieces = [raw + NEXT]
    for cut in (pieces, [pieces[0][i : i + 1] for i in range(len(pieces[0]))]):
        if len(cut) > 10_000:
            continue
        told, closed = await sent(cut)
        assert [got for got, _ in answers(told)] == [status]
        assert closed
        assert b"connection: close" in told


SOUND: dict[str, tuple[bytes, list[tuple[int, bytes]], bool]] = {
    "no host, as HTTP/1.0 may": (b"GET / HTTP/1.0\r\n\r\n", [(200, b"GET / ")], True),
    "HTTP/1.0 is not kept alive": (
        b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n",
        [(200, b"GET / ")],
        True,
    ),
    "HTTP/1.0 with chunks": (
        b"POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        [(200, b"POST / ok")],
        True,
    ),
    "an empty host": (b"GET / HTTP/1.1\r\nhost:\r\n\r\n", [(200, b"GET / ")], False),
    "an address as host": (b"GET / HTTP/1.1\r\nhost: [::1]:80\r\n\r\n", [(200, b"GET / ")], False),
    "spaces behind a host": (b"GET / HTTP/1.1\r\nhost: x \t\r\n\r\n", [(200, b"GET / ")], False),
    "spaces behind a length": (
        POST + b"content-length: 2 \r\n\r\nok",
        [(200, b"POST / ok")],
        False,
    ),
    "spaces behind a coding": (
        POST + b"transfer-encoding: chunked  \r\ncontent-encoding: identity\t\r\n\r\n"
        b"2\r\nok\r\n0\r\n\r\n",
        [(200, b"POST / ok")],
        False,
    ),
    "the whole URL": (b"GET http://h/x HTTP/1.1\r\nhost: y\r\n\r\n", [(200, b"GET /x ")], False),
    "no length": (POST + b"\r\n", [(200, b"POST / ")], False),
    "a body of GET": (GET + b"content-length: 2\r\n\r\nok", [(200, b"GET / ok")], False),
    "an extension": (CHUNKED + b"2;e=1\r\nok\r\n0\r\n\r\n", [(200, b"POST / ok")], False),
    "a host behind the body": (
        CHUNKED + b"0\r\nhost: z\r\nauthorization: Bearer q\r\n\r\n",
        [(200, b"POST / ")],
        False,
    ),
    "empty lines before": (b"\r\n\r\n" + GET + b"\r\n", [(200, b"GET / ")], False),
    "an expectation of nothing": (
        POST + b"expect: 100-continue\r\n\r\n",
        [(200, b"POST / ")],
        False,
    ),
    "an expectation": (
        POST + b"expect: 100-continue\r\ncontent-length: 2\r\n\r\nok",
        [(200, b"POST / ok")],
        False,
    ),
    "an upgrade": (
        GET + b"connection: upgrade\r\nupgrade: websocket\r\n\r\n",
        [(200, b"GET / ")],
        False,
    ),
    "an upgrade with a body": (
        POST + b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAA\r\n"
        b"content-length: 2\r\n\r\nok",
        [(200, b"POST / ok")],
        False,
    ),
    "an upgrade with chunks": (
        POST + b"upgrade: h2c\r\nconnection: upgrade\r\ntransfer-encoding: chunked\r\n\r\n"
        b"2\r\nok\r\n0\r\n\r\n",
        [(200, b"POST / ok")],
        False,
    ),
    "an upgrade and the end": (
        GET + b"connection: upgrade, close\r\nupgrade: h2c\r\n\r\n",
        [(200, b"GET / ")],
        True,
    ),
    "an upgrade of HTTP/1.0": (
        b"GET / HTTP/1.0\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n",
        [(200, b"GET / ")],
        True,
    ),
    "a tunnel": (b"CONNECT x:443 HTTP/1.1\r\nhost: x\r\n\r\n", [(200, b"CONNECT  ")], True),
    "as many headers as may be": (
        GET + b"a:\r\n" * (MAX_HEADERS - 1) + b"\r\n",
        [(200, b"GET / ")],
        False,
    ),
}


@pytest.mark.parametrize("name", SOUND)
async def test_what_is_unusual_and_sound(name: str) -> None:
    raw, wanted, closes = SOUND[name]
    if not closes:
        wanted = [*wanted, (200, b"GET /next ")]
    whole = raw + NEXT
    for pieces in ([whole], [whole[i : i + 1] for i in range(len(whole))]):
        told, closed = await sent(pieces)
        assert answers(told) == wanted
        assert closed is closes


def test_values_are_what_stands_between_the_spaces() -> None:
    _port, _wire, made = connected()
    made.data_received(
        POST + b"authorization: \t Bearer a b \t\r\nx:  \r\ncontent-length: 2\r\n\r\n"
    )
    assert made._coming is not None
    assert made._coming.request.header("authorization") == "Bearer a b"
    assert made._coming.request.header("x") == ""
    made.connection_lost(None)


async def test_pipelined_requests_are_answered_in_order_as_far_as_they_are_sound() -> None:
    asked = b"".join(b"GET /%d HTTP/1.1\r\nhost: x\r\n\r\n" % i for i in range(50))
    told, closed = await sent([asked + b"GET /50 HTTP/1.1\r\n\r\n" + NEXT])
    got = answers(told)
    assert [body for status, body in got if status == 200] == [b"GET /%d " % i for i in range(50)]
    assert [status for status, _ in got[50:]] == [400]
    assert closed


async def test_a_chunk_without_an_end_is_given_up_in_time() -> None:
    port, wire, made = connected()
    made.data_received(CHUNKED + b"ffffffffffffffff\r\n" + b"x" * 1_000)
    made.expire(time.monotonic() + connection.READ_S + 1)
    assert [status for status, _ in answers(wire.sent)] == [400]
    assert wire.closing
    assert port.bodies.bytes == 0
    made.connection_lost(None)


async def test_the_port_itself_refuses_them() -> None:
    """Over a real socket: as much as a proxy in front would see."""
    async with facing({"exact": {"kind": "exact"}}, {"reward": "exact"}) as (_it, client):
        port = aiohttp.client.URL(str(client._base_url)).port
        for name in ("no host", "two hosts", "length and chunks", "chunked behind another"):
            raw, status = FAULTS[name]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(raw + NEXT)
            told = await asyncio.wait_for(reader.read(), 10)
            writer.close()
            assert [got for got, _ in answers(told)] == [status]
        async with client.get("/healthz") as reply:
            assert reply.status == 200
