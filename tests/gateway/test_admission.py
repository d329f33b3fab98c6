"""Places: what is over is refused at once, with when to come back; every place comes back."""

from __future__ import annotations

import asyncio
import random
import time

import grpc
import pytest
from rewardplane.config.settings import Limits
from rewardplane.gateway.admission import MAX_RETRY_S, MIN_RETRY_S, Admission
from rewardplane.gateway.doors.rpc import Metadata, Rpc
from rewardplane.gateway.server import SERVICE
from rewardplane.v1 import reward_service_pb2 as pb
from rewardplane.wire.errors import NotReady, Overloaded, UnknownReward

from ..support.replicas import Replicas, waits_for
from ..support.rig import flat, poison, request_of, rewards, rig
from .test_server import details

LIMITS = {"max_in_flight_items": 10, "max_in_flight_bytes": 2**20}


def admit(admission: Admission, items: int, count: int = 1, backlog_s: float = 0.0) -> None:
    """A call comes in, or leaves nothing behind."""
    admission.enter(count, backlog_s)
    try:
        admission.take(items, backlog_s)
    except Overloaded:
        admission.leave(0, count)
        raise


def test_items_are_bounded_and_given_back() -> None:
    admission = Admission(Limits(max_in_flight_items=10))
    admit(admission, 6, 100)
    admit(admission, 4, 100)
    with pytest.raises(Overloaded) as caught:
        admit(admission, 1, 100)
    assert caught.value.retry_after_s >= MIN_RETRY_S
    assert "10 of 10 items" in str(caught.value)
    admission.leave(6, 100)
    admit(admission, 6, 100)


def test_bytes_are_bounded_before_anything_is_parsed() -> None:
    admission = Admission(Limits(max_in_flight_bytes=2**20))
    admission.enter(2**20, 0.0)
    with pytest.raises(Overloaded, match="bytes are in flight"):
        admission.enter(1, 0.0)
    admission.leave(0, 2**20)
    admission.enter(2**20, 0.0)


def test_a_call_larger_than_all_places_is_let_in_alone() -> None:
    admission = Admission(Limits(max_in_flight_items=10))
    admit(admission, 50)
    with pytest.raises(Overloaded):
        admit(admission, 1)
    admission.leave(50, 1)
    admit(admission, 1)
    with pytest.raises(Overloaded):
        admit(admission, 50)


@pytest.mark.parametrize(
    ("backlog_s", "retry_s"), [(0.0, MIN_RETRY_S), (3.0, 3.0), (1000.0, MAX_RETRY_S)]
)
def test_when_to_come_back_follows_the_backlog(backlog_s: float, retry_s: float) -> None:
    admission = Admission(Limits(max_in_flight_items=1))
    admit(admission, 1)
    with pytest.raises(Overloaded) as caught:
        admit(admission, 1, backlog_s=backlog_s)
    assert caught.value.retry_after_s == retry_s


def test_a_draining_gateway_sends_elsewhere() -> None:
    admission = Admission(Limits())
    admission.closed = True
    with pytest.raises(NotReady):
        admission.enter(1, 0.0)


async def test_what_is_read_with_pauses_counts_from_its_first_byte() -> None:
    """Calls of many groups are read side by side: together they hold what one limit allows."""
    async with rig({"it": {"kind": "exact"}}, {"max_in_flight_bytes": 2**20}) as made:
        data = request_of("it", *(["x" * 40] for _ in range(12_000))).SerializeToString()
        assert 2**19 < len(data) < 2**20

        async def score() -> str:
            try:
                return str((await made.scorer.score(data, 60.0, "")).n)
            except Overloaded as error:
                return "bytes" if "bytes are in flight" in str(error) else str(error)

        assert sorted(await asyncio.gather(*(score() for _ in range(4)))) == [
            "12000",
            *["bytes"] * 3,
        ]
        given_up = asyncio.ensure_future(score())
        await asyncio.sleep(0)
        assert made.admission.bytes == len(data)
        given_up.cancel()
        await asyncio.wait([given_up])
        given_up = asyncio.ensure_future(score())
        while not made.admission.items:
            await asyncio.sleep(0)
        given_up.cancel()  # it has begun, and does not know it yet
        await asyncio.wait([given_up])
        assert given_up.cancelled()
        with pytest.raises(UnknownReward):
            await made.scorer.score(data.replace(b"\x12\x02it", b"\x12\x02no"), 60.0, "")
        assert (made.admission.items, made.admission.bytes, made.admission.calls) == (0, 0, 0)


