"""Clients that send half, send too much, hang up or do not read cost the others nothing."""

from __future__ import annotations

import asyncio
import json
import logging
import math
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from rewardplane.http import connection
from rewardplane.http.exchange import Bodies
from rewardplane.http.remembered import MAX_CHARS, Remembered
from rewardplane.rewards.types import Reason, ScoreError
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


async def test_numbers_that_json_does_not_have_are_no_fault_of_ours() -> None:
    http = {"nemo_gym": {"reward": "exact"}, "eval_protocol": {"reward": "exact"}}
    async with facing({"exact": {"kind": "exact"}}, http) as (_it, client):

        async def told(path: str, body: bytes) -> tuple[int, Any]:
            async with client.post(path, data=body) as reply:
                return reply.status, json.loads(await reply.read())

        rewards = b"NaN", b"1e999", b"-Infinity", b"1" * 4000, b"true", b"1.5"
        body = b'{"verify_responses": [%b]}' % b",".join(b'{"reward": %b}' % r for r in rewards)
        status, answer = await told("/aggregate_metrics", body)
        assert (status, answer["agent_metrics"]) == (200, {"mean/reward": 1.25})
        assert await told("/aggregate_metrics", b'{"verify_responses": [{"reward": NaN}]}') == (
            200,
            {"agent_metrics": {}, "key_metrics": {}},
        )
        text = b'{"type": "message", "content": [{"type": "output_text", "text": "4"}]}'
        row = (
            b'{"responses_create_params": {"input": "2+2?"}, "response": {"output": [%b]}, '
            b'"answer": "4", "odd": [NaN, 1e999, "\\ud800", %b]}' % (text, b"9" * 4000)
        )
        status, answer = await told("/verify", row)
        assert (status, answer["reward"]) == (200, 1.0)
        assert math.isnan(answer["odd"][0])
        assert answer["odd"][1:3] == [math.inf, "\ud800"]


@pytest.mark.parametrize("depth", [150, 330, 480, 900, 5_000, 100_000])
async def test_bodies_that_are_nested_deeply_are_refused_or_answered(depth: int) -> None:
    """Whatever of the stack is left where they are read, and where they are written again."""
    http = {"reward": "exact", "nemo_gym": {"reward": "exact"}, "remote_rm": {"reward": "exact"}}
    deep = b'{"a":' * depth + b"1" + b"}" * depth
    text = b'{"type": "message", "content": [{"type": "output_text", "text": "4"}]}'
    bodies = {
        "/": b'{"example": %b}' % deep,
        "/verify": b'{"responses_create_params": {"input": "?"}, "response": {"output": [%b]}, '
        b'"answer": "4", "odd": %b}' % (text, deep),
        "/remote_rm": b'{"prompt": "?", "response": "4", "label": {"answer": "4", "b": %b}}' % deep,
        "/v1/fine_tuning/alpha/graders/validate": b'{"grader": %b}' % deep,
        "/v1beta1/projects/p/locations/l/tuningJobs:validateReinforcementTuningReward": deep,
    }
    async with facing({"exact": {"kind": "exact"}}, http) as (_it, client):
        for path, body in bodies.items():
            async with client.post(path, data=body) as reply:
                assert reply.status in (200, 400), f"{path}: {await reply.text()}"


def test_errors_that_are_remembered_take_a_bounded_memory() -> None:
    it = Remembered()
    for number in range(6_000):
        it.add(b"%d" % number, "r", "d", ScoreError(Reason.RAISED, "x" * 2_000))
    assert it._chars == sum(len(e.message) for _, e in it._errors.values()) <= MAX_CHARS
    assert it.find(b"5999", "r", "d") is not None
    assert it.find(b"0", "r", "d") is None
    before = it._chars
    it.add(b"5999", "r", "d", ScoreError(Reason.RAISED, "x"))
    assert it._chars == before - 1_999
