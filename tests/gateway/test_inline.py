"""The inline lane: what runs in the gateway, what is too large for it, that others get in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable

import pytest
import pytest_asyncio
from rewardplane.config.load import INLINE_CHARS
from rewardplane.gateway.breath import Steps, go_on
from rewardplane.gateway.call import Call
from rewardplane.gateway.render import rendering
from rewardplane.rewards.types import Reason
from rewardplane.v1 import frame_pb2 as frames
from rewardplane.v1 import reward_service_pb2 as pb

from ..support.replicas import Replicas, answers
from ..support.rig import Rig, flat, groups_of, poison, reasons, request_of, rewards, rig

pytestmark = pytest.mark.asyncio(loop_scope="module")

REWARDS = {
    "exact": {"kind": "exact"},
    "contains": {"kind": "contains"},
    "tags": {"kind": "tags"},
    "many_tags": {"kind": "tags", "tags": list("abcdefghijklmnop")},
    "one": poison(),
    "pooled": {"kind": "exact", "lane": "pool"},
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def it() -> AsyncIterator[Rig]:
    async with rig(REWARDS, {"max_request_items": 100_000}) as made:
        yield made


async def test_inline_rewards_start_no_process(it: Rig) -> None:
    texts = [["5", "6"]] * 100
    assert rewards(await it.score("exact", *texts, references={"answer": "5"})) == [1.0, 0.0] * 100
    assert all(pool._supervisor is None for pool in it.pools.values())


@pytest.mark.parametrize("extra", [0, 1])
async def test_what_is_longer_than_64_k_goes_to_the_pool(extra: int) -> None:
    replicas = Replicas(answers)
    made = rig(REWARDS, connect=replicas.connect)
    long = "1" + " " * (INLINE_CHARS - 1 + extra)
    request = request_of("exact", ["1"], ["1", long], ["2"], references={"answer": "1"})
    call = await made.scorer.score(request.SerializeToString(), 10.0, "")
    assert len(replicas.handled) == extra  # with it goes its group
    assert all(call.states)
    if extra:
        assert replicas.handled[0].texts == ["1", long]


async def test_a_large_reference_or_turn_goes_to_the_pool_as_well(it: Rig) -> None:
    gold = "9" * 70_000
    assert rewards(await it.score("exact", [gold, "9"], references={"answer": gold})) == [1.0, 0.0]
    part = pb.Part(text=gold)
    group = pb.Group(
        example=pb.Example(references={"answer": gold}),
        responses=[pb.Response(turns=[pb.Content(role="model", parts=[part])])],
    )
    answer = await it.answer(pb.ScoreRequest(reward="exact", groups=[group]))
    assert rewards(flat(answer)) == [1.0]


async def test_ten_megabytes_pass(it: Rig) -> None:
    text = "word " * 2_000_000 + "5"
    assert rewards(await it.score("contains", [text, "5"], references={"answer": "5"})) == [1, 1]


async def test_a_long_batch_lets_others_in(it: Rig) -> None:
    texts = [["<think></think>" * 20 for _ in range(10)] for _ in range(3000)]
    big = asyncio.create_task(
        it.scorer.score(request_of("tags", *texts).SerializeToString(), 60.0, "")
    )
    waits: list[float] = []
    while not big.done():
        begin_s = time.monotonic()
        await asyncio.sleep(0)
        waits.append(time.monotonic() - begin_s)
    assert all((await big).states)
    assert len(waits) > 10
    assert sorted(waits)[len(waits) // 2] < 0.1


@pytest.mark.parametrize("reward", ["tags", "many_tags"])
async def test_one_group_lets_others_in(it: Rig, reward: str) -> None:
    """Measured in CPU time of the thread: others on the machine do not count."""
    texts = ["<think></think>" * 400 for _ in range(1500)]
    data = request_of(reward, texts).SerializeToString()
    call = asyncio.create_task(it.scorer.score(data, 60.0, ""))
    breaths_s: list[float] = []
    while not call.done():
        begin_s = time.thread_time()
        await asyncio.sleep(0)
        breaths_s.append(time.thread_time() - begin_s)
    assert all((await call).states)
    assert len(breaths_s) > 5
    assert sorted(breaths_s)[-3] < 0.025


async def test_a_batch_too_long_for_its_deadline_is_answered_in_time(it: Rig) -> None:
    long = "<think>" * 9000  # 32 looks through 63 kB: some milliseconds
    request = request_of("many_tags", *[[long] for _ in range(400)])
    begin_s = time.monotonic()
    call = await it.scorer.score(request.SerializeToString(), 0.2, "")
    assert time.monotonic() - begin_s < 0.6
    counted = call.reasons()
    assert 0 < sum(counted.values()) < 400
    assert {reason.name for reason in counted} <= {"QUEUE_TIMEOUT"}


async def test_a_closed_call_is_not_run_to_its_end(it: Rig) -> None:
    texts = [["<think>" * 5000] * 4 for _ in range(3000)]
    task = asyncio.create_task(
        it.scorer.score(request_of("tags", *texts).SerializeToString(), 60.0, "")
    )
    while not it.admission.items:
        await asyncio.sleep(0)
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert it.admission.items == 0
    await asyncio.sleep(1)  # what is large is counted in the turns that follow
    assert it.metrics.figures("tags").items["CANCELLED"] > 10_000


async def test_what_cannot_be_read_does_not_stop_its_neighbours(it: Rig) -> None:
    part = pb.Part(function_call=pb.FunctionCall(name="f", args_json="{"))
    (group,) = groups_of(["5", "6"], answer="5")
    group.responses.add(turns=[pb.Content(parts=[part])])
    outcomes = flat(await it.answer(pb.ScoreRequest(reward="exact", groups=[group] * 3)))
    assert rewards(outcomes) == [1.0, 0.0, "INVALID_INPUT"] * 3
    assert reasons(outcomes) == {"SCORED": 6, "INVALID_INPUT": 3}


async def test_a_short_call_waits_for_no_turn_of_long_ones(it: Rig) -> None:
    def long() -> Steps[None]:
        for _ in range(20):
            time.sleep(0.001)
            yield

    go_on(long())
    data = request_of("exact", ["5", "6"], references={"answer": "5"}).SerializeToString()
    answers: list[bytes] = []

    def done(call: Call) -> None:
        go_on(rendered(call))

    def rendered(call: Call) -> Steps[None]:
        answers.append((yield from rendering(call)))

    it.scorer.begin(data, 60.0, "", done)
    assert [rewards(flat(pb.ScoreResponse.FromString(one))) for one in answers] == [[1.0, 0.0]]


async def test_a_batch_that_cannot_be_read_lets_others_in(it: Rig) -> None:
    group = frames.GroupFrame(example=b"no example", responses=[b""])
    data = frames.RequestFrame(reward="exact", groups=[group] * 30_000).SerializeToString()
    call = asyncio.create_task(it.scorer.score(data, 60.0, ""))
    turns = 0
    while not call.done():
        turns += bool(it.admission.items)
        await asyncio.sleep(0)
    assert (await call).reasons() == {Reason.INVALID_INPUT: 30_000}
    assert turns > 10, "those in which the groups are read"


async def test_inline_and_pool_in_one_call(it: Rig) -> None:
    groups = [*groups_of(["5", "6"], answer="5"), *groups_of(["3"])] * 20
    for group in groups[1::2]:
        group.reward = "one"
    outcomes = flat(await it.answer(pb.ScoreRequest(reward="exact", groups=groups)))
    assert rewards(outcomes) == [1.0, 0.0, 3.0] * 20


@pytest.mark.parametrize("reward", ["exact", "pooled"])
@pytest.mark.parametrize(
    ("groups", "size", "explained"), [(65_536, 1, False), (4, 16_384, True), (1, 65_536, False)]
)
async def test_a_call_is_begun_and_ended_in_breaths(
    it: Rig, reward: str, groups: int, size: int, explained: bool
) -> None:
    """From its bytes to the bytes of its answer, in CPU time of the thread."""
    # Its processes are there, and it is known how little an item costs: shards are as large as can
    # be.
    await it.score("pooled", ["1"] * 4000, references={"answer": "5"})
    request = request_of(reward, *[["5"] * size] * groups, references={"answer": "5"})
    request.options.include_explanations = request.options.include_components = explained
    send = it.channel.unary_unary("/rewardplane.v1.RewardService/Score")
    call = asyncio.ensure_future(_of(send(request.SerializeToString(), timeout=100)))
    breaths_s: list[float] = []
    while not call.done():
        begin_s = time.thread_time()
        await asyncio.sleep(0)
        breaths_s.append(time.thread_time() - begin_s)
    answer = pb.ScoreResponse.FromString(await call)
    assert [len(group.outcomes) for group in answer.groups] == [size] * groups
    assert {o.score.reward for group in answer.groups for o in group.outcomes} == {1.0}
    # The client is of the same loop: it takes one long breath of its own, the answer's bytes.
    assert sorted(breaths_s)[-3] < 0.03


async def test_a_stream_of_many_groups_is_not_quadratic(it: Rig) -> None:
    async def cost_s(groups: int) -> float:
        request = request_of("exact", *[["5"]] * groups, references={"answer": "5"})
        begin_s, count = time.process_time(), 0
        async for message in it.stream(request):
            count += len(message.outcomes)
        assert count == groups
        return time.process_time() - begin_s

    await cost_s(500)
    assert await cost_s(16_000) < 24 * max(0.05, await cost_s(2_000))


async def test_who_leaves_while_a_call_is_read_is_not_served(it: Rig) -> None:
    request = request_of("exact", *[["5"]] * 60_000, references={"answer": "5"})
    data = request.SerializeToString()
    for turns in (1, 3, 10):
        call = asyncio.ensure_future(it.scorer.score(data, 60.0, ""))
        for _ in range(turns):
            await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert (it.admission.items, it.admission.bytes, it.admission.calls) == (0, 0, 0)
        assert it.rewards.find("exact", "").calls == 0
    assert rewards(await it.score("exact", ["5"], references={"answer": "5"})) == [1.0]


async def _of(call: Awaitable[bytes]) -> bytes:
    return await call
