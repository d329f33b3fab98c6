"""`StreamScores`: each item's outcome comes exactly once, as soon as its shard has it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator

import grpc
import pytest
import pytest_asyncio
from rewardplane.gateway.doors.door import DoorKind
from rewardplane.rewards.types import Outcome
from rewardplane.v1 import reward_service_pb2 as pb
from rewardplane.wire.messages import outcome_from

from ..support.rig import Rig, flat, groups_of, poison, request_of, rewards, rig

pytestmark = pytest.mark.asyncio(loop_scope="module")

Key = tuple[int, int]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=list(DoorKind))
async def it(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    served = {
        "exact": {"kind": "exact"},
        "one": poison(),
        "parts": poison("parts", components=["half", "double"]),
    }
    async with rig(served, door=request.param) as made:
        await asyncio.gather(*(made.pools[name].check_health() for name in ("one", "parts")))
        yield made


async def streamed(
    it: Rig, request: pb.ScoreRequest, **options: float
) -> tuple[dict[Key, Outcome], dict[Key, float]]:
    """The outcomes by item, and when each came; that each comes once is checked here."""
    outcomes: dict[Key, Outcome] = {}
    times_s: dict[Key, float] = {}
    begin_s = time.monotonic()
    async for message in it.stream(request, **options):
        assert message.outcomes
        assert message.request_id
        for tagged in message.outcomes:
            key = tagged.group_index, tagged.response_index
            assert key not in outcomes
            outcomes[key] = outcome_from(tagged.outcome, message.reward.component_names)
            times_s[key] = time.monotonic() - begin_s
    sizes = [len(group.responses) for group in request.groups]
    assert sorted(outcomes) == [(g, r) for g, size in enumerate(sizes) for r in range(size)]
    return outcomes, times_s


@pytest.mark.parametrize("reward", ["exact", "one"])
async def test_a_stream_says_what_a_call_says(it: Rig, reward: str) -> None:
    texts = [[str(g * 10 + r) for r in range(g % 4 + 1)] for g in range(60)]
    request = request_of(reward, *texts, references={"answer": "52"})
    outcomes, _ = await streamed(it, request)
    assert [outcomes[key] for key in sorted(outcomes)] == flat(await it.answer(request))


async def test_what_is_done_comes_while_the_rest_runs(it: Rig) -> None:
    texts = ["1", "2", "sleep 1.5 9", "3"]
    outcomes, times_s = await streamed(it, request_of("one", texts))
    assert rewards(outcomes[0, i] for i in range(4)) == [1.0, 2.0, 9.0, 3.0]
    assert max(times_s[0, 0], times_s[0, 1], times_s[0, 3]) < 1.4
    assert times_s[0, 2] >= 1.5


async def test_each_message_is_of_one_reward(it: Rig) -> None:
    groups = groups_of(*[["2"]] * 30, answer="2")
    for index, group in enumerate(groups):
        group.reward = ("exact", "one", "parts")[index % 3]
    request = pb.ScoreRequest(groups=groups)
    request.options.include_components = True
    seen: Counter[str] = Counter()
    async for message in it.stream(request):
        for tagged in message.outcomes:
            assert message.reward.name == groups[tagged.group_index].reward
            wanted = 2 if message.reward.name == "parts" else 0
            assert len(tagged.outcome.score.components) == wanted
            assert len(message.reward.component_names) == wanted
            seen[message.reward.name] += 1
    assert seen == {"exact": 10, "one": 10, "parts": 10}


async def test_errors_come_in_the_stream_too(it: Rig) -> None:
    texts = ["1", "exit 3", "nan", "raise it", "none", "2"]
    outcomes, _ = await streamed(it, request_of("one", texts))
    wanted = [1.0, "CRASHED", "INVALID_RESULT", "RAISED", "NOT_APPLICABLE", 2.0]
    assert rewards(outcomes[0, i] for i in range(6)) == wanted


@pytest.mark.parametrize("reward", ["", "nobody"])
async def test_a_refused_stream_tells_nothing_before(it: Rig, reward: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await it.stream(request_of(reward, ["1"])).read()
    assert caught.value.code().name in ("INVALID_ARGUMENT", "NOT_FOUND")


async def test_an_empty_stream_request_is_refused(it: Rig) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await it.stream(pb.ScoreRequest(reward="one")).read()
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_many_streams_at_once(it: Rig) -> None:
    requests = [
        request_of("one", [str(100 * k + i) for i in range(20)], ["sleep 0.01 5"])
        for k in range(20)
    ]
    all_outcomes = await asyncio.gather(*(streamed(it, request) for request in requests))
    for k, (outcomes, _) in enumerate(all_outcomes):
        assert rewards(outcomes[0, i] for i in range(20)) == [100.0 * k + i for i in range(20)]
    assert it.admission.items == 0
