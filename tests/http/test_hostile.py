"""Clients that send half, send too much, hang up or do not read cost the others nothing."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path

import aiohttp
import pytest
from rewardplane.http import connection
from rewardplane.http.exchange import Bodies
from rewardplane.wire.errors import Overloaded

from ..support.rig import executions, poison
from .facing import facing

CALL = {"example": {"references": {"answer": "1"}}, "response": {"text": "1"}}


def port_of(client: aiohttp.ClientSession) -> int:
    base = client._base_url
    assert base is not None
    assert base.port is not None
    return base.port


async def ended(reader: asyncio.StreamReader, within_s: float) -> bytes:
    async with asyncio.timeout(within_s):
        return await reader.read()


async def test_heads_that_do_not_end_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_S", 0.5)
    async with facing({"exact": {"kind": "exact"}}, {"reward": "exact"}) as (_it, client):
        streams = [await asyncio.open_connection("127.0.0.1", port_of(client)) for _ in range(50)]
        for index, (_reader, writer) in enumerate(streams):
            writer.write(b"POST / HTTP/1.1\r\nhost: x\r\n" if index % 2 else b"")
        async with client.get("/healthz") as reply:
            assert reply.status == 200
        for reader, writer in streams:
            await ended(reader, 10)
            writer.close()
        # The second head of a connection has no more time than the first.
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(client))
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        assert await reader.readuntil(b"}")
        writer.write(b"GET /healthz HT")
        await ended(reader, 10)
        writer.close()


async def test_a_connection_that_works_is_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_S", 0.3)
    async with facing({"exact": {"kind": "exact"}}, {}) as (_it, client):
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(client))
        for _ in range(3):
            writer.write(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
            assert await reader.readuntil(b"}")
            await asyncio.sleep(0.5)
        writer.close()


async def test_a_head_is_bounded() -> None:
    async with facing({"exact": {"kind": "exact"}}, {}) as (_it, client):
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(client))
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: x\r\n")
        for index in range(4):  # one more byte than it may have, and none that it would not read
            writer.write(b"x%d: " % index + b"y" * 15_000 + b"\r\n")
            await asyncio.sleep(0.05)
        writer.write(b"z: " + b"y" * 15_000)
        assert (await ended(reader, 10)).startswith(b"HTTP/1.1 431")
        writer.close()


async def test_who_hangs_up_within_a_body_is_no_fault_of_ours(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with facing({"exact": {"kind": "exact"}}, {"reward": "exact"}) as (_it, client):
        for _ in range(5):
            _reader, writer = await asyncio.open_connection("127.0.0.1", port_of(client))
            writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nhalf")
            await asyncio.sleep(0.05)
            writer.transport.abort()
        await asyncio.sleep(0.3)
        assert not [r for r in caplog.records if r.levelno >= logging.ERROR]


async def test_who_hangs_up_is_not_worked_for(tmp_path: Path) -> None:
    served = {"slow": poison(queue_timeout_s=60)}
    async with facing(served, {"remote_rm": {"reward": "slow", "gold": "log"}}) as (it, client):
        await it.pools["slow"].check_health()
        log = tmp_path / "log"
        body = {"prompt": "p", "response": "sleep 0.3 1", "label": str(log)}
        gone = [asyncio.create_task(client.post("/remote_rm", json=body)) for _ in range(12)]
        await asyncio.sleep(0.5)
        for task in gone:
            task.cancel()
        await asyncio.sleep(1.0)
        assert it.admission.items == 0
        ran = executions(log).total()
        await asyncio.sleep(1.0)
        assert executions(log).total() == ran < 12


async def test_unfinished_bodies_are_counted_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "READ_S", 3.0)
    limits = {"max_in_flight_bytes": 2**20}
    async with facing({"exact": {"kind": "exact"}}, {"reward": "exact"}, limits) as (_it, client):
        held = []
        for _ in range(4):
            reader, writer = await asyncio.open_connection("127.0.0.1", port_of(client))
            writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 900000\r\n\r\n")
            writer.write(b" " * 400_000)
            held.append((reader, writer))
        await asyncio.sleep(0.5)
        async with client.post("/", data=json.dumps(CALL)) as reply:
            assert reply.status != 429  # a small one finds room
        # Those refused are answered, or cut with what they had still to send.
        over = [r for r, _ in held if r.exception() or r._buffer or r.at_eof()]  # type: ignore[attr-defined]
        assert len(over) == 2
        await asyncio.sleep(3.5)  # the others are given up, and their bytes given back
        async with client.post("/", data=b" " * 900_000) as reply:
            assert reply.status == 400
        for _reader, writer in held:
            writer.close()


def test_bodies_take_what_there_is() -> None:
    bodies = Bodies(10)
    bodies.take(10)
    with pytest.raises(Overloaded):
        bodies.take(1)
    bodies.give_back(10)
    bodies.take(1)
