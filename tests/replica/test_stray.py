"""A reward that writes where only its worker may costs that worker at once, and no neighbour."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from pathlib import Path

import pytest
from rewardplane.replica.control import READY, WORKER, Control, receive
from rewardplane.replica.fork_server import ForkServer
from rewardplane.replica.replica import worker_spec
from rewardplane.replica.worker import Worker, WorkerFailed
from rewardplane.replica.worker_pool import ForkedWorkers

from ..support import rig
from ..support.rig import configured, executions, groups_of, poison, pool_of, reasons, run


@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize("size", [1, 8, 100])
async def test_stray_bytes_cost_one_worker_at_once(
    size: int, linked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rig, "LINKED", linked)
    log = tmp_path / "log"
    async with pool_of(poison()) as pool:
        await pool.check_health()
        texts = [str(i) for i in range(40)]
        texts[20] = f"stray {size}"
        begin_s = time.monotonic()
        outcomes = await run(pool, groups_of(texts, log=log), deadline_s=60.0)
        assert time.monotonic() - begin_s < 15  # and not the deadline's 60
        told = reasons(outcomes)
        # The function may have ended well before its process did.
        assert told in (Counter(SCORED=40), Counter(SCORED=39, CRASHED=1))
        assert max(executions(log).values()) == 1
        assert reasons(await run(pool, groups_of(["1", "2"]))) == Counter(SCORED=2)


async def test_a_lost_fork_server_is_tried_again() -> None:
    """A template that dies while a worker starts fails no item; see D11 of the campaign."""
    workers = ForkedWorkers(worker_spec(configured(poison("Batch", kwargs={"wait": "0.5"}))))
    try:
        first = asyncio.ensure_future(workers.worker())
        for _ in range(2):
            await asyncio.sleep(0.4)
            while (process := workers._fork_server._process) is None:
                await asyncio.sleep(0.01)
            process.kill()
        worker = await asyncio.wait_for(first, 60)
        assert worker.usable
        assert not workers.broken
    finally:
        await workers.close()


async def test_a_fork_server_that_never_starts_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    workers = ForkedWorkers(worker_spec(configured(poison())))
    with pytest.raises(WorkerFailed):
        await workers.worker()
    assert workers.broken
    await workers.close()


async def test_a_fork_server_that_says_what_is_no_report_is_ended() -> None:
    fork_server = ForkServer()
    worker = await Worker.spawn(worker_spec(configured(poison())), fork_server)
    control = fork_server._socket
    assert control is not None
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    loop = asyncio.get_running_loop()
    loop.remove_reader(control)
    fork_server._socket = ours
    theirs.send(b"?")
    fork_server._readable()
    await asyncio.wait_for(worker.exited, 10)
    assert worker.lost
    for end in (control, theirs):
        end.close()


def test_control_messages_bring_the_descriptors_that_they_should() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        for kind, count in ((WORKER, 1), (WORKER, 0), (READY, 1)):
            Control(kind, descriptors=[0] * count).send(theirs)
            with pytest.raises(ValueError, match="descriptors"):
                receive(ours)
        Control(WORKER, descriptors=[0, 0]).send(theirs)
        message = receive(ours)
        assert message is not None
        for descriptor in message.descriptors:
            socket.close(descriptor)
