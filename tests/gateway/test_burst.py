"""Many calls at once: all are admitted, all are answered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
import uvloop
from rewardplane.gateway.doors.door import DoorKind
from rewardplane.gateway.lane import Answers
from rewardplane.gateway.server import SERVICE
from rewardplane.replica.replica import Message, Pool
from rewardplane.v1 import reward_service_pb2 as pb

from ..support.rig import configured, poison, request_of, rig


@pytest.mark.timeout(180)
@pytest.mark.parametrize("door", list(DoorKind))
def test_twenty_thousand_calls_in_flight(door: DoorKind) -> None:
    uvloop.run(_burst(20_000, door))


async def _burst(count: int, door: DoorKind) -> None:
    """The replica takes nothing until all calls have been admitted."""
    gate = asyncio.Event()
    replica = Pool(configured(poison()))

    async def send(messages: Sequence[Message], backlog: tuple[int, float]) -> Answers:
        await gate.wait()
        async for answer in replica.run(messages, backlog):
            yield answer

    async with rig({"poison": poison()}, connect=lambda _: send, door=door) as made:
        try:
            score = made.channel.unary_unary(f"/{SERVICE}/Score")
            calls = [
                score(request_of("poison", [str(i)]).SerializeToString(), timeout=150)
                for i in range(count)
            ]
            async with asyncio.timeout(140):
                while made.admission.calls < count:
                    await asyncio.sleep(0.01)
            assert made.admission.items == count
            gate.set()
            answers = [pb.ScoreResponse.FromString(await call) for call in calls]
        finally:
            await replica.stop()
        assert [a.groups[0].outcomes[0].score.reward for a in answers] == list(range(count))
        assert made.admission.items == made.admission.bytes == made.admission.calls == 0
        assert made.metrics.figures("poison").items == {"SCORED": count}
