"""Outcomes come as they are made, each once, whatever breaks on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from rewardplane.client import retry_policy as retry
from rewardplane.client.client import RewardClient
from rewardplane.client.results import StreamedOutcome
from rewardplane.rewards.types import Reason, Score, ScoreError
from rewardplane.wire.errors import Internal, InvalidRequest, NotReady, UnknownReward

from ..support.fake_server import FakeService, aborts, fails, hangs, serving
from .test_client import numbered, until


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> FakeService:
    monkeypatch.setattr(retry, "FIRST_PAUSE_S", 0.001)
    return FakeService()


@pytest.fixture
async def client(service: FakeService) -> AsyncIterator[RewardClient]:
    async with serving(service) as target, RewardClient(target) as client:
        yield client


async def collected(
    client: RewardClient, sizes: list[int], filler: int = 0, timeout_s: float = 20
) -> list[StreamedOutcome]:
    groups = numbered(sizes, filler)
    return [outcome async for outcome in client.stream("math", groups, timeout_s=timeout_s)]


def by_item(outcomes: list[StreamedOutcome]) -> list[float]:
    """The rewards in the order of the items; every item must be there once."""
    items = [(o.group_index, o.response_index) for o in outcomes]
    assert len(set(items)) == len(items)
    ordered = sorted(outcomes, key=lambda o: (o.group_index, o.response_index))
    return [o.outcome.reward for o in ordered if isinstance(o.outcome, Score)]


async def test_each_item_comes_once_in_any_order(
    client: RewardClient, service: FakeService
) -> None:
    outcomes = await collected(client, [2, 1, 4])
    assert by_item(outcomes) == list(range(7))
    assert outcomes[0].group_index == 2
    assert {o.used.name for o in outcomes} == {"math"}
    assert len(service.calls) == 1


async def test_outcomes_come_before_the_call_ends(
    client: RewardClient, service: FakeService
) -> None:
    stream = client.stream("math", numbered([9]))
    first = await anext(stream)
    assert first.response_index == 8
    await stream.aclose()
    await until(lambda: service.in_flight == 0)


async def test_a_large_call_is_streamed_in_chunks(
    client: RewardClient, service: FakeService
) -> None:
    outcomes = await collected(client, [1] * 24, filler=2_000_000)
    assert by_item(outcomes) == list(range(24))
    assert len(service.calls) == 6


async def test_a_stream_that_breaks_off_is_asked_for_what_is_missing(
    client: RewardClient, service: FakeService
) -> None:
    service.break_stream_after = [0, 5, 3]
    outcomes = await collected(client, [2, 2, 2, 2])
    assert by_item(outcomes) == list(range(8))
    # Whole groups: a group is scored by one version.
    assert [[g.example.id for g in call.groups] for call in service.calls] == [
        ["0", "1", "2", "3"],
        ["0", "1", "2", "3"],
        ["0", "1"],
        ["0"],
    ]


async def test_a_stream_that_breaks_off_for_good_leaves_errors(
    client: RewardClient, service: FakeService
) -> None:
    service.break_stream_after = [3]
    service.script = [None, fails(Internal("a bug"))]
    outcomes = await collected(client, [2, 2, 2])
    errors = [o for o in outcomes if isinstance(o.outcome, ScoreError)]
    assert by_item(outcomes) == [3, 4, 5]
    assert sorted((o.group_index, o.response_index) for o in errors) == [(0, 0), (0, 1), (1, 0)]
    assert {o.outcome.reason for o in errors} == {Reason.UNAVAILABLE}  # type: ignore[union-attr]


async def test_a_stream_without_any_outcome_raises(
    client: RewardClient, service: FakeService
) -> None:
    service.script = [fails(NotReady("draining"))] * 10_000
    with pytest.raises(NotReady, match="draining"):
        await collected(client, [1], timeout_s=0.5)


async def test_a_refusal_raises_and_is_not_tried_again(
    client: RewardClient, service: FakeService
) -> None:
    service.script = [fails(UnknownReward("no"))]
    with pytest.raises(UnknownReward):
        await collected(client, [1])
    assert len(service.calls) == 1
    service.script = [aborts(grpc.StatusCode.RESOURCE_EXHAUSTED, "larger than max")]
    with pytest.raises(InvalidRequest):
        await collected(client, [1])
    with pytest.raises(InvalidRequest):
        await collected(client, [])


async def test_a_refusal_in_a_later_chunk_names_the_group_of_the_call(
    client: RewardClient, service: FakeService
) -> None:
    async def refuse(request: object, context: grpc.aio.ServicerContext) -> None:
        groups = request.groups  # type: ignore[attr-defined]
        for index, group in enumerate(groups):
            if group.example.id == "7":
                error = InvalidRequest("bad", {}, [(f"groups[{index}].example", "bad")])
                await fails(error)(request, context)

    service.script = [refuse] * 9
    with pytest.raises(InvalidRequest) as caught:
        await collected(client, [1] * 9, filler=2_000_000)
    assert caught.value.violations == (("groups[7].example", "bad"),)


async def test_a_stream_left_early_is_cancelled(client: RewardClient, service: FakeService) -> None:
    service.script = [hangs]

    async def follow() -> None:
        await collected(client, [1])

    task = asyncio.create_task(follow())
    await until(lambda: service.in_flight == 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await until(lambda: service.cancelled == 1)
