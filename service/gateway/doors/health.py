"""The gRPC health protocol (https://github.com/grpc/grpc/blob/master/doc/health-checking.md)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2

if TYPE_CHECKING:
    from .rpc import Rpc

SERVICE = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
CHECK, WATCH = f"/{SERVICE}/Check", f"/{SERVICE}/Watch"
MAX_WATCHERS = 1000
READ_S = 60.0
"""The longest that a watcher may take to read one message."""

_Status = health_pb2.HealthCheckResponse


class Health:
    """What is served, by name. After `leave` nothing is, for ever."""

    def __init__(self) -> None:
        self._serving: frozenset[str] = frozenset()
        self._left = False
        self._changed = asyncio.Event()
        self._watchers: set[asyncio.Task[None]] = set()

    def tell(self, names: Iterable[str]) -> None:
        """These serve from now on; all others are unknown."""
        self._serving = frozenset(names)
        self._wake()

    def leave(self) -> None:
        """Nothing serves any more: clients look for another server."""
        self._left = True
        self._wake()

    async def close(self) -> None:
        """Ends the watchers."""
        for task in self._watchers:
            task.cancel()
        if self._watchers:
            await asyncio.wait(self._watchers)

    def check(self, rpc: Rpc) -> None:
        """Answers a `Check`."""
        if (name := _name(rpc)) is None:
            return
        status = self._status(name)
        if status == _Status.SERVICE_UNKNOWN:
            rpc.fail(grpc.StatusCode.NOT_FOUND, "no such service")
        else:
            rpc.answer(_Status(status=status).SerializeToString())

    def watch(self, rpc: Rpc) -> None:
        """Answers a `Watch`: tells now, and at each change."""
        if (name := _name(rpc)) is None:
            return
        if len(self._watchers) >= MAX_WATCHERS:
            rpc.fail(grpc.StatusCode.RESOURCE_EXHAUSTED, f"{MAX_WATCHERS} watch already")
            return
        rpc.lasting = True
        task = asyncio.ensure_future(self._tell(rpc, name))
        self._watchers.add(task)
        task.add_done_callback(self._watchers.discard)
        rpc.on_cancel = task.cancel

    async def _tell(self, rpc: Rpc, name: str) -> None:
        told: int | None = None
        while True:
            changed, status = self._changed, self._status(name)
            if status != told:
                message = _Status(status=status).SerializeToString()
                try:
                    if not await rpc.send(message, time.monotonic() + READ_S):
                        return
                except TimeoutError:
                    rpc.fail(grpc.StatusCode.DEADLINE_EXCEEDED, "the watcher does not read")
                    return
                told = status
            await changed.wait()

    def _status(self, name: str) -> _Status.ServingStatus:
        if name not in self._serving:
            return _Status.SERVICE_UNKNOWN
        return _Status.NOT_SERVING if self._left else _Status.SERVING

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _name(rpc: Rpc) -> str | None:
    """The service that is asked for; None: the call is refused."""
    try:
        return health_pb2.HealthCheckRequest.FromString(rpc.message).service
    except DecodeError:
        rpc.fail(grpc.StatusCode.INVALID_ARGUMENT, "the message is no HealthCheckRequest")
        return None
