"""Requests that come in one turn are one call, and nobody can tell but by the time it takes."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from rewardplane.access.caller import Caller
from rewardplane.access.settings import Grant, Quota
from rewardplane.config.load import parse
from rewardplane.gateway.validate import Validator
from rewardplane.http.exchange import Answer, Request, Stop
from rewardplane.http.joining import MAX_JOINED
from rewardplane.http.server import HttpFace

from ..support.rig import FOLDER, Rig

EXACT = {"exact": {"kind": "exact"}}
POOL = {"exact": {"kind": "exact", "lane": "pool"}}
SLOW = """\
import time

def evaluate(example, response):
    text = response["parts"][0]["text"]
    if text == "slow":
        time.sleep(0.6)
    if text == "raise":
        raise ValueError("no")
    return float(text == example["references"]["answer"])
"""


def body(text: str, gold: str, **metadata: Any) -> bytes:
    example = {"references": {"answer": gold}}
    return json.dumps(
        {"example": example, "response": {"parts": [{"text": text}]}, "metadata": metadata}
    ).encode()


class Face:
    """The port without sockets: requests are given to it as a connection does, in one turn."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        validator = Validator(rig.scorer, rig.metrics, rig.config.limits)
        self.face = HttpFace(rig.scorer, validator, rig.rewards, rig.metrics, rig.config.limits)
        self.answers: dict[int, list[Answer]] = {}

    def send(
        self,
        sent: bytes,
        *,
        caller: Caller | None = None,
        headers: Mapping[bytes, bytes] | None = None,
    ) -> Stop | None:
        """Has a request answered; its answers come under its number."""
        request = Request("POST", "/rewards/exact", headers or {})
        assert self.face.refused(request) is None
        request.caller, request.body = caller, sent
        told = self.answers[len(self.answers)] = []
        return self.face.answer(request, told.append)

    async def told(self, within_s: float = 10.0) -> list[tuple[int, Any]]:
        """Status and body of each answer, in the order sent, once all are there."""
        async with asyncio.timeout(within_s):
            while not all(self.answers.values()):
                await asyncio.sleep(0.005)
        assert all(len(told) == 1 for told in self.answers.values())
        return [(told[0].status, json.loads(told[0].body)) for told in self.answers.values()]

    @property
    def calls(self) -> int:
        """How many calls there were; of how many items is told by `batches_sum`."""
        return sum(self.rig.metrics.batches.values())

    @property
    def requests(self) -> Counter[str]:
        """The requests by code."""
        found = Counter[str]()
        for (_reward, _job, code), count in self.rig.metrics.requests.items():
            found[code] += count
        return found


@asynccontextmanager
async def face(
    rewards: Mapping[str, Any], limits: Mapping[str, Any] | None = None, folder: Path = FOLDER
) -> AsyncIterator[Face]:
    document = {"rewards": dict(rewards), "limits": dict(limits or {})}
    async with Rig(parse(document, folder), None) as rig:
        yield Face(rig)


@pytest.mark.parametrize("rewards", [EXACT, POOL])
async def test_each_gets_its_own_reward(rewards: Mapping[str, Any]) -> None:
    async with face(rewards) as it:
        count = MAX_JOINED + 44
        for i in range(count):
            it.send(body(str(i), str(i if i % 3 else -1)))
        assert not any(it.answers.values())  # none is begun before the turn is over
        told = await it.told()
        assert told == [(200, {"reward": float(i % 3 > 0)}) for i in range(count)]
        assert it.calls == 2
        assert it.rig.metrics.batches_sum == count
        assert it.requests == {"OK": count}


async def test_one_that_comes_alone_goes_alone() -> None:
    async with face(EXACT) as it:
        for i in range(3):
            it.send(body("a", "a"))
            await it.told()
            assert it.calls == i + 1


