"""Where more waits than the gateway can look at, the native door refuses the newest calls."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2
from rewardplane.gateway.doors import native
from rewardplane.gateway.doors.door import DoorKind
from rewardplane.gateway.doors.health import CHECK
from rewardplane.gateway.doors.rpc import Rpc

from ...load.flood import flood
from .served import UNARY, Served, served, until


def slow(it: Served, seconds: float) -> None:
    """Makes the gateway's part take its time."""
    handle = it.handle

    def slowly(rpcs: Sequence[Rpc]) -> None:
        time.sleep(seconds * len(rpcs))
        handle(rpcs)

    it.door._handle = slowly


@pytest.mark.parametrize("by", ["time", "bytes"])
async def test_the_newest_are_refused_at_once(by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "FRONT_S", 0.3 if by == "time" else 1e9)
    async with served(DoorKind.NATIVE) as it:
        if by == "bytes":
            limits = it.door._limits
            it.door._limits = limits.model_copy(update={"max_in_flight_bytes": 256 * 1000})
        slow(it, 0.001)
        messages = [b"%01000d" % index for index in range(3000)]
        begin_s = time.monotonic()
        came = await asyncio.to_thread(flood, it.port, UNARY, messages, 60)
        assert time.monotonic() - begin_s < 30
        answered = [i for i, message in enumerate(came.messages) if message]
        assert 50 < len(answered) < 2900
        assert it.door.turned_away == 3000 - len(answered)
        assert len(came.latencies_s) == 3000  # the others ended too
        assert all(came.messages[i] == messages[i] for i in answered)
        await until(lambda: not it.door.in_flight())
        # And what comes afterwards is served.
        assert await it.call(b"hello") == b"hello"


async def test_a_refusal_says_when_to_come_again_and_health_is_no_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(native, "FRONT_S", 0.05)
    async with served(DoorKind.NATIVE) as it:
        await it.call(b"hello")
        slow(it, 0.002)
        it.health.tell([""])
        check = it.channel.unary_unary(CHECK)
        calls = [it.call(b"x" * 100) for _ in range(1500)]
        asked = [check(health_pb2.HealthCheckRequest().SerializeToString()) for _ in range(20)]
        came = await asyncio.gather(*calls, return_exceptions=True)
        refused = [error for error in came if isinstance(error, grpc.aio.AioRpcError)]
        assert 100 < len(refused) < 1500
        for error in refused:
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            details = dict(error.trailing_metadata() or ())
            status = status_pb2.Status.FromString(details["grpc-status-details-bin"])
            assert any(d.Is(error_details_pb2.RetryInfo.DESCRIPTOR) for d in status.details)
        assert all(isinstance(answer, bytes) for answer in await asyncio.gather(*asked))
