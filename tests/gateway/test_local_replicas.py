"""The way by socket between a gateway and the replicas of its node."""

from __future__ import annotations

import asyncio
import os
import socket
from array import array
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rewardplane.gateway import local_replicas as neighbours
from rewardplane.gateway.lane import ReplicaLost
from rewardplane.gateway.local_replicas import Neighbours
from rewardplane.replica import local_server
from rewardplane.replica.job import Part
from rewardplane.replica.local_server import LocalServer, local_folder
from rewardplane.replica.socket_frame import Framed

NAME = "0123456789abcdef"
NONE: tuple[int, float] = (0, 0.0)

Answer = tuple[list[tuple[int, Part, int]], bool, dict[str, Any]]
Run = Callable[[Sequence[Any], tuple[int, float]], AsyncIterator[Answer]]


def part(*rewards: float) -> Part:
    n = len(rewards)
    return Part(bytes([2] * n), array("d", rewards).tobytes(), b"", bytes(8 * n), {})


def answers(name: str) -> Run:
    """Answers each message with its length, and says who answered."""

    async def run(messages: Sequence[Any], backlog: tuple[int, float]) -> AsyncIterator[Answer]:
        for index, message in enumerate(messages):
            yield [(index, part(float(len(message[0]))), 7)], index == len(messages) - 1, {name: 1}

    return run


def nowhere(messages: Sequence[Any], backlog: tuple[int, float]) -> AsyncIterator[Answer]:
    raise AssertionError("went by handle")


class Held:
    """A replica whose calls last until `gate` is set, with room for others once told so."""

    def __init__(self, *, has_room: bool = False) -> None:
        self.gate = asyncio.Event()
        self.started = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.has_room = has_room

    async def run(
        self, messages: Sequence[Any], backlog: tuple[int, float]
    ) -> AsyncIterator[Answer]:
        self.started.set()
        try:
            yield [(0, part(1.0), 0)], self.has_room, {}
            await self.gate.wait()
            yield [(0, part(2.0), 0)], True, {}
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


async def told(iterator: AsyncIterator[Answer]) -> list[Answer]:
    return [answer async for answer in iterator]


async def served(folder: Path, run: Run, name: str = NAME) -> LocalServer:
    server = LocalServer(run)
    await server.start(folder, name)
    return server


