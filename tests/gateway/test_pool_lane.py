"""The lane in front of replicas: when it calls, what goes together, what it does on loss."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rewardplane.gateway.call import Call
from rewardplane.gateway.lane import AHEAD, ReplicaLost
from rewardplane.gateway.render import render_call
from rewardplane.replica.job import ranges_in
from rewardplane.rewards.types import Outcome, Reason, ScoreError
from rewardplane.v1 import reward_service_pb2 as pb

from ..support.replicas import (
    Answer,
    Behaviour,
    Handled,
    Replicas,
    answers,
    loses,
    loses_with,
    waits_for,
)
from ..support.rig import Rig, flat, poison, reasons, request_of, rewards, rig


def service(behaviour: Behaviour, **more: Any) -> tuple[Rig, Replicas]:
    replicas = Replicas(behaviour)
    return rig({"it": poison(**more)}, connect=replicas.connect), replicas


async def score(
    it: Rig, *groups: list[str], deadline_s: float = 20.0, **more: Any
) -> list[Outcome]:
    request = request_of("it", *groups, **more)
    call = await it.scorer.score(request.SerializeToString(), deadline_s, "")
    return flat(pb.ScoreResponse.FromString(render_call(call)))


def numbers(count: int, first: int = 0) -> list[str]:
    return [str(float(i)) for i in range(first, first + count)]


async def test_a_lone_call_goes_at_once() -> None:
    it, replicas = service(answers)
    task = asyncio.create_task(score(it, ["4"]))
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(replicas.handled) == 1
    assert rewards(await task) == [4.0]


async def test_what_comes_at_once_goes_together() -> None:
    it, replicas = service(answers)
    outcomes = await asyncio.gather(*(score(it, [text]) for text in numbers(40)))
    assert [rewards(o) for o in outcomes] == [[float(i)] for i in range(40)]
    assert len(replicas.handled) == 1


async def test_calls_of_many_jobs_go_together() -> None:
    it, replicas = service(answers)
    calls = [score(it, [text], job=f"job {text}") for text in numbers(40)]
    outcomes = await asyncio.gather(*calls)
    assert [rewards(o) for o in outcomes] == [[float(i)] for i in range(40)]
    (handled,) = replicas.handled
    assert len(handled.jobs) == 1


@pytest.mark.parametrize("replicas", [1, 2])
async def test_a_burst_takes_no_more_calls_than_it_is_worth(replicas: int) -> None:
    gate = asyncio.Event()
    it, handled = service(waits_for(gate.wait), replicas=replicas)
    tasks = [asyncio.create_task(score(it, [text])) for text in numbers(1000)]
    await asyncio.sleep(0.1)
    assert len(handled.handled) == replicas * AHEAD
    gate.set()
    assert [rewards(o) for o in await asyncio.gather(*tasks)] == [[float(i)] for i in range(1000)]


async def test_cheap_work_waits_for_the_one_call_in_flight() -> None:
    gate = asyncio.Event()
    it, replicas = service(waits_for(gate.wait), replicas=8)
    first = asyncio.create_task(score(it, ["1"]))
    await asyncio.sleep(0.01)
    rest = [asyncio.create_task(score(it, [text])) for text in numbers(4)]  # 4 ms of work
    await asyncio.sleep(0.05)
    assert len(replicas.handled) == 1
    gate.set()
    await asyncio.gather(first, *rest)
    assert [len(call.texts) for call in replicas.handled] == [1, 4]


async def test_dear_work_takes_a_further_replica_and_no_more_than_there_are() -> None:
    gate = asyncio.Event()
    it, replicas = service(waits_for(gate.wait), replicas=3)
    tasks = []
    for k in range(12):
        tasks.append(asyncio.create_task(score(it, numbers(10, 100 * k))))  # 10 ms of work
        await asyncio.sleep(0.005)
        assert len(replicas.handled) == min(k + 1, 3) or len(replicas.handled) <= 3 * AHEAD
        if k < 3:
            assert len(replicas.handled) == k + 1
    assert len(replicas.handled) <= 3 * AHEAD
    gate.set()
    outcomes = await asyncio.gather(*tasks)
    assert [rewards(o) for o in outcomes] == [
        [float(i) for i in range(100 * k, 100 * k + 10)] for k in range(12)
    ]


@pytest.mark.parametrize("groups", [40, 160])
async def test_one_call_is_shared_by_all_replicas(groups: int) -> None:
    gate = asyncio.Event()
    it, replicas = service(waits_for(gate.wait), replicas=4)
    task = asyncio.create_task(score(it, *([text] for text in numbers(groups))))  # 1 ms each
    await asyncio.sleep(0.1)
    first = [len(call.texts) for call in replicas.handled[:4]]
    assert len(first) == 4
    assert max(first) <= groups / 4
    gate.set()
    assert rewards(await task) == [float(i) for i in range(groups)]
    # What is left when the replicas end is shared too: none works on while the others have done.
    assert len(replicas.handled[-1].texts) <= 10


async def test_many_bytes_take_a_further_replica() -> None:
    gate = asyncio.Event()
    it, replicas = service(waits_for(gate.wait), replicas=2)
    first = asyncio.create_task(score(it, ["1"]))
    await asyncio.sleep(0.01)
    small = asyncio.create_task(score(it, ["2" + " " * 1000]))
    await asyncio.sleep(0.01)
    assert len(replicas.handled) == 1
    large = asyncio.create_task(score(it, ["3" + " " * 900_000]))
    await asyncio.sleep(0.01)
    assert len(replicas.handled) == 2
    gate.set()
    assert [rewards(o) for o in await asyncio.gather(first, small, large)] == [[1.0], [2.0], [3.0]]


async def test_a_replica_with_room_gets_the_next_call_before_it_ends() -> None:
    held = asyncio.Event()

    async def behave(call: Handled) -> AsyncIterator[Answer]:
        slow = [t for t in call.texts if t == "9.0"]
        quick = [i for i, t in call.jobs[0].items() if t != "9.0"]
        yield [call.part(0, quick)], True, {}
        if slow:
            await held.wait()
        yield [call.part(0, [i for i, t in call.jobs[0].items() if t == "9.0"])], True, {}

    it, replicas = service(behave)
    first = asyncio.create_task(score(it, ["1.0", "9.0"]))
    await asyncio.sleep(0.01)
    assert rewards(await score(it, ["2.0"])) == [2.0]
    assert len(replicas.handled) == 2
    held.set()
    assert rewards(await first) == [1.0, 9.0]


# ---- loss -------------------------------------------------------------------------------------


async def test_a_lost_replica_loses_nothing() -> None:
    it, replicas = service(loses(1))
    assert rewards(await score(it, numbers(10), numbers(5, 50))) == [
        *map(float, range(10)),
        *map(float, range(50, 55)),
    ]
    assert [len(call.texts) for call in replicas.handled] == [15, 15]
    assert it.metrics.figures("it").retries == 2, "of each of the two shards"


async def test_what_was_told_before_the_loss_is_not_run_again() -> None:
    async def behave(call: Handled) -> AsyncIterator[Answer]:
        if call.sizes[0] == len(call.texts):
            yield [call.part(0, [0, 2, 7])], False, {}
            raise ReplicaLost("it is gone")
        yield call.all_parts(), True, {}

    it, replicas = service(behave)
    assert rewards(await score(it, numbers(8))) == list(map(float, range(8)))
    assert replicas.handled[1].texts == ["1.0", "3.0", "4.0", "5.0", "6.0"]


async def test_a_shard_that_takes_two_replicas_down_is_sent_item_by_item() -> None:
    it, replicas = service(loses_with("3.0"))
    outcomes = await score(it, numbers(6), numbers(3, 10))
    assert rewards(outcomes) == [0.0, 1.0, 2.0, "UNAVAILABLE", 4.0, 5.0, 10.0, 11.0, 12.0]
    assert isinstance(outcomes[3], ScoreError)
    assert "3 replicas" in outcomes[3].message
    assert outcomes[3].retryable
    assert [len(call.texts) for call in replicas.handled] == [9, 9, *[1] * 9]
    assert replicas.most_at_once == 1


async def test_other_work_goes_on_beside_the_item_by_item_runs() -> None:
    it, _ = service(loses_with("3.0"))
    first = asyncio.create_task(score(it, numbers(6)))
    await asyncio.sleep(0)
    outcomes = await asyncio.gather(*(score(it, ["7", "8"]) for _ in range(10)))
    assert all(rewards(o) == [7.0, 8.0] for o in outcomes)
    assert reasons(await first) == {"SCORED": 5, "UNAVAILABLE": 1}


async def test_a_whole_group_is_sent_whole_even_alone() -> None:
    it, replicas = service(loses_with("3.0"), function="poison:whole")
    outcomes = await score(it, ["1.0", "2.0"], ["3.0", "4.0"], ["5.0", "6.0"])
    assert rewards(outcomes) == [1.0, 2.0, "UNAVAILABLE", "UNAVAILABLE", 5.0, 6.0]
    assert all(len(call.texts) % 2 == 0 for call in replicas.handled)


async def test_an_answer_that_ends_early_is_a_loss() -> None:
    async def behave(call: Handled) -> AsyncIterator[Answer]:
        yield [call.part(0, list(call.jobs[0])[:1])], True, {}

    it, replicas = service(behave)
    assert rewards(await score(it, numbers(4))) == [0.0, 1.0, 2.0, 3.0]
    assert len(replicas.handled) == 4  # the last two alone, side by side with nobody


async def test_a_fault_of_our_own_on_the_way_is_an_outcome() -> None:
    async def behave(call: Handled) -> AsyncIterator[Answer]:
        if "6.0" in call.texts:
            raise TypeError("no such argument")
        yield call.all_parts(), True, {}

    it, _ = service(behave)
    begin_s = time.monotonic()
    assert rewards(await score(it, ["5.0", "6.0"])) == [5.0, "UNAVAILABLE"]
    assert time.monotonic() - begin_s < 5
    assert rewards(await score(it, ["5.0"])) == [5.0]


async def test_a_retry_is_not_bound_by_the_queue_time_out() -> None:
    async def behave(call: Handled) -> AsyncIterator[Answer]:
        if len(replicas.handled) == 1:
            await asyncio.sleep(0.5)
            raise ReplicaLost("it is gone")
        yield call.all_parts(), True, {}

    it, replicas = service(behave, queue_timeout_s=0.3)
    starts: list[float] = []
    send = replicas.send

    async def spied(messages: Any, backlog: Any) -> AsyncIterator[Answer]:
        starts.extend(message[5] for message in messages)
        async for answer in send(messages, backlog):
            yield answer

    it.rewards.find("it", "").pool._send = spied  # the lane was made with the other
    assert rewards(await score(it, ["1.0", "2.0"])) == [1.0, 2.0]
    assert 0 < starts[0] <= 0.3
    assert starts[1] > 1


# ---- waiting and giving up --------------------------------------------------------------------


async def test_who_waits_too_long_in_the_lane_is_told() -> None:
    gate = asyncio.Event()
    it, replicas = service(waits_for(gate.wait), queue_timeout_s=0.2)
    first = asyncio.create_task(score(it, ["1"]))
    await asyncio.sleep(0.01)
    begin_s = time.monotonic()
    outcomes = await score(it, ["2"])
    assert rewards(outcomes) == ["QUEUE_TIMEOUT"]
    assert time.monotonic() - begin_s < 1
    gate.set()
    assert rewards(await first) == [1.0]
    assert len(replicas.handled) == 1


async def test_the_deadline_tells_apart_what_was_sent_and_what_was_not() -> None:
    gate = asyncio.Event()
    it, _ = service(waits_for(gate.wait))
    first = asyncio.create_task(score(it, ["1"], deadline_s=0.8))
    await asyncio.sleep(0.01)
    second = asyncio.create_task(score(it, ["2"], deadline_s=0.8))
    assert rewards(await first) == ["DEADLINE"]
    assert rewards(await second) == ["QUEUE_TIMEOUT"]


async def test_cancelled_calls_free_their_places_and_stop_the_work() -> None:
    gate = asyncio.Event()
    it, replicas = service(waits_for(gate.wait))
    tasks = [asyncio.create_task(score(it, [text])) for text in numbers(3)]
    await asyncio.sleep(0.01)
    tasks[0].cancel()
    await asyncio.sleep(0.6)
    assert it.admission.items == 2
    assert not replicas.handled[0].ended.is_set()  # two still wait for it
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    async with asyncio.timeout(1):
        await replicas.handled[0].ended.wait()
    assert (it.admission.items, it.admission.bytes, it.admission.calls) == (0, 0, 0)
    gate.set()
    assert rewards(await score(it, ["5"])) == [5.0]


async def test_a_call_answered_at_its_deadline_stops_the_work() -> None:
    gate = asyncio.Event()
    it, replicas = service(waits_for(gate.wait))
    assert rewards(await score(it, ["1"], deadline_s=0.3)) == ["DEADLINE"]
    async with asyncio.timeout(1):
        await replicas.handled[0].ended.wait()


async def test_cancelled_work_that_waits_is_forgotten() -> None:
    gate = asyncio.Event()
    it, replicas = service(waits_for(gate.wait))
    first = asyncio.create_task(score(it, ["1"]))
    await asyncio.sleep(0.01)
    waiting = asyncio.create_task(score(it, ["2"]))
    await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.sleep(0.01)
    gate.set()
    assert rewards(await first) == [1.0]
    await asyncio.sleep(0.3)
    assert len(replicas.handled) == 1
    assert it.rewards.find("it", "").pool.backlog_items == 0


async def test_a_cancelled_lone_run_stops_no_other() -> None:
    seen: Counter[str] = Counter()
    alone, gate = asyncio.Event(), asyncio.Event()

    async def behave(call: Handled) -> AsyncIterator[Answer]:
        seen.update(call.texts)
        if any(seen[text] <= 2 for text in call.texts):
            raise ReplicaLost("it is gone")
        if call.texts == ["1.0"]:
            alone.set()
            await gate.wait()
        yield call.all_parts(), True, {}

    it, _ = service(behave)
    first = asyncio.create_task(score(it, ["1.0"]))
    await alone.wait()
    second = asyncio.create_task(score(it, ["2.0"]))
    await asyncio.sleep(0.05)
    first.cancel()
    assert rewards(await second) == [2.0]
    assert seen == {"1.0": 3, "2.0": 3}


async def test_calls_of_different_patience_are_different_jobs() -> None:
    it, replicas = service(answers, timeout_s=20)
    requests = [request_of("it", ["1.0"]) for _ in range(4)]
    for request, seconds in zip(requests, (5, 5, 7, 0), strict=True):
        if seconds:
            request.options.item_timeout.FromSeconds(seconds)
    await asyncio.gather(
        *(it.scorer.score(request.SerializeToString(), 60.0, "") for request in requests)
    )
    (call,) = replicas.handled
    assert sorted(zip(call.timeouts_s, call.sizes, strict=True)) == [(5, 2), (7, 1), (20, 1)]


async def test_the_backlog_travels_with_each_call() -> None:
    gate = asyncio.Event()
    it, replicas = service(waits_for(gate.wait))
    tasks = [asyncio.create_task(score(it, ["1"]))]
    await asyncio.sleep(0.01)
    tasks += [asyncio.create_task(score(it, numbers(40))) for _ in range(3)]
    await asyncio.sleep(0.01)
    gate.set()
    await asyncio.gather(*tasks)
    assert replicas.handled[0].backlog[0] == 0
    assert replicas.handled[1].backlog[0] > 0


# ---- any order, any loss ----------------------------------------------------------------------


@given(
    sizes=st.lists(st.integers(1, 7), min_size=1, max_size=6),
    calls=st.integers(1, 4),
    replicas=st.integers(1, 3),
    seed=st.integers(0, 2**32),
    loss=st.sampled_from([0.0, 0.2, 0.6]),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_each_item_has_one_outcome_in_order_whatever_happens(
    sizes: list[int], calls: int, replicas: int, seed: int, loss: float
) -> None:
    chance = random.Random(seed)

    async def behave(call: Handled) -> AsyncIterator[Answer]:
        left = [(job, index) for job, texts in enumerate(call.jobs) for index in texts]
        chance.shuffle(left)
        while left:
            await asyncio.sleep(chance.choice([0, 0, 0.0005]))
            if chance.random() < loss:
                raise ReplicaLost("it is gone")
            told = [left.pop() for _ in range(min(len(left), chance.randint(1, 9)))]
            by_job = {job: [i for j, i in told if j == job] for job, _ in told}
            parts = [call.part(job, indices) for job, indices in by_job.items()]
            yield parts, chance.random() < 0.5, {}

    async def check() -> None:
        it, _ = service(behave, replicas=replicas)

        async def one(k: int) -> None:
            texts = [numbers(size, 1000 * k + 10 * g) for g, size in enumerate(sizes)]
            request = request_of("it", *texts)
            calls: list[Call] = []
            told: list[int] = []
            async for call, items in it.scorer.stream(request.SerializeToString(), 20.0, ""):
                calls.append(call)
                told += items
            call = calls[-1]
            assert sorted(told) == list(range(sum(sizes)))
            outcomes = flat(pb.ScoreResponse.FromString(render_call(call)))
            wanted = [float(text) for group in texts for text in group]
            for outcome, reward in zip(rewards(outcomes), wanted, strict=True):
                assert outcome == reward or (outcome == "UNAVAILABLE" and loss)
            assert loss or not ranges_in(call.states, 3, [(0, call.n)])

        await asyncio.gather(*(one(k) for k in range(calls)))
        assert (it.admission.items, it.admission.bytes, it.admission.calls) == (0, 0, 0)
        figures = it.metrics.figures("it")
        assert sum(figures.items.values()) == calls * sum(sizes)
        assert set(figures.items) <= {"SCORED", Reason.UNAVAILABLE.name}

    asyncio.run(check())
