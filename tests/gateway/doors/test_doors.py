"""Every door says the same to the gateway, and to a real client."""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from rewardplane.gateway.doors.door import DoorKind, door_class

from .served import LIMITS, TRAILERS, UNARY, Served, says, served, until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=list(DoorKind))
async def it(request: pytest.FixtureRequest) -> AsyncIterator[Served]:
    async with served(request.param) as made:
        yield made


async def refused(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


def trailers(error: grpc.aio.AioRpcError) -> dict[str, Any]:
    return dict(error.trailing_metadata() or ())


# ---- calls and answers --------------------------------------------------------------------------


async def test_answers_reach_their_calls(it: Served) -> None:
    messages = [os.urandom(1 + i * 37) for i in range(300)]
    messages = [b"x" + message for message in messages]
    assert await asyncio.gather(*map(it.call, messages)) == messages


async def test_an_empty_message_is_a_message(it: Served) -> None:
    assert await it.call(b"") == b""


async def test_what_a_call_brings(it: Served) -> None:
    metadata = (("traceparent", "00-ab"), ("blob-bin", b"\x00\xff"))
    left_s, peer, brought = json.loads(await it.call(says("tell"), timeout=9, metadata=metadata))
    assert 8 < left_s < 9.5
    assert peer.startswith("ipv4:127.0.0.1:")
    assert ["traceparent", "'00-ab'"] in brought
    assert ["blob-bin", repr(b"\x00\xff")] in brought
    assert json.loads(await it.call(says("tell")))[0] is None


async def test_a_failure_carries_its_status_and_binary_trailers(it: Served) -> None:
    error = await refused(it.call(says("fail")))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert error.details() == "voll é 100 %"
    assert trailers(error) == dict(TRAILERS)


async def test_gzip_is_understood(it: Served) -> None:
    message = b"x" * 100_000
    assert await it.call(message, compression=grpc.Compression.Gzip) == message


async def test_five_thousand_calls_in_flight_on_one_channel(it: Served) -> None:
    it.waiting.clear()
    calls = [it.call(says("wait", i=i), timeout=60) for i in range(5000)]
    await until(lambda: len(it.waiting) == 5000, 30)
    assert len(it.door.in_flight()) == 5000
    random.Random(5).shuffle(it.waiting)
    for rpc in it.waiting:
        rpc.answer(rpc.message)
    for i, call in enumerate(calls):
        assert json.loads(await call)["i"] == i
    assert not it.door.in_flight()


async def test_what_comes_while_the_loop_is_busy_comes_in_few_batches(it: Served) -> None:
    if it.door.kind is DoorKind.GRPC:
        pytest.skip("grpc.aio hands calls on one by one")
    started = threading.Event()

    def client() -> list[bytes]:
        with grpc.insecure_channel(f"127.0.0.1:{it.port}") as channel:
            call = channel.unary_unary(UNARY)
            call(b"warm")
            started.set()
            time.sleep(0.05)
            return [f.result(timeout=20) for f in [call.future(b"x") for _ in range(200)]]

    running = asyncio.ensure_future(asyncio.to_thread(client))
    await until(started.is_set)
    it.batches.clear()
    time.sleep(0.6)  # noqa: ASYNC251 - the loop is to be busy
    assert await running == [b"x"] * 200
    assert max(it.batches) > 50


# ---- refused by the door ------------------------------------------------------------------------


async def test_an_oversize_message_is_refused_without_details(it: Served) -> None:
    most = LIMITS.max_request_bytes
    assert len(await it.call(b"x" * most)) == most
    error = await refused(it.call(b"x" * (most + 1)))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "larger than max" in (error.details() or "")
    assert "grpc-status-details-bin" not in trailers(error)


@pytest.mark.parametrize("method", [UNARY + "s", "/other.Service/Call"])
async def test_an_unknown_method_is_unimplemented(it: Served, method: str) -> None:
    error = await refused(it.channel.unary_unary(method)(b"", timeout=10))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_bytes_that_are_no_grpc_do_no_harm(it: Served) -> None:
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    for bad in (b"GET / HTTP/1.1\r\n\r\n", b"\0" * 99, preface + b"\xff" * 99, os.urandom(5000)):
        with socket.create_connection(("127.0.0.1", it.port)) as client:
            client.sendall(bad)
            await asyncio.sleep(0.02)
            assert await it.call(b"x", timeout=10) == b"x"
    assert await it.call(b"x", timeout=10) == b"x"


# ---- calls that end early -----------------------------------------------------------------------


async def test_a_cancellation_is_told_once(it: Served) -> None:
    it.waiting.clear()
    it.cancels.clear()
    calls = [it.call(says("wait")) for _ in range(100)]
    await until(lambda: len(it.waiting) == 100)
    for call in calls:
        call.cancel()
    await until(lambda: len(it.cancels) == 100)
    assert {id(rpc) for rpc in it.cancels} == {id(rpc) for rpc in it.waiting}
    for rpc in it.waiting:
        rpc.answer(b"too late")
        rpc.fail(grpc.StatusCode.INTERNAL, "too late")
    await asyncio.sleep(0.05)
    assert len(it.cancels) == 100
    assert not it.door.in_flight()


async def test_a_deadline_that_passes_is_told(it: Served) -> None:
    it.cancels.clear()
    errors = await asyncio.gather(*(refused(it.call(says("wait"), timeout=0.3)) for _ in range(50)))
    assert {error.code() for error in errors} == {grpc.StatusCode.DEADLINE_EXCEEDED}
    await until(lambda: len(it.cancels) == 50)
    assert not it.door.in_flight()


async def test_an_answer_is_no_cancellation(it: Served) -> None:
    it.waiting.clear()
    it.cancels.clear()
    call = it.call(says("wait"))
    await until(lambda: it.waiting)
    it.waiting[0].answer(b"done")
    assert await call == b"done"
    await asyncio.sleep(0.05)
    assert not it.cancels


async def test_a_connection_that_ends_cancels_its_calls(it: Served) -> None:
    it.waiting.clear()
    it.cancels.clear()
    other = it.connect()
    calls = [other.unary_unary(UNARY)(says("wait")) for _ in range(20)]
    await until(lambda: len(it.waiting) == 20)
    await other.close()
    await until(lambda: len(it.cancels) == 20)
    for call in calls:
        with pytest.raises(asyncio.CancelledError):
            await call


# ---- streams ------------------------------------------------------------------------------------


async def test_a_stream_comes_whole_and_in_order(it: Served) -> None:
    came = [message async for message in it.stream(says("send", count=500, size=10_000))]
    assert [int(message[:8]) for message in came] == list(range(500))
    assert not it.door.in_flight()


@pytest.mark.parametrize("count", [0, 3])
async def test_a_stream_that_fails_tells_what_came_before(it: Served, count: int) -> None:
    call = it.stream(says("fail", count=count))
    came = [await call.read() for _ in range(count)]
    assert [int(message[:8]) for message in came] == list(range(count))
    error = await refused(call.read())
    assert error.code() is grpc.StatusCode.ABORTED
    assert trailers(error) == dict(TRAILERS)


async def test_a_reader_that_does_not_read_is_bounded(it: Served) -> None:
    it.streamed.clear()
    call = it.stream(says("send", count=1000, size=2**20, by_s=0.5))
    await until(lambda: it.streamed)
    assert it.streamed[0].startswith("full after ")
    assert int(it.streamed[0].split()[-1]) < 64
    call.cancel()
    await until(lambda: not it.door.in_flight())


async def test_a_reader_that_leaves_is_told(it: Served) -> None:
    it.streamed.clear()
    call = it.stream(says("send", count=1000, size=2**20))
    await call.read()
    call.cancel()
    await until(lambda: it.streamed)
    assert it.streamed[0].startswith("gone after ")
    await until(lambda: not it.door.in_flight())


# ---- health and reflection ----------------------------------------------------------------------


async def test_health_is_told_and_watched(it: Served) -> None:
    it.health.tell(["", "exact"])
    stub = health_pb2_grpc.HealthStub(it.channel)
    ask, status = health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse
    assert (await stub.Check(ask(service="exact"))).status == status.SERVING
    error = await refused(stub.Check(ask(service="other")))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    watch = stub.Watch(ask(service="other"))
    assert (await watch.read()).status == status.SERVICE_UNKNOWN
    it.health.tell(["", "other"])
    assert (await watch.read()).status == status.SERVING
    assert all(rpc.lasting for rpc in it.door.in_flight())
    error = await refused(it.channel.unary_unary("/grpc.health.v1.Health/Check")(b"\xff"))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    watch.cancel()
    await until(lambda: not it.door.in_flight())


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_describes_the_services(it: Served, version: str) -> None:
    path = f"grpc.reflection.{version}.ServerReflection"
    ask, tell = reflection_pb2.ServerReflectionRequest, reflection_pb2.ServerReflectionResponse
    call = it.channel.stream_stream(
        f"/{path}/ServerReflectionInfo",
        request_serializer=ask.SerializeToString,
        response_deserializer=tell.FromString,
    )
    asked = [ask(list_services=""), ask(file_containing_symbol=path)]
    asked += [ask(file_containing_symbol=UNARY.split("/")[1])]
    listed, own, ours = [answer async for answer in call(iter(asked))]
    names = {service.name for service in listed.list_services_response.service}
    assert names == {
        "rewardplane.v1.RewardService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    files = [
        [
            FileDescriptorProto.FromString(d)
            for d in a.file_descriptor_response.file_descriptor_proto
        ]
        for a in (own, ours)
    ]
    assert files[0][0].package == f"grpc.reflection.{version}"
    assert {"rewardplane.v1"} <= {file.package for file in files[1]}


# ---- ports --------------------------------------------------------------------------------------


async def test_a_port_that_is_taken_is_named(it: Served) -> None:
    other = door_class(it.door.kind)({UNARY: False}, it.handle, LIMITS, it.lost.append)
    with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{it.port}"):
        await other.open("127.0.0.1", it.port)


async def test_doors_share_a_port_where_they_are_told_to(it: Served) -> None:
    first, second = Served(it.door.kind), Served(it.door.kind)
    port = await first.door.open("127.0.0.1", 0, share_port=True)
    assert await second.door.open("127.0.0.1", port, share_port=True) == port
    for other in (first, second):
        await other.door.close()


async def test_a_door_on_ipv6(it: Served) -> None:
    other = Served(it.door.kind)
    try:
        port = await other.door.open("::1", 0)
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    async with grpc.aio.insecure_channel(f"[::1]:{port}") as channel:
        assert await channel.unary_unary(UNARY)(b"x", timeout=10) == b"x"
    await other.door.close()


async def test_nothing_was_lost(it: Served) -> None:
    assert it.lost == []