async def test_what_differs_in_what_a_call_is_goes_apart() -> None:
    async with face(EXACT) as it:
        for job, step in ((1, 1), (1, 1), (2, 1), (1, 2), (1, 2)):
            it.send(body("a", "a", tuningJobId=job, step=step))
        trace = {b"traceparent": b"00-" + b"1" * 32 + b"-" + b"2" * 16 + b"-01"}
        for _ in range(2):
            it.send(body("a", "a"), headers=trace)
        free, bound = Caller("free", Grant()), Caller("bound", Grant(quota=Quota(items_per_s=9)))
        for caller in (free, free, bound, bound):
            it.send(body("a", "a"), caller=caller)
        told = await it.told()
        assert {status for status, _ in told} == {200}
        assert it.calls == 3 + 2 + 1 + 2


async def test_a_quota_counts_each() -> None:
    async with face(EXACT) as it:
        caller = Caller("bound", Grant(quota=Quota(items_per_s=1)))
        for _ in range(5):
            it.send(body("a", "a"), caller=caller)
        statuses = [status for status, _ in await it.told()]
        assert statuses.count(200) < 5
        assert set(statuses) == {200, 429}


async def test_a_body_that_is_none_hurts_no_other() -> None:
    async with face(EXACT) as it:
        it.send(body("a", "a"))
        it.send(b"{")
        it.send(json.dumps({"example": {}, "response": {"parts": [{"text": "a"}]}}).encode())
        it.send(body("b", "a"))
        (first, bad, no_gold, last) = await it.told()
        assert first == (200, {"reward": 1.0})
        assert bad[0] == 400
        assert no_gold[0] == 500
        assert no_gold[1]["error"]["reason"] == "INVALID_REFERENCE"
        assert last == (200, {"reward": 0.0})


async def test_where_there_is_no_room_for_all_some_get_in() -> None:
    async with face(POOL, {"max_in_flight_items": 4, "max_request_items": 4}) as it:
        for _ in range(10):
            it.send(body("a", "a"))
        statuses = [status for status, _ in await it.told()]
        assert statuses.count(200) == 4
        assert statuses.count(429) == 6
        assert it.rig.admission.items == 0


async def test_a_client_that_leaves_takes_none_with_it() -> None:
    async with face(POOL) as it:
        stops = [it.send(body("a", "a")) for _ in range(6)]
        for number in (0, 3):  # before the call begins
            stop = stops[number]
            assert stop is not None
            stop()
            del it.answers[number]
        await asyncio.sleep(0)
        stop = stops[5]
        assert stop is not None
        stop()  # behind
        del it.answers[5]
        assert await it.told() == [(200, {"reward": 1.0})] * 3
        assert it.requests == {"OK": 3, "CANCELLED": 3}


async def test_a_call_that_nobody_waits_for_is_given_up() -> None:
    async with face(POOL) as it:
        stops = [it.send(body("a", "a")) for _ in range(4)]
        await asyncio.sleep(0)
        assert it.rig.admission.items == 4
        for stop in stops:
            assert stop is not None
            stop()
        assert it.rig.admission.items == 0
        assert it.requests == {"CANCELLED": 4}
        assert not any(it.answers.values())


async def test_none_waits_for_one_that_is_slow(tmp_path: Path) -> None:
    (tmp_path / "sometimes_slow.py").write_text(SLOW)
    own = {"exact": {"kind": "python", "function": "sometimes_slow:evaluate"}}
    async with face(own, folder=tmp_path) as it:
        it.send(body("a", "a"))
        it.send(body("slow", "a"))
        it.send(body("raise", "a"))
        async with asyncio.timeout(10):
            while not it.answers[0]:
                assert not it.answers[1]
                await asyncio.sleep(0.005)
        first, slow, raised = await it.told()
        assert (first, slow) == ((200, {"reward": 1.0}), (200, {"reward": 0.0}))
        assert raised[1]["error"]["reason"] == "RAISED"
        assert it.calls == 1
