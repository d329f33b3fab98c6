"""A lane whose number of replicas follows its work: none, some, and what it tells of the work."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rewardplane.config.load import parse
from rewardplane.gateway.admission import Admission
from rewardplane.gateway.batch_queue import BatchQueue
from rewardplane.gateway.breath import at_once
from rewardplane.gateway.call import Call, CallOptions
from rewardplane.gateway.lane import Answers, PoolLane
from rewardplane.gateway.lane_load import MAX_JOBS, OTHERS, PIECE, Arrivals, looking
from rewardplane.gateway.load import MAX_DUE, JobLoad, Load, merged
from rewardplane.gateway.local_replicas import LocalReplicas
from rewardplane.gateway.metrics import Metrics
from rewardplane.gateway.scorer import Scorer
from rewardplane.gateway.served import ServedReward, ServedRewards
from rewardplane.gateway.shard import Shard
from rewardplane.replica.lending import LendingPool

from ..support.replicas import Replicas, answers, waits_for
from ..support.rig import FOLDER, Rig, poison, reasons, request_of, rewards, rig

SCALED = {"min": 0, "max": 4}
NOW_S = 1000.0


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
        assert at_once(it.rewards.find("it", "").pool.looking()).at_once == 2
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
        assert at_once(lane.looking()) == Load()
        served.note_replicas(1, 1)
        request = request_of("it", ["1"] * 6, job="a")
        calls = [asyncio.ensure_future(it.answer(request, 60.0))]
        await asyncio.sleep(0.2)
        lane.item_s = 2.0
        request = request_of("it", ["1"] * 8, job="b")
        calls.append(asyncio.ensure_future(it.answer(request, 30.0)))
        await asyncio.sleep(0.3)
        load = at_once(lane.looking())
        assert load.work_s == pytest.approx(28.0)
        assert load.at_once == 14
        assert 0.3 <= load.oldest_s <= 30
        assert [round(work_s) for _left_s, work_s in load.due] == [16, 12]
        assert load.due[0][0] < 30 < load.due[1][0] < 60
        assert load.jobs["b"] == JobLoad(16.0, 16.0, 8.0)
        assert load.jobs["a"].work_s == 12.0
        gate.set()
        await asyncio.gather(*calls)
        load = at_once(lane.looking())
        assert (load.work_s, load.oldest_s, load.due) == (0.0, 0.0, ())
        assert load.jobs["b"].came_at_once == 8.0


def submitted(queue: BatchQueue, number: int, left_s: float) -> Shard:
    """A call of two items, one shard of which waits."""
    served: Any = SimpleNamespace(component_count=0)
    call = Call(CallOptions(str(number), "", NOW_S, NOW_S + left_s, "job"), [served], [2])
    shard = Shard(call, served, [(0, 1)], [(0, 2)], 2, 10, NOW_S)
    queue.add(shard)
    return shard


def test_a_look_at_very_many_calls_has_pauses() -> None:
    """In CPU time of the thread; each call has a deadline of its own."""
    queue, count = BatchQueue(), 20_000
    shards = [submitted(queue, n, 30.0 + n / 1000) for n in range(count)]
    running = shards[: count // 2]
    for _ in running:
        queue.pop()
    steps = looking(queue.waiting(), lambda: running, Arrivals(), 0.5, 1, NOW_S)
    pieces_s: list[float] = []
    load = None
    while load is None:
        begin_s = time.thread_time()
        try:
            next(steps)
        except StopIteration as end:
            load = end.value
        pieces_s.append(time.thread_time() - begin_s)
    assert (load.work_s, load.waiting_s) == (count, count / 2)
    assert load.jobs[OTHERS].work_s == count
    assert sum(work_s for _left_s, work_s in load.due) == count
    assert 29.5 < load.due[0][0] <= 30 < load.due[-1][0] < 50
    assert len(pieces_s) >= 2 * count // PIECE - 3
    assert sorted(pieces_s)[-3] < 0.02


@pytest.mark.parametrize("closes", [False, True])
def test_what_moves_in_a_pause_of_a_look_counts_once(closes: bool) -> None:
    queue = BatchQueue()
    shards = [submitted(queue, n, 30.0) for n in range(3 * PIECE)]
    running: list[Shard] = []
    steps = looking(queue.waiting(), lambda: running, Arrivals(), 1.0, 1, NOW_S)
    next(steps)
    while queue:
        running.append(queue.pop())
    if closes:
        for shard in shards[PIECE:]:
            shard.call.close()
    load = at_once(steps)
    assert load.work_s == (2 * PIECE if closes else 2 * len(shards))


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


class Cluster:
    """Replicas of one reward on this node, with real workers, that come and go."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pools: list[LendingPool] = []
        self.started = 0
        self.by_handle = 0

    def connect(self, served: ServedReward) -> PoolLane:
        """The lane of a gateway of this node."""

        async def elsewhere(messages: Sequence[Any], backlog: tuple[int, float]) -> Answers:
            self.by_handle += 1
            async with aclosing(self.pools[0].run(messages, backlog)) as told:
                async for answer in told:
                    yield answer

        replicas = LocalReplicas(self.folder, served.config, elsewhere, lambda: served.up)
        return PoolLane(served, replicas.send, replicas.start)

    async def scale(self, served: ServedReward, count: int) -> None:
        """Starts or stops replicas until there are so many."""
        while len(self.pools) < count:
            pool = LendingPool(served.config)
            await pool.check_health()
            self.started += 1
            pool.lend(self.folder, f"{served.config.fingerprint}.{self.started}")
            self.pools.append(pool)
        gone = self.pools[count:]
        del self.pools[count:]
        served.note_replicas(count, count)
        await asyncio.gather(*(pool.drain(20.0) for pool in gone))


async def test_replicas_come_and_go_under_work_and_no_item_is_lost(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    config = parse({"rewards": {"it": poison(replicas=SCALED)}}, FOLDER)
    rewards_ = ServedRewards(Metrics().figures, cluster.connect)
    rewards_.switch(config, 1)
    served = rewards_.find("it", "")
    served.note_replicas(0, 0)
    scorer = Scorer(rewards_, Admission(config.limits), Metrics())
    waited_us: list[int] = []

    async def one(number: int) -> None:
        texts = [f"sleep 0.05 {number * 10 + k}" for k in range(4)]
        call = await scorer.score(request_of("it", texts).SerializeToString(), 60.0, "")
        assert list(call.rewards) == [float(number * 10 + k) for k in range(4)]
        waited_us.append(max(call.queue_us))

    work = [asyncio.create_task(one(number)) for number in range(40)]
    try:
        await asyncio.sleep(0.3)
        assert not any(task.done() for task in work), "there is no replica yet"
        for count in (1, 3, 1, 0):
            await cluster.scale(served, count)
            await asyncio.sleep(0.4)
        left = sum(not task.done() for task in work)
        await asyncio.sleep(0.4)
        assert sum(not task.done() for task in work) == left, "nothing runs without replicas"
        await cluster.scale(served, 1)
        await asyncio.gather(*work)
        assert max(waited_us) >= 300_000
    finally:
        await cluster.scale(served, 0)
        await served.pool.close()