async def test_overload_is_refused_at_once_and_what_was_admitted_ends() -> None:
    gate = asyncio.Event()
    replicas = Replicas(waits_for(gate.wait))
    async with rig({"it": poison()}, LIMITS, replicas.connect) as made:
        first = [asyncio.ensure_future(made.score("it", ["1"] * 5)) for _ in range(2)]
        await asyncio.sleep(0.2)
        assert made.admission.items == 10
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await made.score("it", ["2"])
        error = caught.value
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        found = details(error)
        assert found["ErrorInfo"].reason == "OVERLOADED"
        assert 0.1 <= found["RetryInfo"].retry_delay.ToMilliseconds() / 1000 <= 10
        with pytest.raises(grpc.aio.AioRpcError):
            await made.stream(request_of("it", ["2"])).read()
        gate.set()
        assert [rewards(await task) for task in first] == [[1.0] * 5] * 2
        assert rewards(await made.score("it", ["2"])) == [2.0]
        assert made.metrics.requests["", "", "RESOURCE_EXHAUSTED"] == 2


async def test_too_many_bytes_are_refused_at_once() -> None:
    gate = asyncio.Event()
    replicas = Replicas(waits_for(gate.wait))
    async with rig({"it": poison()}, LIMITS, replicas.connect) as made:
        large = request_of("it", ["1" + " " * 900_000])
        first = asyncio.ensure_future(made.answer(large))
        await asyncio.sleep(0.2)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await made.answer(large)
        assert "RetryInfo" in details(caught.value)
        gate.set()
        assert rewards(flat(await first)) == [1.0]


async def test_refused_calls_take_no_place() -> None:
    async with rig({"exact": {"kind": "exact"}}, LIMITS) as made:
        for _ in range(30):
            with pytest.raises(grpc.aio.AioRpcError):
                await made.score("nobody", ["1"])
        assert made.admission.items == made.admission.calls == 0


async def test_every_place_comes_back_whatever_becomes_of_the_call() -> None:
    chance = random.Random(5)
    replicas = Replicas(waits_for(lambda: asyncio.sleep(chance.random() * 0.1)))
    async with rig({"it": poison()}, {"max_in_flight_items": 200}, replicas.connect) as made:

        async def one() -> None:
            request = request_of("it", ["1"] * chance.randint(1, 20))
            how = chance.random()
            call = made.stream(request) if how < 0.3 else made.answer(request, 0.3)
            if how > 0.6:
                asyncio.get_running_loop().call_later(chance.random() * 0.1, call.cancel)
            try:
                if how < 0.3:
                    async for _ in call:
                        pass
                else:
                    await call
            except (grpc.aio.AioRpcError, asyncio.CancelledError):
                pass

        await asyncio.gather(*(one() for _ in range(200)))
        await asyncio.sleep(0.2)
        assert (made.admission.items, made.admission.bytes, made.admission.calls) == (0, 0, 0)


class _Arrived(Rpc):
    """A call of `Score` whose door keeps nothing but how it ended."""

    def __init__(self, message: bytes) -> None:
        super().__init__(f"/{SERVICE}/Score", message, (), time.monotonic() + 60, "")
        self.ended: list[object] = []

    def answer(self, message: bytes, trailers: Metadata = ()) -> None:
        self.ended.append(len(pb.ScoreResponse.FromString(message).groups))

    def fail(self, code: grpc.StatusCode, text: str, trailers: Metadata = ()) -> None:
        self.ended.append(code)

    async def send(self, message: bytes, by_s: float | None = None) -> bool:
        raise AssertionError

    def finish(self, trailers: Metadata = ()) -> None:
        raise AssertionError


async def test_a_caller_may_leave_while_its_call_begins() -> None:
    """One of many groups begins in several turns of the loop; one of few in one."""
    async with rig({"it": {"kind": "exact", "reference": "a"}}, {}) as made:
        score = made.servicer.methods()[f"/{SERVICE}/Score"]
        data = request_of("it", *(["x"] for _ in range(40_000)), references={"a": "x"})
        left = _Arrived(data.SerializeToString())
        score(left)
        assert left.on_cancel is not None
        assert (made.admission.calls, made.admission.items) == (1, 0)
        left.cancelled()
        assert (made.admission.calls, made.admission.bytes) == (0, 0)
        await asyncio.sleep(0.05)
        assert left.ended == []
        assert made.metrics.requests["", "", "CANCELLED"] == 1
        stays, unknown = _Arrived(data.SerializeToString()), _Arrived(b"")
        data.reward = "other"
        unknown.message = data.SerializeToString()
        score(stays)
        score(unknown)
        while not (stays.ended and unknown.ended):
            await asyncio.sleep(0)
        assert stays.ended == [40_000]
        assert unknown.ended == [grpc.StatusCode.NOT_FOUND]
        few = _Arrived(request_of("it", ["x"], references={"a": "x"}).SerializeToString())
        score(few)
        assert few.ended == [1]
        assert (made.admission.calls, made.admission.items, made.admission.bytes) == (0, 0, 0)
