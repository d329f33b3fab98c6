"""Admission by time: who could not be served in time is refused at once, and cheaply."""

from __future__ import annotations

import asyncio
import time

import grpc
import pytest
from rewardplane.rewards.types import Outcome, ScoreError
from rewardplane.wire.errors import Overloaded
from rewardplane.wire.status import encode

from ..support.replicas import Replicas, answers, waits_for
from ..support.rig import Rig, begin, flat, poison, request_of, rewards, rig
from .test_server import details


async def refused(call: object) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call  # type: ignore[misc]
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    return caught.value


async def busy(it: Rig, item_s: float, items: int) -> list[asyncio.Future[list[Outcome]]]:
    """Puts work of `items * item_s` before whatever comes."""
    pool = it.rewards.find("it", "").pool
    running = [asyncio.ensure_future(it.score("it", ["1"] * items))]
    await asyncio.sleep(0.2)
    pool.item_s = item_s
    return running


async def test_a_call_is_refused_that_would_wait_longer_than_it_may() -> None:
    gate = asyncio.Event()
    replicas = Replicas(waits_for(gate.wait))
    async with rig({"it": poison(), "other": poison()}, None, replicas.connect) as it:
        running = await busy(it, 0.5, 20)  # 10 s
        error = await refused(it.score("it", ["2"], deadline_s=4.0))
        assert 1.0 <= details(error)["RetryInfo"].retry_delay.ToMilliseconds() / 1000 <= 10
        assert "has work for" in str(error.details())
        # By its own queue time-out as by its deadline; who may wait longer is admitted.
        patient = request_of("it", ["2"])
        patient.options.queue_timeout.FromSeconds(3)
        await refused(it.answer(patient))
        await refused(it.stream(patient).read())
        running.append(asyncio.ensure_future(it.score("it", ["3"], deadline_s=60.0)))
        # Another reward has no work waiting.
        running.append(asyncio.ensure_future(it.score("other", ["4"], deadline_s=4.0)))
        await asyncio.sleep(0.2)
        assert not any(task.done() for task in running)
        gate.set()
        assert rewards(await running[1]) == [3.0]
        assert rewards(await running[2]) == [4.0]
        await running[0]
        assert rewards(await it.score("it", ["2"], deadline_s=4.0)) == [2.0]


async def test_a_composite_waits_where_its_members_run() -> None:
    gate = asyncio.Event()
    replicas = Replicas(waits_for(gate.wait))
    inner = {"kind": "composite", "formula": "it + other"}
    outer = {"kind": "composite", "formula": "inner + quick"}
    quick = {"kind": "composite", "formula": "other"}
    served = {"it": poison(), "other": poison(), "inner": inner, "outer": outer, "quick": quick}
    async with rig(served, None, replicas.connect) as it:
        running = await busy(it, 0.5, 20)  # 10 s
        error = await refused(it.score("outer", ["2"], deadline_s=4.0))
        assert "reward 'it' has work for" in str(error.details())
        running.append(asyncio.ensure_future(it.score("quick", ["4"], deadline_s=4.0)))
        running.append(asyncio.ensure_future(it.score("outer", ["2"], deadline_s=60.0)))
        await asyncio.sleep(0.2)
        # Once for the call that was sent, and not once more for each member.
        assert it.admission.items == 22
        gate.set()
        assert rewards(await running[1]) == [4.0]
        assert rewards(await running[2]) == [6.0]
        await running[0]
    assert it.admission.items == 0


async def test_the_reward_s_own_queue_time_out_counts() -> None:
    gate = asyncio.Event()
    replicas = Replicas(waits_for(gate.wait))
    served = {"it": poison(queue_timeout_s=2.0, replicas=2)}
    async with rig(served, None, replicas.connect) as it:
        running = await busy(it, 0.5, 20)  # 5 s on two replicas
        await refused(it.score("it", ["2"]))
        it.rewards.find("it", "").pool.item_s = 0.1
        running.append(asyncio.ensure_future(it.score("it", ["2"])))
        gate.set()
        await asyncio.gather(*running)


async def test_the_last_item_of_a_call_must_start_in_time_too() -> None:
    gate = asyncio.Event()
    replicas = Replicas(waits_for(gate.wait))
    async with rig({"it": poison()}, None, replicas.connect) as it:
        running = await busy(it, 0.1, 20)  # 2 s
        request = request_of("it", ["2"] * 40)  # 4 s of its own: 1 s of room, half of it to wait
        request.options.queue_timeout.FromSeconds(5)
        await refused(it.answer(request))
        request.options.queue_timeout.FromSeconds(20)  # on a busy host items are late, too
        running.append(asyncio.ensure_future(it.answer(request)))
        # More than it can start in time anyhow: taken for what it gets done.
        it.rewards.find("it", "").pool.item_s = 0.01
        running.append(asyncio.ensure_future(it.answer(request_of("it", ["2"] * 4000), 60.0)))
        await asyncio.sleep(0.2)
        assert [task.exception() for task in running if task.done()] == []
        gate.set()
        await asyncio.gather(*running)


