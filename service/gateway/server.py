"""The gateway's gRPC server: start → serve → stop accepting → finish → close. No Ray here.

A servicer method parses, dispatches, renders. Handlers take and give raw bytes: malformed protobuf
is then ours to answer (gRPC would say UNKNOWN), and nothing is parsed for a call that is refused.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar, cast

import grpc
from google.protobuf.message import DecodeError, Message
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from rewardplane.config.settings import Limits
from rewardplane.v1 import frame_pb2 as frames
from rewardplane.v1 import reward_service_pb2 as pb
from rewardplane.wire.errors import CallError, InvalidRequest
from rewardplane.wire.errors import Internal as InternalError
from rewardplane.wire.status import Trailers, encode

from .admission import Admission
from .call import Call
from .metrics import MIXED, Metrics
from .render import render_call, render_info, render_items, render_validation
from .scorer import Scorer
from .served import ServedRewards
from .validate import Validator

_log = logging.getLogger(__name__)

SERVICE = pb.DESCRIPTOR.services_by_name["RewardService"].full_name
Context = grpc.aio.ServicerContext[bytes, bytes]


class Servicer:
    """`RewardService` over a scorer, a validator and the served rewards."""

    def __init__(
        self,
        scorer: Scorer,
        validator: Validator,
        rewards: ServedRewards,
        limits: Limits,
        metrics: Metrics,
    ) -> None:
        self._scorer = scorer
        self._validator = validator
        self._rewards = rewards
        self._limits = limits
        self._metrics = metrics

    def handlers(self) -> grpc.GenericRpcHandler:
        """The methods, over raw bytes."""
        unary = {
            "Score": self._score,
            "ValidateReward": self._validate,
            "ListRewards": self._list,
            "GetReward": self._get,
        }
        methods: dict[str, Any] = {
            name: grpc.unary_unary_rpc_method_handler(_answered(method))
            for name, method in unary.items()
        }
        methods["StreamScores"] = grpc.unary_stream_rpc_method_handler(self._stream)
        return grpc.method_handlers_generic_handler(SERVICE, methods)

    async def _score(self, data: bytes, context: Context) -> bytes:
        begin_s, reward, job, code = time.perf_counter(), "", "", "INTERNAL"
        try:
            call = await self._scorer.score(data, *_of(context))
            reward, job, code = _reward_of(call), call.options.job, "OK"
            return render_call(call)
        except CallError as error:
            code = encode(error)[0].name
            raise
        except asyncio.CancelledError:
            code = "CANCELLED"
            raise
        finally:
            self._metrics.call_ended(reward, job, code, time.perf_counter() - begin_s)

    async def _stream(self, data: bytes, context: Context) -> AsyncIterator[bytes]:
        begin_s, reward, job, code = time.perf_counter(), "", "", "INTERNAL"
        try:
            request = parsed(frames.StreamRequestFrame, data).request
            async for call, items in self._scorer.stream(request, *_of(context)):
                reward, job = _reward_of(call), call.options.job
                for message in render_items(call, items):
                    yield message.SerializeToString()
            code = "OK"
        except (asyncio.CancelledError, GeneratorExit):
            code = "CANCELLED"
            raise
        except Exception as error:  # noqa: BLE001 - the outermost layer: our own faults end here
            status, text, trailers = _told(error)
            code = status.name
            await context.abort(status, text, trailers)
        finally:
            self._metrics.call_ended(reward, job, code, time.perf_counter() - begin_s)

    async def _validate(self, data: bytes, context: Context) -> bytes:
        request = parsed(pb.ValidateRewardRequest, data)
        call, remarks = await self._validator.validate(request, *_of(context))
        return render_validation(call, remarks).SerializeToString()

    async def _list(self, data: bytes, context: Context) -> bytes:
        del context
        parsed(pb.ListRewardsRequest, data)
        found = [self._rewards.find(name, "") for name in self._rewards.names()]
        infos = [render_info(served.config, self._limits) for served in found]
        return pb.ListRewardsResponse(rewards=infos).SerializeToString()

    async def _get(self, data: bytes, context: Context) -> bytes:
        del context
        served = self._rewards.find(parsed(pb.GetRewardRequest, data).name, "")
        info = render_info(served.config, self._limits)
        return pb.GetRewardResponse(reward=info).SerializeToString()


class Server:
    """The servicer behind a port, with health and reflection."""

    def __init__(self, servicer: Servicer, admission: Admission, limits: Limits) -> None:
        self._admission = admission
        options = [
            ("grpc.max_receive_message_length", limits.max_request_bytes),
            ("grpc.max_send_message_length", -1),
            # gRPC core cancels bursts on its own below these; refusing is ours alone.
            ("grpc.server.max_pending_requests", 2 * limits.max_in_flight_items + 10_000),
            (
                "grpc.server.max_pending_requests_hard_limit",
                4 * limits.max_in_flight_items + 20_000,
            ),
            ("grpc.so_reuseport", 0),
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
        ]
        self._options = options
        self._servicer = servicer
        self._health: Any = cast("Any", health).aio.HealthServicer()
        self._server: grpc.aio.Server | None = None

    async def start(self, host: str, port: int, *, share_port: bool = False) -> int:
        """Listens; returns the port (`port` 0: any free one).

        Raises:
            OSError: the port is taken.
        """
        options = [
            (k, int(share_port) if k == "grpc.so_reuseport" else v) for k, v in self._options
        ]
        server = grpc.aio.server(options=options)
        server.add_generic_rpc_handlers((self._servicer.handlers(),))
        cast("Any", health_pb2_grpc).add_HealthServicer_to_server(self._health, server)
        names = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server)
        try:
            taken = server.add_insecure_port(f"{host}:{port}")
        except RuntimeError as error:
            raise OSError(f"cannot listen on {host}:{port}: {error}") from None
        await server.start()
        self._server = server
        return taken

    async def tell_health(self, rewards: list[str]) -> None:
        """The service and these rewards serve; those told before and not now are unknown."""
        serving = health_pb2.HealthCheckResponse.SERVING
        gone = self._health_names - set(rewards)
        for name in ("", SERVICE, *rewards):
            await self._health.set(name, serving)
        for name in gone:
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
        self._health_names = set(rewards)

    _health_names: set[str] = set()  # noqa: RUF012 - replaced, never changed in place

    async def stop(self, grace_s: float) -> None:
        """Stops accepting, lets what was admitted end within `grace_s`, closes."""
        self._admission.closed = True
        await self._health.enter_graceful_shutdown()
        if self._server is not None:
            await self._server.stop(grace_s)


def _answered(
    method: Callable[[bytes, Context], Awaitable[bytes]],
) -> Callable[[bytes, Context], Awaitable[bytes]]:
    """The outermost layer: errors of a call become its status, whatever they are."""

    async def answer(data: bytes, context: Context) -> bytes:
        try:
            return await method(data, context)
        except Exception as error:  # noqa: BLE001 - the outermost layer: our own faults end here
            status, text, trailers = _told(error)
        await context.abort(status, text, trailers)
        raise AssertionError  # abort raises

    return answer


def _told(error: Exception) -> tuple[grpc.StatusCode, str, Trailers]:
    if isinstance(error, CallError):
        return encode(error)
    _log.error("a call failed by our own fault", exc_info=error)
    return encode(InternalError("internal error; the log has the rest"))


def _of(context: Context) -> tuple[float | None, str]:
    """The time until the client's deadline, and its W3C traceparent."""
    traceparent = ""
    for key, value in context.invocation_metadata() or ():
        if key == "traceparent" and isinstance(value, str):
            traceparent = value[:128]
    return context.time_remaining(), traceparent


def _reward_of(call: Call) -> str:
    served = call.served[0]
    return served.name if all(other is served for other in call.served) else MIXED


_M = TypeVar("_M", bound=Message)


def parsed(kind: type[_M], data: bytes) -> _M:
    """The message in `data`.

    Raises:
        InvalidRequest: the bytes are no such message.
    """
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise InvalidRequest(f"the message is no {kind.__name__}: {error}") from None
