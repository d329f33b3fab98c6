"""A gateway and the replicas of its node: links, several owners, losses, drains."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from rewardplane.gateway import local_links
from rewardplane.gateway.lane import ReplicaLost
from rewardplane.gateway.local_replicas import LocalReplicas
from rewardplane.replica.linked_workers import LinkedWorkers
from rewardplane.replica.worker_host import local_folder

from ..support.rig import Linked, configured, executions, groups_of, poison, rewards, run


@contextlib.asynccontextmanager
async def linked(folder: Path, gateways: int = 1, **reward: Any) -> AsyncIterator[Linked]:
    made = Linked(configured(reward or poison()), folder, gateways)
    try:
        yield made
    finally:
        await made.stop()


class _Gateway:
    """One of several gateways, as `run` wants it."""

    def __init__(self, gateway: LocalReplicas) -> None:
        self.run = gateway.send


async def test_gateways_share_a_worker(tmp_path: Path) -> None:
    async with linked(tmp_path, gateways=3) as it:
        owners = [*map(_Gateway, it.gateways), it.replica]
        pids = {(await _rewards(owner, "pid"))[0] for owner in owners}
        assert len(pids) == 1
        answers = await asyncio.gather(
            *(_rewards(owner, f"{k}.0", "sleep 0.01") for k, owner in enumerate(owners * 10))
        )
        assert [a[0] for a in answers] == [float(k) for k in range(40)]


@pytest.mark.parametrize("command", ["exit 3", "signal SIGKILL"])
async def test_a_crash_is_the_doing_of_the_owner_s_own_item(tmp_path: Path, command: str) -> None:
    """Who only waited behind it is run again, once."""
    log = tmp_path / "log"
    (tmp_path / "s").mkdir()
    async with linked(tmp_path / "s", gateways=2) as it:
        one, two = map(_Gateway, it.gateways)
        await _rewards(one, "1")
        await _rewards(two, "1")
        crashing = asyncio.create_task(_rewards(one, "sleep 0.3", command, "5"))
        await asyncio.sleep(0.1)
        others = await run(two, groups_of(["1", "2", "3"], log=log))
        assert rewards(others) == [1.0, 2.0, 3.0]
        assert (await crashing)[1:] == ["CRASHED", 5.0]
        assert set(executions(log).values()) == {1}


async def test_a_straggler_of_one_owner_does_not_hold_up_another(tmp_path: Path) -> None:
    async with linked(tmp_path, gateways=2) as it:
        one, two = map(_Gateway, it.gateways)
        await _rewards(one, "1")
        await _rewards(two, "1")
        hanging = asyncio.create_task(_rewards(one, "hang", "7", timeout_s=6))
        await asyncio.sleep(0.2)
        begin_s = asyncio.get_running_loop().time()
        assert await _rewards(two, "1", "2", timeout_s=6) == [1.0, 2.0]
        assert asyncio.get_running_loop().time() - begin_s < 4
        assert await hanging == ["TIMED_OUT", 7.0]


async def test_async_items_of_other_owners_are_not_to_blame(tmp_path: Path) -> None:
    async with linked(tmp_path, gateways=2, **poison("one_async")) as it:
        one, two = map(_Gateway, it.gateways)
        await _rewards(one, "1")
        await _rewards(two, "1")
        waiting = asyncio.create_task(_rewards(two, "sleep 0.6", "3"))
        await asyncio.sleep(0.2)
        assert await _rewards(one, "exit 3") == ["CRASHED"]
        assert all(type(reward) is float for reward in await waiting)


async def test_a_worker_that_dies_idle_is_replaced_for_all(tmp_path: Path) -> None:
    async with linked(tmp_path, gateways=2) as it:
        one, two = map(_Gateway, it.gateways)
        for _ in range(3):
            (pid,) = await _rewards(one, "pid")
            assert await _rewards(two, "pid") == [pid]
            os.kill(int(float(pid)), signal.SIGKILL)
            assert await _rewards(two, "4") == [4.0]
            assert await _rewards(one, "5") == [5.0]


async def test_a_gateway_that_hangs_up_leaves_the_others_working(tmp_path: Path) -> None:
    async with linked(tmp_path, gateways=2) as it:
        one, two = map(_Gateway, it.gateways)
        await _rewards(two, "1")
        hanging = asyncio.create_task(_rewards(one, "hang", timeout_s=60))
        await asyncio.sleep(0.3)
        await it.gateways[0].close()
        assert await hanging == ["UNAVAILABLE"]
        # Nobody watches the item that hangs any more: its worker is ended with the gateway's link.
        assert await _rewards(two, "4", "5") == [4.0, 5.0]


async def test_a_replica_that_is_killed_is_lost(tmp_path: Path) -> None:
    async with linked(tmp_path) as it:
        gateway = _Gateway(it.gateways[0])
        running = asyncio.create_task(_rewards(gateway, "1", "hang", timeout_s=60))
        await asyncio.sleep(0.3)
        it.host.close()
        with pytest.raises(ReplicaLost, match="hung up"):
            await running
        with pytest.raises(ReplicaLost, match="no other"):
            await _rewards(gateway, "1")


async def test_a_replica_that_drains_gets_nothing_new_and_ends_what_it_has(tmp_path: Path) -> None:
    async with linked(tmp_path) as it:
        gateway = _Gateway(it.gateways[0])
        await _rewards(gateway, "1")
        running = asyncio.create_task(_rewards(gateway, "sleep 0.5", "3"))
        await asyncio.sleep(0.2)
        draining = asyncio.create_task(it.host.drain(5.0))
        await asyncio.sleep(0.1)
        with pytest.raises(ReplicaLost, match="no other"):
            await _rewards(gateway, "1")
        assert (await running)[1] == 3.0
        async with asyncio.timeout(1.0):
            await draining


async def test_bytes_that_are_no_message_cost_that_connection(tmp_path: Path) -> None:
    async with linked(tmp_path) as it:
        path = _socket_in(tmp_path)
        for stray in (b"x", b"\xff" * 25, b"\xff" * 4000):
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
                connection.connect(str(path))
                connection.send(stray)
        assert await _rewards(_Gateway(it.gateways[0]), "1") == [1.0]


async def test_the_socket_of_a_killed_replica_is_cleared_away(tmp_path: Path) -> None:
    config = configured(poison())
    dead = tmp_path / f"{config.fingerprint}.12345"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(dead))
    async with linked(tmp_path) as it:
        assert await _rewards(_Gateway(it.gateways[0]), "1") == [1.0]
    assert not dead.exists()


async def test_a_socket_of_another_process_is_not_trusted(tmp_path: Path) -> None:
    path = tmp_path / "reward.1"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(path))
        listener.listen()
        with pytest.raises(OSError, match="not the socket of process 1"):
            await LinkedWorkers.connect(path, 1, lambda: None)


async def test_the_replicas_of_another_version_are_not_ours(tmp_path: Path) -> None:
    async with linked(tmp_path) as it:
        path = _socket_in(tmp_path)
        path.rename(tmp_path / f"other.{os.getpid()}")
        with pytest.raises(ReplicaLost):
            await _rewards(_Gateway(it.gateways[0]), "1")


async def test_the_least_busy_replica_is_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configured(poison(replicas=2))
    monkeypatch.setattr(local_links, "pid_in", lambda _name: os.getpid())
    one = Linked(config, tmp_path)
    path = _socket_in(tmp_path)
    path.rename(tmp_path / f"{config.fingerprint}.1")
    two = Linked(config, tmp_path)
    try:
        gateway = _Gateway(one.gateways[0])
        pids = await asyncio.gather(*(_rewards(gateway, "sleep 0.2", "pid") for _ in range(2)))
        assert len({pid for _slept, pid in pids}) == 2
    finally:
        await one.stop()
        await two.stop()


async def _rewards(owner: Any, *texts: str, timeout_s: float = 30.0) -> list[float | str]:
    return rewards(await run(owner, groups_of(list(texts)), timeout_s=timeout_s))


def _socket_in(folder: Path) -> Path:
    (path,) = [p for p in folder.iterdir() if not p.name.startswith(".")]
    return path


# ---- where the sockets lie -----------------------------------------------------------------------


def test_a_folder_of_others_is_no_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    folder = local_folder("session")
    assert folder is not None
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert local_folder("session") == folder
    assert local_folder("another") != folder
    folder.chmod(0o750)
    assert local_folder("session") is None
    folder.rmdir()
    folder.symlink_to(tmp_path)
    assert local_folder("session") is None
    folder.unlink()
    folder.write_text("")
    assert local_folder("session") is None