@pytest.fixture
def pids(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Lets one process stand for several: a socket is named for its process."""
    real = os.getpid()
    monkeypatch.setattr(neighbours, "_pid_in", lambda _name: real)
    return lambda pid: monkeypatch.setattr(local_server.os, "getpid", lambda: pid)


async def test_answers_come_as_they_were_given(tmp_path: Path) -> None:
    server = await served(tmp_path, answers("a"))
    send = Neighbours(tmp_path, NAME, 1, nowhere).send
    got = await told(send([(b"x" * 3_000_000,), (b"",)], NONE))
    assert got == [
        ([(0, part(3_000_000.0), 7)], False, {"a": 1}),
        ([(1, part(0.0), 7)], True, {"a": 1}),
    ]
    server.close()


async def test_calls_side_by_side_do_not_mix(tmp_path: Path) -> None:
    server = await served(tmp_path, answers("a"))
    send = Neighbours(tmp_path, NAME, 1, nowhere).send
    await told(send([(b"",)], NONE))
    got = await asyncio.gather(*(told(send([(b"x" * n,)], NONE)) for n in range(50)))
    assert [g[0][0][0][1] for g in got] == [part(float(n)) for n in range(50)]
    server.close()


async def test_the_least_busy_replica_is_chosen(
    tmp_path: Path, pids: Callable[[int], None]
) -> None:
    held = Held()
    pids(1)
    one = await served(tmp_path, held.run)
    send = Neighbours(tmp_path, NAME, 2, answers("handle")).send
    first = asyncio.create_task(told(send([(b"",)], NONE)))
    await held.started.wait()
    pids(2)
    two = await served(tmp_path, answers("two"))
    # The second one is found when the folder is looked at again; until then the handle serves.
    names: set[str] = set()
    while "two" not in names:
        names |= set((await told(send([(b"",)], NONE)))[0][2])
        await asyncio.sleep(0.01)
    assert "handle" in names
    for _ in range(5):
        assert (await told(send([(b"",)], NONE)))[0][2] == {"two": 1}
    held.gate.set()
    assert [a[0][0][1] for a in await first] == [part(1.0), part(2.0)]
    one.close()
    two.close()


async def test_room_counts_before_the_end_of_a_call(tmp_path: Path) -> None:
    held = Held(has_room=True)
    server = await served(tmp_path, held.run)
    send = Neighbours(tmp_path, NAME, 2, answers("handle")).send
    async with aclosing(send([(b"",)], NONE)) as first:
        await anext(first)
        held.started.clear()
        async with aclosing(send([(b"",)], NONE)) as second:
            await anext(second)
            assert held.started.is_set()
    server.close()


async def test_calls_with_room_beside_them_are_spread(
    tmp_path: Path, pids: Callable[[int], None]
) -> None:
    replicas = [Held(has_room=True), Held(has_room=True)]
    servers: list[LocalServer] = []
    for pid, held in enumerate(replicas):
        pids(pid)
        servers.append(await served(tmp_path, held.run))
    send = Neighbours(tmp_path, NAME, 2, nowhere).send
    async with aclosing(send([(b"",)], NONE)) as one, aclosing(send([(b"",)], NONE)) as two:
        await anext(one)
        await anext(two)
        assert all(held.started.is_set() for held in replicas)
    for server in servers:
        server.close()


async def test_a_call_that_nobody_waits_for_is_stopped(tmp_path: Path) -> None:
    held = Held()
    server = await served(tmp_path, held.run)
    async with aclosing(Neighbours(tmp_path, NAME, 1, nowhere).send([(b"",)], NONE)) as call:
        await anext(call)
    await asyncio.wait_for(held.cancelled.wait(), 5)
    server.close()


async def test_a_gateway_that_hangs_up_stops_its_calls(tmp_path: Path) -> None:
    held = Held()
    server = await served(tmp_path, held.run)
    path = tmp_path / f"{NAME}.{os.getpid()}"
    _reader, writer = await asyncio.open_unix_connection(str(path))
    framed = Framed()
    framed._transport = writer.transport
    framed.send(0, 1, ([(b"",)], NONE))
    await held.started.wait()
    writer.close()
    await asyncio.wait_for(held.cancelled.wait(), 5)
    server.close()


async def test_a_replica_that_goes_away_is_lost(tmp_path: Path) -> None:
    held = Held()
    server = await served(tmp_path, held.run)
    send = Neighbours(tmp_path, NAME, 1, answers("handle")).send
    async with aclosing(send([(b"",)], NONE)) as call:
        await anext(call)
        server.close()
        with pytest.raises(ReplicaLost, match="hung up"):
            await asyncio.wait_for(anext(call), 5)
    assert (await told(send([(b"",)], NONE)))[0][2] == {"handle": 1}


async def test_a_fault_of_the_replica_is_told(tmp_path: Path) -> None:
    async def broken(messages: Sequence[Any], backlog: tuple[int, float]) -> AsyncIterator[Answer]:
        yield [(0, part(1.0), 0)], False, {}
        raise ValueError("no more")

    server = await served(tmp_path, broken)
    send = Neighbours(tmp_path, NAME, 1, nowhere).send
    async with aclosing(send([(b"",)], NONE)) as call:
        assert (await anext(call))[0][0][1] == part(1.0)
        with pytest.raises(ReplicaLost, match="no more"):
            await asyncio.wait_for(anext(call), 5)
    server.close()


async def test_the_socket_of_a_killed_replica_is_cleared_away(tmp_path: Path) -> None:
    dead = tmp_path / f"{NAME}.77"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(dead))
    send = Neighbours(tmp_path, NAME, 1, answers("handle")).send
    assert (await told(send([(b"",)], NONE)))[0][2] == {"handle": 1}
    assert not dead.exists()


async def test_a_socket_that_is_not_its_processs_own_is_not_trusted(tmp_path: Path) -> None:
    server = await served(tmp_path, answers("forger"))
    (tmp_path / f"{NAME}.{os.getpid()}").rename(tmp_path / f"{NAME}.{os.getppid()}")
    send = Neighbours(tmp_path, NAME, 1, answers("handle")).send
    assert (await told(send([(b"",)], NONE)))[0][2] == {"handle": 1}
    await asyncio.sleep(0.05)
    server.close()
    await asyncio.sleep(0.05)


async def test_a_call_that_is_cancelled_by_whoever_ends(tmp_path: Path) -> None:
    async def gives_up(
        messages: Sequence[Any], backlog: tuple[int, float]
    ) -> AsyncIterator[Answer]:
        yield [(0, part(1.0), 0)], False, {}
        raise asyncio.CancelledError

    server = await served(tmp_path, gives_up)
    send = Neighbours(tmp_path, NAME, 1, nowhere).send
    async with aclosing(send([(b"",)], NONE)) as call:
        await anext(call)
        with pytest.raises(ReplicaLost, match="gave the call up"):
            await asyncio.wait_for(anext(call), 5)
    server.close()


async def test_a_replica_that_stops_ends_what_it_has(tmp_path: Path) -> None:
    held = Held()
    server = await served(tmp_path, held.run)
    send = Neighbours(tmp_path, NAME, 1, answers("handle")).send
    async with aclosing(send([(b"",)], NONE)) as call:
        await anext(call)
        draining = asyncio.create_task(server.drain(5.0))
        await asyncio.sleep(0.05)
        held.gate.set()
        assert (await anext(call))[0][0][1] == part(2.0)
        await draining
    await asyncio.sleep(0.05)
    assert (await told(send([(b"",)], NONE)))[0][2] == {"handle": 1}


async def test_the_replicas_of_another_version_are_not_ours(tmp_path: Path) -> None:
    server = await served(tmp_path, answers("other"), "fedcba9876543210")
    send = Neighbours(tmp_path, NAME, 1, answers("handle")).send
    assert (await told(send([(b"",)], NONE)))[0][2] == {"handle": 1}
    server.close()


def test_a_folder_of_others_is_no_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_server.tempfile, "gettempdir", lambda: str(tmp_path))
    folder = local_folder("session")
    assert folder is not None
    assert folder.stat().st_mode & 0o077 == 0
    folder.parent.chmod(0o755)
    assert local_folder("session") is None
    folder.parent.chmod(0o700)
    assert local_folder("session") == folder
    folder.rmdir()
    folder.symlink_to(tmp_path)
    assert local_folder("session") is None


Frames = st.lists(
    st.tuples(
        st.integers(0, 255), st.integers(0, 2**64 - 1), st.one_of(st.none(), st.binary(max_size=40))
    ),
    max_size=8,
)


class _Sink(asyncio.WriteTransport):
    def __init__(self) -> None:
        super().__init__()
        self.data = bytearray()

    def writelines(self, list_of_data: Any) -> None:
        self.data += b"".join(list_of_data)

    def is_closing(self) -> bool:
        return False


@given(Frames, st.lists(st.integers(1, 60), min_size=1))
def test_frames_survive_any_cut(
    frames: list[tuple[int, int, bytes | None]], cuts: list[int]
) -> None:
    sink, sender, got = _Sink(), Framed(), list[tuple[int, int, Any]]()
    sender.connection_made(sink)
    for kind, call, body in frames:
        sender.send(kind, call, body)

    class Receiver(Framed):
        def received(self, kind: int, call: int, body: Any) -> None:
            got.append((kind, call, body))

    receiver, data, turn = Receiver(), bytes(sink.data), 0
    while data:
        size = cuts[turn % len(cuts)]
        receiver.data_received(data[:size])
        data, turn = data[size:], turn + 1
    assert got == frames