async def test_what_nothing_waits_before_is_always_admitted() -> None:
    async with rig({"it": poison()}, None, Replicas(answers).connect) as it:
        it.rewards.find("it", "").pool.item_s = 1000.0
        assert rewards(await it.score("it", ["2"] * 50, deadline_s=5.0)) == [2.0] * 50


async def test_one_slow_item_does_not_make_a_reward_dear() -> None:
    async with rig({"it": poison()}) as it:
        await it.score("it", *[["1"]] * 200)
        lane = it.rewards.find("it", "").pool
        before_s = lane.item_s
        await it.score("it", ["sleep 1 1"])
        assert lane.item_s <= 4 * before_s


async def test_one_reward_does_not_take_all_places() -> None:
    gate = asyncio.Event()
    replicas = Replicas(waits_for(gate.wait))
    served = {"it": poison(), "exact": {"kind": "exact"}}
    async with rig(served, {"max_in_flight_items": 1000}, replicas.connect) as it:
        running = [asyncio.ensure_future(it.score("it", ["1"] * 250)) for _ in range(3)]
        await asyncio.sleep(0.2)
        error = await refused(it.score("it", ["1"] * 10))
        assert "750 of the 750 items" in str(error.details())
        mixed = request_of("exact", ["1"] * 3, ["1"], references={"answer": "1"})
        mixed.groups[1].reward = "it"
        await refused(it.answer(mixed))
        scored = await it.score("exact", ["1"] * 200, references={"answer": "1"})
        assert rewards(scored) == [1.0] * 200
        gate.set()
        await asyncio.gather(*running)
        assert [it.rewards.find(name, "").items for name in served] == [0, 0]
        assert rewards(await it.score("it", ["1"] * 10)) == [1.0] * 10


@pytest.mark.parametrize("shape", [(1, 1), (16, 8), (1024, 4)])
async def test_a_refusal_costs_a_tenth_of_an_admitted_call(shape: tuple[int, int]) -> None:
    """CPU time of this process, which is client and server: both are on either side."""
    async with rig({"it": poison(), "other": poison()}, {"max_request_items": 10_000}) as it:
        groups, size = shape
        request = request_of("it", *[["12345"] * size] * groups)
        request.options.queue_timeout.FromSeconds(50)
        data = request.SerializeToString()
        times = 20 if groups > 100 else 200

        async def admitted() -> None:
            for _ in range(times):
                call = await it.scorer.score(data, 60.0, "")
                assert call.n == groups * size

        def turned_away() -> None:
            for _ in range(times):
                try:
                    begin(it.scorer, data)
                except Overloaded as error:
                    encode(error)
                else:
                    raise AssertionError("it was admitted")

        await admitted()
        ratios: list[float] = []
        pool = it.rewards.find("it", "").pool
        for _ in range(5):
            begin_s = time.perf_counter()
            await admitted()
            admitted_s = time.perf_counter() - begin_s
            pool._in_flight_items += 10**9  # type: ignore[attr-defined]
            begin_s = time.perf_counter()
            turned_away()
            refused_s = time.perf_counter() - begin_s
            pool._in_flight_items -= 10**9  # type: ignore[attr-defined]
            ratios.append(refused_s / admitted_s)
            if ratios[-1] < 0.1:
                break
        # Others may have the CPU while a refusal is timed: the best of five is the refusal's own.
        assert min(ratios) < 0.1, ratios


async def test_what_is_admitted_keeps_its_time_under_overload() -> None:
    """Ten times the load: those admitted wait as long as they said that they would, no longer."""
    async with rig({"it": poison()}) as it:
        request = request_of("it", ["sleep 0.005 1"])
        await asyncio.gather(*(it.answer(request) for _ in range(50)))
        request.options.queue_timeout.FromMilliseconds(100)
        waited: list[float] = []
        turned: list[float] = []
        late: list[ScoreError] = []
        codes: list[grpc.StatusCode] = []

        async def one() -> None:
            begin_s = time.perf_counter()
            try:
                answer = await it.answer(request)
            except grpc.aio.AioRpcError as error:
                codes.append(error.code())
                turned.append(time.perf_counter() - begin_s)
            else:
                late.extend(o for o in flat(answer) if isinstance(o, ScoreError))
                waited.append(time.perf_counter() - begin_s)

        calls = []
        for _ in range(60):
            calls += [asyncio.ensure_future(one()) for _ in range(60)]
            await asyncio.sleep(0.03)
        await asyncio.gather(*calls)
        assert set(codes) == {grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert len(waited) > 100
        assert len(turned) > len(waited)
        # A machine that is busy otherwise is slower than it was measured to be a moment ago.
        assert len(late) <= 0.5 * len(waited), late[:3]
        assert sorted(waited)[int(0.95 * len(waited))] < 1.0
