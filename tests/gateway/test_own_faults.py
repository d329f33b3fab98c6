"""Faults of our own, put in wherever a call is out of its caller's sight: no item waits for them.

Each injected fault raises in a task, a callback or a later turn of the loop. The items that it
meets are UNAVAILABLE at once, well before the deadline; all others have their scores, and nothing
is held afterwards.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from itertools import count
from typing import Any

import pytest
import pytest_asyncio
from rewardplane.gateway import lane, scorer
from rewardplane.gateway.call import Call
from rewardplane.gateway.composite import CompositeRun
from rewardplane.gateway.doors.connections import Connections
from rewardplane.gateway.doors.native import NativeDoor
from rewardplane.gateway.inline import InlineRun
from rewardplane.gateway.local_links import SCAN_S
from rewardplane.gateway.metrics import Metrics
from rewardplane.gateway.reuse import Reuse, ReuseRun
from rewardplane.gateway.shard import Shard
from rewardplane.replica.linked_workers import LinkedWorkers
from rewardplane.rewards.types import ScoreError
from rewardplane.v1 import reward_service_pb2 as pb

from ..support import rig as rigs
from ..support.rig import Rig, poison, reasons, request_of, rig

pytestmark = pytest.mark.asyncio(loop_scope="module")

REWARDS: dict[str, dict[str, Any]] = {
    "exact": {"kind": "exact"},
    "one": poison(),
    "sure": poison(deterministic=True),
    "sum": {"kind": "composite", "formula": "one + exact"},
    "gated": {"kind": "composite", "formula": "one", "gates": [{"reward": "exact"}]},
}
DEADLINE_S = 40.0
SOON_S = 15.0
"""A call that waits for its deadline takes more than twice as long."""
GOLD = {"answer": "1"}


class Fault(Exception):
    """Ours."""


def fails(
    monkeypatch: pytest.MonkeyPatch, where: Any, name: str, *, at: int = 1, times: int = 1
) -> list[int]:
    """Has a function raise from its call number `at` on, so often; returns the calls so far."""
    real, calls = getattr(where, name), [0]

    def failing(*args: Any, **options: Any) -> Any:
        calls[0] += 1
        if at <= calls[0] < at + times:
            raise Fault(f"in {name}")
        return real(*args, **options)

    monkeypatch.setattr(where, name, failing)
    return calls


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[Rig]:
    """One service for all: what one fault left would be in the way of the next test."""
    async with rig(REWARDS) as it:
        yield it


@pytest_asyncio.fixture(loop_scope="module")
async def it(shared: Rig, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    """The service; it must hold nothing in the end, and serve."""
    yield shared
    monkeypatch.undo()
    begin_s = time.monotonic()
    while shared.admission.items or shared.server.door.in_flight():
        assert time.monotonic() - begin_s < 5, "places are held"
        await asyncio.sleep(0.01)
    assert shared.admission.calls == shared.admission.bytes == 0
    assert shared.scorer.reuse.flights == {}
    assert not any(served.calls or served.items for served in shared.rewards.all())
    for name in shared.rewards.names():
        found = reasons(await shared.score(name, ["1", "1"], references=GOLD))
        assert found == {"SCORED": 2}, f"{name} serves no more: {found}"


async def told(it: Rig, reward: str, groups: int = 1, size: int = 4) -> dict[str, int]:
    """What becomes of a call, whose own fault is told by a message."""
    begin_s = time.monotonic()
    texts = [["1"] * size] * groups
    outcomes = await it.score(reward, *texts, deadline_s=DEADLINE_S, references=GOLD)
    assert time.monotonic() - begin_s < SOON_S
    for outcome in outcomes:
        if isinstance(outcome, ScoreError):
            assert "fault of its own" in outcome.message or "Fault" in outcome.message
    assert len(outcomes) == groups * size
    return dict(reasons(outcomes))


@pytest.mark.parametrize("at", [1, 2, 40])
async def test_the_inline_lane(it: Rig, at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In its first breath and in later ones."""
    fails(monkeypatch, InlineRun, "_score", at=at)
    found = await told(it, "exact", groups=200, size=64)
    assert found["UNAVAILABLE"] >= 1
    assert found.get("SCORED", 0) >= 64 * (at // 20)


async def test_the_inline_lane_in_the_middle_of_a_group(
    it: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some of its items have a state, and have not been told."""
    real = InlineRun._score
    calls = 0

    def failing(run: Any, example: Any, sent: Any, first: int) -> None:
        nonlocal calls
        calls += 1
        real(run, example, sent, first)
        if calls == 3:
            raise Fault

    monkeypatch.setattr(InlineRun, "_score", failing)
    found = await told(it, "exact", size=3000)
    assert found["SCORED"] >= 16
    assert sum(found.values()) == 3000


async def test_other_rewards_of_the_call_have_their_scores(
    it: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails(monkeypatch, InlineRun, "_score")
    request = pb.ScoreRequest()
    for name in ("exact", "one"):
        (group,) = request_of(name, ["1", "1"], references=GOLD).groups
        group.reward = name
        request.groups.append(group)
    found = reasons(rigs.flat(await it.answer(request, DEADLINE_S)))
    assert found == {"UNAVAILABLE": 2, "SCORED": 2}


@pytest.mark.parametrize("at", [1, 2])
async def test_shards_on_their_way_to_the_lane(
    it: Rig, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = scorer.shards_of

    def failing(*args: Any) -> Iterator[Shard]:
        for number, shard in enumerate(real(*args), 1):
            if number == at:
                raise Fault
            yield shard

    monkeypatch.setattr(scorer, "shards_of", failing)
    found = await told(it, "one", groups=2, size=5000)
    assert found["UNAVAILABLE"] > 0
    assert found.get("SCORED", 0) == (at == 2) * found.get("SCORED", 0)
    monkeypatch.undo()


FAULTS: dict[str, tuple[Any, str, int]] = {
    "the message to a replica": (lane, "message_of", 1),
    "the start of a job": (lane.PoolLane, "_start_at_once", 1),
    "what an item costs": (lane.PoolLane, "_measure", 1),
    "the placing of outcomes": (Call, "place", 1),
    "the placing of one run of outcomes": (Call, "_place_run", 1),
}


@pytest.mark.parametrize("size", [1, 300])
@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_in_the_lane_once_costs_nothing(
    it: Rig, name: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What did not get to its end is sent again."""
    where, what, at = FAULTS[name]
    fails(monkeypatch, where, what, at=at)
    assert await told(it, "one", size=size) == {"SCORED": size}


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_in_the_lane_every_time_is_told(
    it: Rig, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    where, what, _at = FAULTS[name]
    with monkeypatch.context() as broken:
        fails(broken, where, what, times=10_000)
        found = await told(it, "one", size=8)
    assert sum(found.values()) == 8
    if "start" not in name:  # without it a job has a task, and goes well
        assert found == {"UNAVAILABLE": 8}


@pytest.mark.parametrize("reward", ["sum", "gated"])
@pytest.mark.parametrize("what", ["_note", "_combine", "_flush", "_combine_group", "_goes_on"])
async def test_a_composite(
    it: Rig, what: str, reward: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if what == "_combine_group":  # only where the columns do not do
        monkeypatch.setattr(CompositeRun, "_blend", lambda *_: False)
    calls = fails(monkeypatch, CompositeRun, what, at=2 if what == "_combine_group" else 1)
    found = await told(it, reward, groups=6)
    monkeypatch.undo()
    assert sum(found.values()) == 24
    assert not calls[0] or found["UNAVAILABLE"] >= 4
    if what == "_combine_group":
        assert found["SCORED"] >= 4


async def test_a_composite_that_cannot_be_told_of_its_deadline(
    it: Rig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fails(monkeypatch, CompositeRun, "expire")
    outcomes = await it.score("sum", ["sleep 9", "1"], deadline_s=1.5, references=GOLD)
    assert reasons(outcomes).total() == 2
    assert reasons(outcomes)["SCORED"] <= 1
    # What was stopped must have left the worker.
    await asyncio.sleep(0.5)


@pytest.mark.parametrize("what", ["close", "_count"])
async def test_a_composite_that_cannot_be_closed(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig(REWARDS) as it:
        if what == "close":
            fails(monkeypatch, CompositeRun, what)
        else:
            fails(monkeypatch, Metrics, "count")
        assert await told(it, "sum") == {"SCORED": 4}
        assert it.admission.items == it.admission.calls == 0
        if what == "_count":
            assert not any(served.calls for served in it.rewards.all())


NUMBERS = count()
"""For texts that no test has sent before."""


@pytest.mark.parametrize("times", [1, 10_000])
@pytest.mark.parametrize("what", ["put", "get", "_place", "_execute", "_look_up", "_share"])
async def test_equal_items(it: Rig, what: str, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several calls wait for one execution: nobody waits for one that never comes."""
    it.rewards.find("sure", "").pool.item_s = 0.01  # worth looking up
    with monkeypatch.context() as broken:
        fails(broken, Reuse if what in ("put", "get") else ReuseRun, what, times=times)
        texts = [f"sleep 0.05 {next(NUMBERS)}" for _ in range(2)]
        begin_s = time.monotonic()
        calls = [it.score("sure", texts, texts, deadline_s=DEADLINE_S) for _ in range(4)]
        outcomes = [one for of_call in await asyncio.gather(*calls) for one in of_call]
        assert time.monotonic() - begin_s < SOON_S
    assert len(outcomes) == 16
    assert set(reasons(outcomes)) <= {"SCORED", "UNAVAILABLE"}


LATE: dict[str, tuple[Any, str]] = {
    "the count of outcomes": (Metrics, "items_ended"),
    "the label of a job": (Metrics, "job_label"),
}


@pytest.mark.parametrize("name", LATE)
async def test_what_comes_after_the_last_outcome(
    it: Rig, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    where, what = LATE[name]
    # The label is asked for when a call begins, too.
    fails(monkeypatch, where, what, at=1 if what == "items_ended" else 2)
    assert await told(it, "one") == {"SCORED": 4}
    assert it.admission.items == it.admission.calls == 0
    assert await told(it, "one") == {"SCORED": 4}


async def test_a_call_of_a_burst_that_the_door_cannot_take(
    it: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await it.score("exact", ["1"], references=GOLD)
    fails(monkeypatch, NativeDoor, "_made", at=3)
    calls = [it.score("exact", ["1"], references=GOLD, deadline_s=10) for _ in range(20)]
    ended = await asyncio.gather(*calls, return_exceptions=True)
    refused = [one for one in ended if isinstance(one, BaseException)]
    assert len(refused) == 1
    assert "INTERNAL" in str(refused[0])


async def test_what_looks_after_connections_goes_on(
    it: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = fails(monkeypatch, Connections, "look", times=2)
    begin_s = time.monotonic()
    while calls[0] < 4:
        assert time.monotonic() - begin_s < 10
        await asyncio.sleep(0.05)


async def test_a_message_of_a_replica_that_cannot_be_taken_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The link is given up, and whoever waits there is told: the lane sends its shard again."""
    monkeypatch.setattr(rigs, "LINKED", True)
    async with rigs.pool_of(poison()) as pool:
        await pool.replica.start()
        fails(monkeypatch, LinkedWorkers, "_take")
        with pytest.raises(lane.ReplicaLost):
            await asyncio.wait_for(rigs.run(pool, rigs.groups_of(["1"])), SOON_S)
        await asyncio.sleep(2 * SCAN_S)
        outcomes = await asyncio.wait_for(rigs.run(pool, rigs.groups_of(["1"])), SOON_S)
        assert reasons(outcomes) == {"SCORED": 1}
