"""A lane whose number of replicas follows its work: none, some, and what it tells of the work."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from rewardplane.gateway.lane_load import MAX_JOBS, OTHERS, Arrivals
from rewardplane.gateway.load import MAX_DUE, JobLoad, Load, merged

from ..support.replicas import Replicas, answers, waits_for
from ..support.rig import Rig, poison, reasons, request_of, rewards, rig

SCALED = {"min": 0, "max": 4}


def service(behave: Any = answers, **more: Any) -> tuple[Rig, Replicas]:
    """One reward of which up to four replicas run; none does now."""
    replicas = Replicas(behave)
    it = rig({"it": poison(replicas=SCALED, **more)}, connect=replicas.connect)
    it.rewards.find("it", "").note_replicas(0, 0)
    return it, replicas


async def test_a_call_waits_until_a_replica_has_started() -> None:
    it, replicas = service()
    async with it:
        call = asyncio.ensure_future(it.score("it", ["1", "2"], deadline_s=30))
        await asyncio.sleep(0.5)
        assert not call.done()
        assert not replicas.handled
        assert it.rewards.find("it", "").pool.load().at_once == 2
        it.rewards.find("it", "").note_replicas(1, 1)
        assert rewards(await call) == [1.0, 2.0]


async def test_a_call_whose_replica_comes_too_late_is_told_so() -> None:
    it, replicas = service(queue_timeout_s=0.4)
    async with it:
        assert reasons(await it.score("it", ["1", "2"], deadline_s=30)) == {"QUEUE_TIMEOUT": 2}
        assert reasons(await it.score("it", ["1"], deadline_s=0.3)) == {"QUEUE_TIMEOUT": 1}
    assert not replicas.handled


async def test_what_it_tells_of_its_work() -> None:
    gate = asyncio.Event()
    it, _replicas = service(waits_for(gate.wait))
    served = it.rewards.find("it", "")
    async with it:
        lane = served.pool
        assert lane.load() == Load()
        served.note_replicas(1, 1)
        request = request_of("it", ["1"] * 6, job="a")
        calls = [asyncio.ensure_future(it.answer(request, 60.0))]
        await asyncio.sleep(0.2)
        lane.item_s = 2.0
        request = request_of("it", ["1"] * 8, job="b")
        calls.append(asyncio.ensure_future(it.answer(request, 30.0)))
        await asyncio.sleep(0.3)
        load = lane.load()
        assert load.work_s == pytest.approx(28.0)
        assert load.at_once == 14
        assert 0.3 <= load.oldest_s <= 30
        assert [round(work_s) for _left_s, work_s in load.due] == [16, 12]
        assert load.due[0][0] < 30 < load.due[1][0] < 60
        assert load.jobs["b"] == JobLoad(16.0, 16.0, 8.0)
        assert load.jobs["a"].work_s == 12.0
        gate.set()
        await asyncio.gather(*calls)
        load = lane.load()
        assert (load.work_s, load.oldest_s, load.due) == (0.0, 0.0, ())
        assert load.jobs["b"].came_at_once == 8.0


def test_loads_of_several_gateways_are_one() -> None:
    one = Load(3.0, 1.0, 2.0, 5.0, ((9.0, 3.0),), {"a": JobLoad(3.0, 4.0, 5.0)})
    other = Load(1.0, 1.0, 7.0, 2.0, ((4.0, 1.0),), {"a": JobLoad(1.0, 1.0, 2.0)})
    assert merged([one]) is one
    assert merged([]) == Load()
    whole = merged([one, other])
    assert whole == Load(
        4.0, 2.0, 7.0, 7.0, ((4.0, 1.0), (9.0, 3.0)), {"a": JobLoad(4.0, 5.0, 7.0)}
    )
    many = merged(Load(due=((float(k), 1.0),)) for k in range(100))
    assert len(many.due) <= MAX_DUE
    assert sum(work_s for _left_s, work_s in many.due) == 100
    assert many.due[0][0] == 0


def test_jobs_beyond_those_told_apart_are_one() -> None:
    arrivals = Arrivals()
    for k in range(3 * MAX_JOBS):
        arrivals.note(f"job{k}", 2, 0.5)
    assert len(arrivals.came) == MAX_JOBS + 1
    assert arrivals.came[OTHERS] == [2.0 * MAX_JOBS, 4.0 * MAX_JOBS]
