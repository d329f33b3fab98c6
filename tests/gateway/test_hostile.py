"""Short forms of `tests.load.hostile`: resets, streams that nobody reads, idle connections."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

import pytest
from rewardplane.gateway.doors.door import DoorKind
from rewardplane.v1 import reward_service_pb2 as pb

from ..support.h2 import Rude
from ..support.rig import Rig, groups_of, poison, request_of, rewards, rig
from .doors.served import until

SCORE = "/rewardplane.v1.RewardService/Score"
STREAM = "/rewardplane.v1.RewardService/StreamScores"
pytestmark = pytest.mark.parametrize("door", list(DoorKind))


def made(door: DoorKind) -> Rig:
    return rig({"exact": {"kind": "exact"}}, {"default_deadline_s": 3}, door=door)


def port_of(it: Rig) -> int:
    return int(it.address.rpartition(":")[2])


async def answers(it: Rig) -> None:
    begin_s = time.monotonic()
    assert rewards(await it.score("exact", ["1"], references={"answer": "1"})) == [1.0]
    assert time.monotonic() - begin_s < 5


async def test_calls_that_are_taken_back_at_once(door: DoorKind) -> None:
    async with made(door) as it, Rude(port_of(it)) as client:
        for index in range(4000):
            if client.closed.is_set():
                break  # a door may end such a connection
            client.reset(client.begin(SCORE))
            if index % 500 == 0:
                await answers(it)
        await answers(it)
        await until(lambda: not it.server.door.in_flight())
        assert it.admission.calls == 0


@pytest.mark.parametrize("timeout_s", [2, 3000])
async def test_streams_that_nobody_reads_give_their_places_back(
    door: DoorKind, timeout_s: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rewardplane.gateway.server.SEND_S", 2.0)
    async with made(door) as it, AsyncExitStack() as stack:
        request = pb.ScoreRequest(reward="exact", groups=groups_of(["1"] * 3000, gold="1"))
        data = pb.StreamScoresRequest(request=request).SerializeToString()
        for _ in range(5):
            client = await stack.enter_async_context(Rude(port_of(it), reads_data=False))
            await client.message(client.begin(STREAM, timeout_s=timeout_s), data)
        await until(lambda: it.metrics.figures("exact").items.total() >= 15_000)
        # Every item has its outcome: no place is held for who does not read them.
        await until(lambda: it.admission.items == 0)
        # And what they are to be told is dropped by the deadline, or when nothing moved for long.
        await until(lambda: not it.server.door.in_flight(), 15)
        await answers(it)


async def test_idle_connections_cost_nobody_anything(door: DoorKind) -> None:
    async with made(door) as it, AsyncExitStack() as stack:
        for _ in range(150):
            await stack.enter_async_context(Rude(port_of(it)))
        await until(lambda: it.server.connections.count >= 150)
        for _ in range(20):
            await answers(it)
        assert rewards(await it.score("exact", *[["1"]] * 50, references={"answer": "1"})) == (
            [1.0] * 50
        )


async def test_many_streams_together_take_one_breath_a_turn(door: DoorKind) -> None:
    """Measured in CPU time of the thread: others on the machine do not count."""
    async with made(door) as it, AsyncExitStack() as stack:
        request = pb.ScoreRequest(reward="exact", groups=groups_of(["1"] * 2000))  # all fail
        data = pb.StreamScoresRequest(request=request).SerializeToString()
        for _ in range(20):
            client = await stack.enter_async_context(Rude(port_of(it), reads_data=False))
            await client.message(client.begin(STREAM, timeout_s=30), data)
        breaths_s: list[float] = []
        while it.metrics.figures("exact").items.total() < 40_000:
            begin_s = time.thread_time()
            await asyncio.sleep(0)
            breaths_s.append(time.thread_time() - begin_s)
        assert sorted(breaths_s)[-5] < 0.02


@pytest.mark.parametrize("method", [SCORE, STREAM])
async def test_a_call_that_is_taken_back_before_it_is_looked_at_is_not_run(
    door: DoorKind, method: str
) -> None:
    """It may come with its end in one burst: nobody pays a judge for it."""
    async with rig({"it": poison()}, door=door) as it, Rude(port_of(it)) as client:
        await it.score("it", ["1"])
        sent = request_of("it", ["sleep 60"])
        request = sent if method == SCORE else pb.StreamScoresRequest(request=sent)
        for _ in range(5):
            stream = client.begin(method)
            await client.message(stream, request.SerializeToString())
            client.reset(stream)
            time.sleep(0.1)  # noqa: ASYNC251 - the loop looks at nothing meanwhile
        await asyncio.sleep(0.3)  # until they have come
        await until(lambda: not it.server.door.in_flight())
        await until(lambda: it.admission.calls == it.admission.items == 0, 5)
