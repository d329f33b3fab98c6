"""Call errors cross a real connection whole, and gRPC's own statuses become call errors."""

from __future__ import annotations

import pickle

import grpc
import grpc.aio
import pytest
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st
from rewardplane.v1 import reward_service_pb2 as pb
from rewardplane.v1.reward_service_pb2_grpc import RewardServiceStub
from rewardplane.wire import errors
from rewardplane.wire.errors import (
    CallError,
    DeadlineExceeded,
    IncompleteGroup,
    InlineCode,
    InsufficientIsolation,
    Internal,
    InvalidRequest,
    NotReady,
    Overloaded,
    PermissionDenied,
    QuotaExceeded,
    Unauthenticated,
    UnknownReward,
    VersionGone,
)
from rewardplane.wire.status import DETAILS_KEY, decode, encode

from ..support.fake_server import FakeService, aborts, fails, serving

ERRORS: list[CallError] = [
    InvalidRequest("bad", {"a": "b"}, [("groups[0].responses", "is empty"), ("reward", "is long")]),
    UnknownReward("no reward 'maht'; did you mean 'math'?", {"reward": "maht"}),
    VersionGone("v1 is gone", {"served": "v2"}),
    IncompleteGroup("1 of 8"),
    InsufficientIsolation("process is promised", {"demanded": "confined"}),
    InlineCode("names code"),
    Unauthenticated("the token is refused", {"why": "TOKEN_EXPIRED"}),
    PermissionDenied("not this reward", {"why": "REWARD"}),
    Overloaded("no room", {}, 0.25),
    QuotaExceeded("over the quota", {"quota": "items_per_s"}, 2.5),
    NotReady("draining"),
    DeadlineExceeded("too late"),
    Internal("a bug 漢字 \U0001f600"),
]


def rpc_error(
    code: grpc.StatusCode, message: str = "", trailers: tuple[tuple[str, bytes], ...] = ()
) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(
        code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailers), details=message
    )


def same(one: CallError, other: CallError) -> bool:
    return type(one) is type(other) and vars(one) == vars(other)


async def test_every_error_crosses_a_connection_whole() -> None:
    service = FakeService([fails(error) for error in ERRORS])
    async with serving(service) as target, grpc.aio.insecure_channel(target) as channel:
        stub = RewardServiceStub(channel)
        for error in ERRORS:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.Score(pb.ScoreRequest())
            assert caught.value.code() is encode(error)[0]
            assert same(decode(caught.value), error)


def test_the_table_has_every_class() -> None:
    classes = {c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, CallError)}
    assert {type(error) for error in ERRORS} == classes - {CallError}


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: type(e).__name__)
def test_errors_are_picklable(error: CallError) -> None:
    assert same(pickle.loads(pickle.dumps(error)), error)  # noqa: S301 - our own bytes


async def test_the_details_are_those_that_other_clients_read() -> None:
    code, message, trailers = encode(ERRORS[0])
    status = status_pb2.Status.FromString(dict(trailers)[DETAILS_KEY])
    assert status.code == code.value[0] == 3
    assert status.message == message == "bad"
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(bad)
    assert (info.reason, info.domain, dict(info.metadata)) == (
        "INVALID_REQUEST",
        "rewardplane",
        {"a": "b"},
    )
    assert bad.field_violations[0].field == "groups[0].responses"
    retry = error_details_pb2.RetryInfo()
    status = status_pb2.Status.FromString(dict(encode(Overloaded("", {}, 0.25))[2])[DETAILS_KEY])
    assert status.details[1].Unpack(retry)
    assert retry.retry_delay.ToMilliseconds() == 250


@pytest.mark.parametrize(
    "text", ["漢" * 100_000, "\ud800" * 5_000, "\x00\u202e" * 5_000], ids=["cjk", "lone", "bidi"]
)
async def test_the_largest_error_still_fits_in_trailing_metadata(text: str) -> None:
    violations = [(f"groups[{i}].example.references[{text}]", text) for i in range(1_000)]
    error = InvalidRequest(text, {f"{i}{text}": text for i in range(100)}, violations)
    service = FakeService([fails(error)])
    async with serving(service) as target, grpc.aio.insecure_channel(target) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await RewardServiceStub(channel).Score(pb.ScoreRequest())
    back = decode(caught.value)
    assert isinstance(back, InvalidRequest)
    assert len(back.message) > 200
    assert back.violations


FOREIGN = {
    grpc.StatusCode.UNAVAILABLE: NotReady,
    grpc.StatusCode.CANCELLED: NotReady,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.RESOURCE_EXHAUSTED: InvalidRequest,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
}


@pytest.mark.parametrize("code", [c for c in grpc.StatusCode if c is not grpc.StatusCode.OK])
async def test_statuses_that_are_not_ours_are_mapped_by_code(code: grpc.StatusCode) -> None:
    async with (
        serving(FakeService([aborts(code, "who knows")])) as target,
        grpc.aio.insecure_channel(target) as channel,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await RewardServiceStub(channel).Score(pb.ScoreRequest())
    error = decode(caught.value)
    assert type(error) is FOREIGN.get(code, Internal)
    assert "who knows" in error.message
    assert error.metadata["grpc_code"] == code.name


async def test_a_message_too_large_is_no_overload() -> None:
    options = [("grpc.max_receive_message_length", 1024)]
    async with (
        serving(FakeService(), options=options) as target,
        grpc.aio.insecure_channel(target) as channel,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await RewardServiceStub(channel).Score(pb.ScoreRequest(job="x" * 2000))
    error = decode(caught.value)
    assert isinstance(error, InvalidRequest)
    assert "too large" in error.message


def test_retry_info_of_anyone_makes_an_overload() -> None:
    status = status_pb2.Status(code=8, message="slow down")
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.FromMilliseconds(1500)
    status.details.add().Pack(retry)
    trailers = ((DETAILS_KEY, status.SerializeToString()),)
    error = decode(rpc_error(grpc.StatusCode.RESOURCE_EXHAUSTED, "slow down", trailers))
    assert isinstance(error, Overloaded)
    assert error.retry_after_s == 1.5


def test_a_reason_of_a_newer_service_is_mapped_by_code() -> None:
    status = status_pb2.Status(code=14, message="on holiday")
    info = error_details_pb2.ErrorInfo(reason="HOLIDAY", domain="rewardplane", metadata={"a": "b"})
    status.details.add().Pack(info)
    trailers = ((DETAILS_KEY, status.SerializeToString()),)
    error = decode(rpc_error(grpc.StatusCode.UNAVAILABLE, "on holiday", trailers))
    assert type(error) is NotReady
    assert error.message == "on holiday"
    assert error.metadata == {"a": "b"}


@given(st.binary(max_size=200))
def test_details_that_are_no_details_do_no_harm(junk: bytes) -> None:
    status = status_pb2.Status(code=5, message="x")
    status.details.add(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=junk)
    for value in (junk, status.SerializeToString()):
        error = decode(rpc_error(grpc.StatusCode.NOT_FOUND, "gone", ((DETAILS_KEY, value),)))
        assert isinstance(error, CallError)
