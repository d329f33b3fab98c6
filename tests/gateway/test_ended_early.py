"""Work that nobody waits for any more in the turn in which its task is made.

Such a task has not begun, and would run none of its `finally`: what it holds would be held
for ever.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from rewardplane.gateway.doors.rpc import Metadata, Rpc
from rewardplane.gateway.lane import PoolLane
from rewardplane.gateway.server import SERVICE
from rewardplane.replica.answers import Answer
from rewardplane.replica.job_link import JobHost, JobLink
from rewardplane.v1 import reward_service_pb2 as pb

from ..support.replicas import Replicas, answers
from ..support.rig import Rig, begin, poison, reasons, request_of, rig

REQUEST = request_of("it", ["1"])
DATA = REQUEST.SerializeToString()


def lane_of(it: Rig) -> PoolLane:
    lane = it.rewards.find("it", "").pool
    assert isinstance(lane, PoolLane)
    return lane


async def test_a_call_of_a_replica() -> None:
    it = rig({"it": poison()}, connect=Replicas(answers).connect)
    lane = lane_of(it)
    for _ in range(3):
        call = begin(it.scorer, DATA)
        lane._pump()
        it.scorer.cancel(call)
        lane._sweep()
        await asyncio.sleep(0.02)
        assert (lane._in_flight, lane._in_flight_items) == (0, 0)
    await it.scorer.score(DATA, 5.0, "")


@pytest.mark.parametrize("watched", [True, False])
async def test_a_job_that_was_begun_at_once(*, watched: bool) -> None:
    """Its worker is free again: the job goes there once more."""
    async with rig({"it": poison()}) as it:
        await it.score("it", ["1"])
        told = asyncio.ensure_future(it.score("it", ["sleep 0.5"], deadline_s=20))
        lane = lane_of(it)
        while not lane._direct:
            await asyncio.sleep(0)
        (run,) = lane._direct
        if watched:
            run._timer.cancel()
            run._watch()
        run.cancel()
        assert reasons(await told) == {"SCORED": 1}
        assert reasons(await it.score("it", ["1"], deadline_s=20)) == {"SCORED": 1}


async def test_what_was_sent_twice_fails_once() -> None:
    it = rig({"it": poison()}, connect=Replicas(answers).connect)
    call = begin(it.scorer, request_of("it", ["1"] * 9).SerializeToString())
    told: list[int] = []
    call.on_items = told.extend
    call.sent = [(0, 4), (2, 6), (0, 4)]
    call.expire()
    assert sorted(told) == list(range(9))
    assert call.pending == 0


class Left(Rpc):
    """A call whose caller is gone."""

    def answer(self, message: bytes, trailers: Metadata = ()) -> None:
        """Nobody reads it."""

    def fail(self, code: Any, text: str, trailers: Metadata = ()) -> None:
        """Nobody reads it."""

    def finish(self, trailers: Metadata = ()) -> None:
        """Nobody reads it."""

    async def send(self, message: bytes, by_s: float | None = None) -> bool:
        """Nobody reads it."""
        return False


async def test_a_stream_is_counted() -> None:
    it = rig({"it": poison()}, connect=Replicas(answers).connect)
    method = f"/{SERVICE}/StreamScores"
    data = pb.StreamScoresRequest(request=REQUEST).SerializeToString()
    for _ in range(3):
        rpc = Left(method, data, (), None, "")
        it.servicer.methods()[method](rpc)
        rpc.cancelled()
    await asyncio.sleep(0.05)
    assert sum(it.metrics.requests.values()) == 3
    assert it.admission.calls == it.admission.items == 0


@asynccontextmanager
async def linked(folder: Path) -> AsyncIterator[tuple[JobLink, Any]]:
    """Both ends of a link; what runs there does not end."""

    async def run(_reward: Any, _jobs: Any, _backlog: Any) -> AsyncGenerator[Answer, None]:
        await asyncio.sleep(30)
        yield [], True, {}

    host = JobHost(run, lambda: None)
    await host.start(folder, "abc")
    link = await JobLink.connect(folder / f"abc.{os.getpid()}", os.getpid(), lambda: None)
    while not host.ends:
        await asyncio.sleep(0.01)
    (end,) = host.ends
    yield link, end
    link.hang_up()
    await host.drain(1)
    while link._transport is not None or host.ends:
        await asyncio.sleep(0.01)


async def test_a_job_by_a_socket(tmp_path: Path) -> None:
    async with linked(tmp_path) as (link, end):
        for number in range(1, 4):
            link.say((number, None, [], (0, 0.0)))
            link.say((number,))
        await asyncio.sleep(0.1)
        assert end.tasks == {}


async def test_a_job_that_cannot_be_said(tmp_path: Path) -> None:
    job: Any = [b""], 7, [], 1.0, 1.0, 1.0, "", False
    async with linked(tmp_path) as (link, _end):
        with pytest.raises(Exception, match="pickle"):
            await anext(link.run(lambda: None, [job], (0, 0.0)))
        assert link.items == 0
        assert not link._answers
