"""Connections that hold half messages are seen, bounded and given up; others are let alone."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import AsyncExitStack

import grpc
import pytest
from rewardplane.gateway.doors import connections
from rewardplane.gateway.doors.connections import Connections
from rewardplane.gateway.doors.door import DoorKind

from ...support.h2 import Rude
from ...support.rig import Rig, request_of, rewards, rig
from .served import until

SCORE = "/rewardplane.v1.RewardService/Score"
pytestmark = pytest.mark.parametrize("door", list(DoorKind))


def served(door: DoorKind) -> Rig:
    return rig({"exact": {"kind": "exact"}}, {"max_in_flight_bytes": 24 * 2**20}, door=door)


def port_of(it: Rig) -> int:
    return int(it.address.rpartition(":")[2])


async def half(client: Rude, megabytes: int) -> None:
    stream = client.begin(SCORE)
    try:
        await client.message(stream, b"x" * (megabytes << 20), of=60 << 20)
    except ConnectionError:
        return


async def test_what_is_not_complete_is_counted(door: DoorKind) -> None:
    async with served(door) as it, Rude(port_of(it)) as client:
        await half(client, 4)
        watched = it.server.connections
        await until(lambda: watched.bytes >= 4 << 20)
        assert watched.bytes < (4 << 20) + 10_000
        assert watched.count >= 1
        assert not client.closed.is_set()
        assert rewards(await it.score("exact", ["1"], references={"answer": "1"})) == [1.0]
    await asyncio.sleep(0)


async def test_together_they_hold_no_more_than_they_may(door: DoorKind) -> None:
    async with served(door) as it, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Rude(port_of(it))) for _ in range(8)]
        async with asyncio.timeout(60):
            await asyncio.gather(*(half(client, 8) for client in clients))
        watched = it.server.connections
        await until(lambda: sum(c.closed.is_set() for c in clients) >= 5)
        await until(lambda: 0 < watched.bytes <= 24 << 20)
        assert watched.cut["memory"] >= 5
        assert rewards(await it.score("exact", ["1"], references={"answer": "1"})) == [1.0]


async def test_a_message_must_come_to_its_end(
    door: DoorKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "EVERY_S", 0.05)
    async with served(door) as it, Rude(port_of(it)) as client:
        it.server.connections.patience_s = 0.5
        await half(client, 3)
        await until(client.closed.is_set)
        assert it.server.connections.cut == {"unfinished": 1}


async def test_ordinary_calls_leave_nothing_behind(door: DoorKind) -> None:
    async with served(door) as it:
        it.server.connections.patience_s = 0.2
        large = request_of("exact", ["x" * 5_000_000], references={"answer": "1"})
        for _ in range(5):
            await it.answer(large)
            await asyncio.gather(*(it.answer(request_of("exact", ["1"])) for _ in range(300)))
        with pytest.raises(grpc.aio.AioRpcError):
            await it.answer(b"\xff" * 3_000_000)
        await asyncio.sleep(1.0)
        assert it.server.connections.bytes < 64 * 1024
        assert not it.server.connections.cut
        assert it.channel.get_state() is grpc.ChannelConnectivity.READY


def test_peers_are_named_as_the_kernel_names_them(door: DoorKind) -> None:
    del door
    read = connections._address_of
    assert read("ipv4:10.0.0.1:80") == ("10.0.0.1", 80)
    assert read("ipv6:%5B::1%5D:8080") == read("ipv6:[::1]:8080") == ("::1", 8080)
    assert read("ipv6:%5B::ffff:10.0.0.1%5D:80") == ("10.0.0.1", 80)
    Connections(1, 1, 1.0).look({"unix:": 5, "": 1})


def test_a_descriptor_of_another_port_may_become_one_of_ours(door: DoorKind) -> None:
    del door
    with (
        socket.create_server(("127.0.0.1", 0)) as ours,
        socket.create_server(("127.0.0.1", 0)) as others,
    ):
        looked = Connections(ours.getsockname()[1], 1 << 30, 60.0)
        first = socket.create_connection(others.getsockname())
        accepted, _ = others.accept()
        looked.look({})
        assert looked.count == 0
        with socket.create_connection(ours.getsockname()), first:
            mine, _ = ours.accept()
            number = accepted.detach()
            os.dup2(mine.fileno(), number)  # the number is used again
            mine.close()
            with socket.socket(fileno=number):
                looked.look({})
                assert looked.count == 1
                looked.look({})
                assert looked.count == 1
