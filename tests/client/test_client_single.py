"""Single calls travel together, and none pays for another's fault."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import grpc
import pytest
from rewardplane.client import batcher
from rewardplane.client import retry_policy as retry
from rewardplane.client.client import RewardClient
from rewardplane.rewards.types import Example, Reason, Response, Score, ScoreError
from rewardplane.v1 import reward_service_pb2 as pb
from rewardplane.wire.errors import (
    CallError,
    DeadlineExceeded,
    Internal,
    InvalidRequest,
    NotReady,
    UnknownReward,
)

from ..support.fake_server import FakeService, fails, hangs, serving
from .test_client import until


@pytest.fixture
def service() -> FakeService:
    return FakeService(delay_s=0.02)


@pytest.fixture
async def client(service: FakeService) -> AsyncIterator[RewardClient]:
    async with serving(service) as target, RewardClient(target) as client:
        yield client


async def one(client: RewardClient, text: str, timeout_s: float = 30) -> Score | ScoreError:
    return await client.score_one("math", Example(), Response(text), timeout_s=timeout_s)


async def test_a_lone_call_goes_at_once(
    client: RewardClient, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await one(client, "7") == Score(7.0)
    monkeypatch.setattr(batcher, "WAIT_S", 10.0)
    start_s = time.monotonic()
    assert await one(client, "8") == Score(8.0)
    assert time.monotonic() - start_s < 5
    assert [len(call.groups) for call in service.calls] == [1, 1]


async def test_a_thousand_at_once_are_few_calls_and_each_gets_its_own(
    client: RewardClient, service: FakeService
) -> None:
    outcomes = await asyncio.gather(*(one(client, str(i)) for i in range(1_000)))
    assert outcomes == [Score(float(i)) for i in range(1_000)]
    assert service.items == 1_000
    assert len(service.calls) <= 10
    assert max(len(call.groups) for call in service.calls) == batcher.MAX_ITEMS


async def test_a_steady_trickle_rides_with_the_next_call(
    client: RewardClient, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batcher, "WAIT_S", 0.05)
    service.delay_s = 0.2
    tasks = []
    for i in range(200):
        tasks.append(asyncio.create_task(one(client, str(i))))
        await asyncio.sleep(0.001)
    assert await asyncio.gather(*tasks) == [Score(float(i)) for i in range(200)]
    assert len(service.calls) <= 60


async def test_a_slow_item_does_not_hold_up_those_that_come_after_it(
    client: RewardClient, service: FakeService
) -> None:
    service.script = [hangs]
    slow = asyncio.create_task(one(client, "1"))
    await until(lambda: service.in_flight == 1)
    start_s = time.monotonic()
    assert await asyncio.gather(*(one(client, str(i)) for i in range(5))) == [
        Score(float(i)) for i in range(5)
    ]
    assert time.monotonic() - start_s < 10
    slow.cancel()
    await asyncio.gather(slow, return_exceptions=True)


async def test_calls_are_bounded_by_bytes(client: RewardClient, service: FakeService) -> None:
    size = batcher.MAX_BYTES // 10
    texts = [f"{i} " + "x" * size for i in range(40)]
    outcomes = await asyncio.gather(*(one(client, text) for text in texts))
    assert outcomes == [Score(float(i)) for i in range(40)]
    assert max(call.ByteSize() for call in service.calls) <= batcher.MAX_BYTES + 1_000
    huge = f"5 {'x' * 3 * batcher.MAX_BYTES}"
    assert await one(client, huge) == Score(5.0)


async def test_calls_in_flight_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batcher, "MAX_ITEMS", 4)
    monkeypatch.setattr(batcher, "MAX_CALLS", 3)
    service = FakeService(delay_s=0.02)
    async with serving(service) as target, RewardClient(target) as client:
        outcomes = await asyncio.gather(*(one(client, str(i)) for i in range(100)))
    assert outcomes == [Score(float(i)) for i in range(100)]
    assert service.most_in_flight == 3
    assert len(service.calls) == 25


async def test_calls_on_other_terms_travel_apart(
    client: RewardClient, service: FakeService
) -> None:
    await asyncio.gather(
        *(
            client.score_one(
                reward, Example(), Response("1"), step=step, include_components=components
            )
            for reward in ("math", "math2")
            for step in (1, 2)
            for components in (False, True)
            for _ in range(5)
        )
    )
    assert [len(call.groups) for call in service.calls] == [5] * 8
    seen = {(call.reward, call.step, call.options.include_components) for call in service.calls}
    assert len(seen) == 8


async def test_item_errors_are_outcomes(client: RewardClient) -> None:
    outcomes = await asyncio.gather(one(client, "1"), one(client, "TIMED_OUT"))
    assert outcomes == [Score(1.0), ScoreError(Reason.TIMED_OUT, "as told: TIMED_OUT")]


async def test_one_bad_request_fails_alone(client: RewardClient, service: FakeService) -> None:
    async def refuse(request: pb.ScoreRequest, context: grpc.aio.ServicerContext) -> None:
        texts = [group.responses[0].text for group in request.groups]
        if "13" in texts or "77" in texts:
            await fails(InvalidRequest("13 and 77 are bad luck"))(request, context)

    service.script = [refuse] * 1_000
    outcomes = await asyncio.gather(
        *(one(client, str(i)) for i in range(100)), return_exceptions=True
    )
    for i, outcome in enumerate(outcomes):
        if i in (13, 77):
            assert isinstance(outcome, InvalidRequest)
        else:
            assert outcome == Score(float(i))
    # Halved until alone: two culprits in 100 cost less than a call each.
    assert len(service.calls) < 32


@pytest.mark.parametrize("error", [UnknownReward("no"), Internal("bug")], ids=["shape", "service"])
async def test_what_is_wrong_with_all_is_told_to_each(
    client: RewardClient, service: FakeService, error: CallError
) -> None:
    service.script = [fails(error)]
    failures = await asyncio.gather(
        *(one(client, str(i)) for i in range(50)), return_exceptions=True
    )
    assert {type(failure) for failure in failures} == {type(error)}
    assert len({id(failure) for failure in failures}) == 50
    assert len(service.calls) == 1


async def test_calls_together_are_tried_again_together(
    client: RewardClient, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "FIRST_PAUSE_S", 0.001)
    service.script = [fails(NotReady("draining"))] * 3
    outcomes = await asyncio.gather(*(one(client, str(i)) for i in range(50)))
    assert outcomes == [Score(float(i)) for i in range(50)]
    assert len(service.calls) == 4


async def test_the_deadline_of_each_holds(client: RewardClient, service: FakeService) -> None:
    service.script = [hangs]
    start_s = time.monotonic()
    failures = await asyncio.gather(
        *(one(client, str(i), timeout_s=0.3) for i in range(10)), return_exceptions=True
    )
    assert {type(failure) for failure in failures} == {DeadlineExceeded}
    assert 0.2 < time.monotonic() - start_s < 5


async def test_time_spent_waiting_for_a_place_counts(
    service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batcher, "MAX_CALLS", 1)
    service.script = [hangs]
    async with serving(service) as target, RewardClient(target) as client:
        first = asyncio.create_task(one(client, "1", timeout_s=0.5))
        await until(lambda: service.in_flight == 1)
        await asyncio.sleep(0.3)
        second = asyncio.create_task(one(client, "2", timeout_s=0.5))
        # It goes when the first has run out of time, with what is left of its own.
        assert await second == Score(2.0)
        with pytest.raises(DeadlineExceeded):
            await first
    assert service.remaining_s[1] < 0.4


async def test_a_call_that_found_no_place_says_how_the_last_one_ended(
    service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batcher, "MAX_CALLS", 1)
    monkeypatch.setattr(batcher, "MAX_ITEMS", 1)
    monkeypatch.setattr(retry, "FIRST_PAUSE_S", 0.001)
    service.script = [fails(NotReady("draining"))] * 10_000
    async with serving(service) as target, RewardClient(target) as client:
        failures = await asyncio.gather(
            *(one(client, str(i), timeout_s=2.0) for i in range(3)), return_exceptions=True
        )
    # The first used up all the time: the others had none for a try of their own, or hardly any.
    assert isinstance(failures[0], NotReady)
    assert {type(failure) for failure in failures} <= {NotReady, DeadlineExceeded}
    assert all("draining" in str(failure) for failure in failures)


async def test_a_call_that_its_caller_left_costs_the_others_nothing(
    client: RewardClient, service: FakeService
) -> None:
    service.delay_s = 0.3
    tasks = [asyncio.create_task(one(client, str(i))) for i in range(10)]
    await until(lambda: service.in_flight == 1)
    tasks[3].cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(done.pop(3), asyncio.CancelledError)
    assert done == [Score(float(i)) for i in range(10) if i != 3]
    assert service.cancelled == 0


async def test_a_call_that_all_its_callers_left_is_cancelled(
    client: RewardClient, service: FakeService
) -> None:
    service.script = [hangs]
    tasks = [asyncio.create_task(one(client, str(i))) for i in range(10)]
    await until(lambda: service.in_flight == 1)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await until(lambda: service.cancelled == 1)
    assert await one(client, "4") == Score(4.0)


async def test_a_call_left_before_it_went_is_not_sent(
    client: RewardClient, service: FakeService
) -> None:
    tasks = [asyncio.create_task(one(client, str(i))) for i in range(3)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert sorted(g.responses[0].text for call in service.calls for g in call.groups) == ["0", "2"]


async def test_twenty_thousand_at_once(client: RewardClient, service: FakeService) -> None:
    service.delay_s = 0
    outcomes = await asyncio.gather(*(one(client, str(i), 100) for i in range(20_000)))
    assert outcomes == [Score(float(i)) for i in range(20_000)]
    assert len(service.calls) <= 20_000 / batcher.MAX_ITEMS + 20


async def test_nothing_is_left_when_all_is_done(client: RewardClient, service: FakeService) -> None:
    for step in range(20):
        await client.score_one("math", Example(), Response("1"), step=step)
    await asyncio.sleep(0.02)
    (session,) = client._sessions.values()
    assert session._batcher._queues == {}
    assert [t for t in asyncio.all_tasks() if "_Queue" in repr(t)] == []
