"""One client's channels in one event loop of one process."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, cast

import grpc
import grpc.aio
from rewardplane.v1 import reward_service_pb2 as pb
from rewardplane.wire.errors import CallError, DeadlineExceeded, NotReady
from rewardplane.wire.status import decode

from . import fork
from .endpoint import Endpoint
from .tracing import Metadata, traced

_SERVICE = pb.DESCRIPTOR.services_by_name["RewardService"].full_name
_DROP_TIMEOUT_S = 1.0

# gRPC ends calls at their deadline itself; where it is broken, nothing does.
_LATE_S = 5.0

# gRPC adds nothing here that protobuf's own methods do not do: bytes go in and come out.
_Call = Callable[..., Any]


class Connection:
    """Sends calls, as bytes, by its channels in turn. Channels are opened with the first call."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._channels: list[grpc.aio.Channel] = []
        self._calls: dict[str, Iterator[tuple[grpc.aio.Channel, _Call]]] = {}
        self._in_flight = 0
        self._closed = False
        fork.watch(self)

    async def unary(self, method: str, request: bytes, timeout_s: float) -> bytes:
        """The answer to one call.

        Raises:
            CallError: the call failed.
            RuntimeError: the client was closed, or this process was forked amid calls.
            asyncio.CancelledError: the caller was cancelled; the service is told.
        """
        channel, call = self._call(method, stream=False)
        self._in_flight += 1
        try:
            with self._traced(method) as metadata:
                async with asyncio.timeout(timeout_s + _LATE_S):
                    return await call(request, timeout=timeout_s, metadata=metadata)
        except grpc.RpcError as error:
            failure = self._failure(error, channel, timeout_s)
        except TimeoutError:
            failure = DeadlineExceeded(f"gRPC did not end the call within {timeout_s:g} s")
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            failure = NotReady("the client was closed while the call was in flight")
        finally:
            self._in_flight -= 1
            del call, channel
        # Not within `except`: as its context, gRPC's error would hold the channel as long as the
        # caller holds this one, and a fork could not drop it.
        raise failure

    async def stream(
        self, method: str, request: bytes, timeout_s: float
    ) -> AsyncGenerator[bytes, None]:
        """The messages that answer one call.

        Raises:
            CallError: the call failed.
            asyncio.CancelledError: the caller was cancelled; the service is told.
        """
        channel, method_call = self._call(method, stream=True)
        call = None
        self._in_flight += 1
        try:
            with self._traced(method) as metadata:
                call = method_call(request, timeout=timeout_s, metadata=metadata)
                async for message in call:
                    yield message
            failure = None
        except grpc.RpcError as error:
            failure = self._failure(error, channel, timeout_s)
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            failure = NotReady("the client was closed while the call was in flight")
        finally:
            self._in_flight -= 1
            if call is not None:
                call.cancel()
            del call, method_call, channel
        if failure is not None:
            raise failure

    async def close(self) -> None:
        """Closes the channels for good; what is in flight fails."""
        self._closed = True
        channels, self._channels = self._channels, []
        self._calls.clear()
        for channel in channels:
            await channel.close()

    def drop(self) -> bool:
        """Gives up the channels where no call is in flight; whether there are none now."""
        if not self._channels:
            return True
        if self._in_flight:
            return False
        if threading.get_ident() == self._thread or not self._loop.is_running():
            self._forget()
        else:
            # An event loop's things are touched in its own thread only.
            done = threading.Event()
            self._loop.call_soon_threadsafe(self._forget_when_idle, done)
            done.wait(_DROP_TIMEOUT_S)
        return not self._channels

    def _forget_when_idle(self, done: threading.Event) -> None:
        if not self._in_flight:
            self._forget()
        done.set()

    def _forget(self) -> None:
        # A channel without references closes itself at once, and gRPC ends its threads with the
        # last one; `close` would take turns of the event loop, which the forking thread may own.
        self._calls.clear()
        self._channels = []

    def _failure(
        self, error: grpc.RpcError, channel: grpc.aio.Channel, timeout_s: float
    ) -> CallError:
        """The error of a call that gRPC ended; one that ran out of time says where it stood."""
        failure = decode(error)
        if not isinstance(failure, DeadlineExceeded) or "grpc_code" not in failure.metadata:
            return failure
        message = f"no answer within {timeout_s:.3g} s"
        state = channel.get_state()
        if state is grpc.ChannelConnectivity.READY:
            message += ": the service has the call and did not answer in time"
        else:
            message += f": no connection to {self._endpoint} ({state.name.lower()})"
        return DeadlineExceeded(message, failure.metadata)

    def _traced(self, method: str) -> AbstractContextManager[Metadata]:
        return traced(f"/{_SERVICE}/{method}", self._endpoint.metadata, str(self._endpoint))

    def _call(self, method: str, *, stream: bool) -> tuple[grpc.aio.Channel, _Call]:
        if not self._channels:
            self._open()
        calls = self._calls.get(method)
        if calls is None:
            path = f"/{_SERVICE}/{method}"
            calls = self._calls[method] = itertools.cycle(
                [
                    (c, cast("_Call", c.unary_stream(path) if stream else c.unary_unary(path)))
                    for c in self._channels
                ]
            )
        return next(calls)

    def _open(self) -> None:
        if self._closed:
            raise RuntimeError("the client is closed")
        if fork.tainted():
            raise RuntimeError(
                "this process was forked while its parent had gRPC calls in flight, so gRPC cannot "
                "work in it: fork while no call is in flight, or use the start method `spawn` or "
                "`forkserver`"
            )
        self._channels = self._endpoint.open()


def _is_cancelled() -> bool:
    """Whether someone cancelled this task; gRPC raises CancelledError for closed channels too."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
