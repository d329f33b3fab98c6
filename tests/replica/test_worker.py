"""A worker process by itself: it is spawned, fed and killed, and its owner knows how it ended."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable

import psutil
import pytest
import pytest_asyncio
from rewardplane.replica.fork_server import ForkServer, ForkServerLost
from rewardplane.replica.replica import worker_spec
from rewardplane.replica.segment import RUNNING, SCORED, Segment
from rewardplane.replica.work import Work
from rewardplane.replica.worker import Worker, WorkerFailed
from rewardplane.v1 import reward_service_pb2 as pb

from ..support.rig import configured, groups_of, poison

pytestmark = pytest.mark.asyncio(loop_scope="module")

SPEC = worker_spec(configured(poison()))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fork_server() -> AsyncIterator[ForkServer]:
    made = ForkServer()
    yield made
    made.close()


@pytest_asyncio.fixture(loop_scope="module")
async def worker(fork_server: ForkServer) -> AsyncIterator[Worker]:
    made = await Worker.spawn(SPEC, fork_server)
    yield made
    await made.close()


def segment_of(*texts: str) -> Segment:
    data = pb.ScoreRequest(groups=groups_of(texts)).SerializeToString()
    until_ns = time.monotonic_ns() + 60 * 10**9
    work = Work([data], [(0, len(texts), until_ns)], 30.0, until_ns)
    return Segment.with_payload(len(texts), 0, work.size, work.write)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_segment_comes_back_filled(worker: Worker) -> None:
    segment = segment_of("1", "2.5", "raise it")
    ended = await worker.feed(segment)
    assert await ended is True
    assert segment.rewards.tolist()[:2] == [1.0, 2.5]
    assert segment.read_states()[:2] == bytes([SCORED] * 2)
    assert "ValueError: it" in segment.extras()[2][1]
    assert worker.idle
    segment.close()


async def test_segments_are_run_in_the_order_fed(worker: Worker) -> None:
    segments = [segment_of("sleep 0.02", str(i)) for i in range(10)]
    ended = [await worker.feed(segment) for segment in segments]
    assert all(await asyncio.gather(*ended))
    assert [segment.rewards[1] for segment in segments] == list(range(10))
    starts = [segment.started_ns[0] for segment in segments]
    assert starts == sorted(starts)
    for segment in segments:
        segment.close()


async def test_a_worker_starts_within_a_moment(fork_server: ForkServer) -> None:
    """It is forked from a process that has imported what it needs."""
    await (await Worker.spawn(SPEC, fork_server)).close()
    begin_s = time.monotonic()
    for _ in range(5):
        await (await Worker.spawn(SPEC, fork_server)).close()
    assert time.monotonic() - begin_s < 5 * 0.5


@pytest.mark.parametrize(
    ("command", "code"), [("exit 5", 5), ("exit 0", 0), ("segfault", -11), ("signal SIGTERM", -15)]
)
async def test_how_it_ended_is_known(worker: Worker, command: str, code: int) -> None:
    segment = segment_of("1", command, "2")
    assert await (await worker.feed(segment)) is False
    assert worker.exit_code == code
    assert worker.peak_bytes > 2**20
    assert not worker.alive
    assert segment.read_states() == bytes([SCORED, RUNNING, 0])
    assert worker.running_at_death == 1
    segment.close()


async def test_feeding_a_dead_worker_says_so(worker: Worker) -> None:
    await worker.close()
    segment = segment_of("1")
    assert await (await worker.feed(segment)) is False
    segment.close()


async def test_feeding_a_worker_as_it_dies_says_so(fork_server: ForkServer) -> None:
    for _ in range(10):
        worker = await Worker.spawn(SPEC, fork_server)
        os.kill(worker.pid, signal.SIGKILL)
        segment = segment_of("1")
        assert await (await worker.feed(segment)) is False
        segment.close()
        assert worker.exit_code == -signal.SIGKILL


async def test_more_segments_than_the_socket_holds(worker: Worker) -> None:
    hold = segment_of("sleep 0.5")
    first = await worker.feed(hold)
    segments = [segment_of(str(i)) for i in range(400)]
    ended = await asyncio.gather(*(worker.feed(segment) for segment in segments))
    assert await first
    assert all(await asyncio.gather(*ended))
    assert sorted(segment.rewards[0] for segment in segments) == list(range(400))
    for segment in (hold, *segments):
        segment.close()


async def test_cancelling_who_waits_leaves_nothing_behind(worker: Worker) -> None:
    for _ in range(20):
        segment = segment_of("sleep 0.01")
        ended = await worker.feed(segment)
        waiting = asyncio.ensure_future(asyncio.wait((ended,)))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        segment.close()
    await until(lambda: worker.idle)


async def test_kill_is_not_for_somebody_else(worker: Worker) -> None:
    await worker.close()
    worker.kill()  # its pid may be another's by now
    await worker.close()
    assert worker.exit_code == -signal.SIGKILL


async def test_workers_have_a_group_and_a_session_of_their_own(worker: Worker) -> None:
    assert os.getpgid(worker.pid) == worker.pid == os.getsid(worker.pid)
    assert os.getpgid(0) != worker.pid


async def test_a_worker_holds_only_descriptors_of_its_own(
    worker: Worker, fork_server: ForkServer
) -> None:
    other = await Worker.spawn(SPEC, fork_server)
    assert psutil.Process(other.pid).num_fds() <= psutil.Process(worker.pid).num_fds()
    assert psutil.Process(other.pid).num_fds() < 10
    await other.close()


async def test_a_fork_server_that_ends_takes_its_workers_along() -> None:
    fork_server = ForkServer()
    workers = [await Worker.spawn(SPEC, fork_server) for _ in range(3)]
    segment = segment_of("hang")
    ended = await workers[0].feed(segment)
    await until(lambda: segment.read_states() == bytes([RUNNING]))
    pids = [worker.pid for worker in workers]
    fork_server.close()
    assert await ended is False
    await asyncio.gather(*(worker.exited for worker in workers))
    assert not any(psutil.pid_exists(pid) for pid in pids) or all(
        psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        for pid in pids
        if psutil.pid_exists(pid)
    )
    # And the next one is started anew.
    worker = await Worker.spawn(SPEC, fork_server)
    await worker.close()
    fork_server.close()
    segment.close()


async def test_many_workers_at_once(fork_server: ForkServer) -> None:
    workers = await asyncio.gather(*(Worker.spawn(SPEC, fork_server) for _ in range(12)))
    assert len({worker.pid for worker in workers}) == 12
    await asyncio.gather(*(worker.close() for worker in workers))


async def test_a_cancelled_spawn_leaves_no_process(fork_server: ForkServer) -> None:
    await (await Worker.spawn(SPEC, fork_server)).close()
    before = {p.pid for p in psutil.Process().children(recursive=True)}
    for delay_s in (0.0, 0.001, 0.01, 0.03):
        task = asyncio.create_task(Worker.spawn(SPEC, fork_server))
        await asyncio.sleep(delay_s)
        task.cancel()
        (result,) = await asyncio.gather(task, return_exceptions=True)
        if isinstance(result, Worker):
            await result.close()
    await until(lambda: {p.pid for p in psutil.Process().children(recursive=True)} <= before)


async def test_a_fork_server_that_cannot_start_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(ForkServerLost):
        await ForkServer().fork()
    with pytest.raises(WorkerFailed):
        await Worker.spawn(SPEC, ForkServer())
