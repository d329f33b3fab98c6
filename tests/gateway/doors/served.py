"""A door with a handler that does as the message says, and a real client before it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
from rewardplane.config.settings import Limits
from rewardplane.gateway.doors.door import DoorKind, door_class
from rewardplane.gateway.doors.health import CHECK, WATCH, Health
from rewardplane.gateway.doors.rpc import Rpc
from rewardplane.v1 import reward_service_pb2 as pb

_SERVICE = pb.DESCRIPTOR.services_by_name["RewardService"].full_name
UNARY, STREAM = f"/{_SERVICE}/Score", f"/{_SERVICE}/StreamScores"
LIMITS = Limits(max_request_bytes=2**20)
TRAILERS = (("grpc-status-details-bin", bytes(range(256))), ("plain", "text"))
_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),
]


def says(do: str, **more: Any) -> bytes:
    """A message that asks for something to be done; see `Served.handle`."""
    return json.dumps({"do": do, **more}).encode()


class Served:
    """One door."""

    def __init__(self, kind: DoorKind) -> None:
        self.health = Health()
        methods = {UNARY: False, STREAM: True, CHECK: False, WATCH: True}
        self.lost: list[str] = []
        self.door = door_class(kind)(methods, self.handle, LIMITS, self.lost.append)
        self.waiting: list[Rpc] = []
        self.cancels: list[Rpc] = []
        self.batches: list[int] = []
        self.streamed: list[str] = []
        self.refuses = False
        self.port = 0
        self.channel: grpc.aio.Channel
        self._tasks: set[asyncio.Task[None]] = set()

    def connect(self) -> grpc.aio.Channel:
        """A channel on a connection of its own."""
        return grpc.aio.insecure_channel(f"127.0.0.1:{self.port}", options=_OPTIONS)

    def call(self, message: bytes, **options: Any) -> Any:
        """A unary call."""
        return self.channel.unary_unary(UNARY)(message, **options)

    def stream(self, message: bytes, **options: Any) -> Any:
        """A call with a stream of answers."""
        return self.channel.unary_stream(STREAM)(message, **options)

    def handle(self, rpcs: Sequence[Rpc]) -> None:
        """The gateway's part."""
        self.batches.append(len(rpcs))
        for rpc in rpcs:
            self._one(rpc)

    def _one(self, rpc: Rpc) -> None:
        if rpc.method == CHECK:
            self.health.check(rpc)
        elif rpc.method == WATCH:
            self.health.watch(rpc)
        elif self.refuses:
            rpc.fail(grpc.StatusCode.UNAVAILABLE, "draining", TRAILERS)
        elif rpc.method == STREAM:
            task = asyncio.ensure_future(self._stream(rpc, **json.loads(rpc.message)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            rpc.on_cancel = lambda: self.cancels.append(rpc)
        elif not rpc.message.startswith(b"{"):
            rpc.answer(rpc.message)
        else:
            getattr(self, "_" + json.loads(rpc.message)["do"])(rpc)

    def _wait(self, rpc: Rpc) -> None:
        """Until the test answers it."""
        self.waiting.append(rpc)
        rpc.on_cancel = lambda: self.cancels.append(rpc)

    def _fail(self, rpc: Rpc) -> None:
        rpc.fail(grpc.StatusCode.RESOURCE_EXHAUSTED, "voll é 100 %", TRAILERS)

    def _tell(self, rpc: Rpc) -> None:
        told = [rpc.remaining_s(), rpc.peer, [[k, repr(v)] for k, v in rpc.metadata]]
        rpc.answer(json.dumps(told).encode())

    async def _stream(
        self, rpc: Rpc, do: str, count: int, size: int = 10, by_s: float = 30.0
    ) -> None:
        try:
            for index in range(count):
                message = b"%08d" % index + b"x" * size
                if not await rpc.send(message, time.monotonic() + by_s):
                    self.streamed.append(f"gone after {index}")
                    return
        except TimeoutError:
            self.streamed.append(f"full after {index}")
            rpc.fail(grpc.StatusCode.DEADLINE_EXCEEDED, "you do not read", TRAILERS)
            return
        if do == "fail":
            rpc.fail(grpc.StatusCode.ABORTED, "after all", TRAILERS)
        else:
            rpc.finish()


@asynccontextmanager
async def served(kind: DoorKind) -> AsyncIterator[Served]:
    """An open door."""
    it = Served(kind)
    it.port = await it.door.open("127.0.0.1", 0)
    it.channel = it.connect()
    try:
        yield it
    finally:
        await it.channel.close()
        await it.door.drain(0.0)
        await it.health.close()
        await it.door.close()


async def until(condition: Any, timeout_s: float = 10.0) -> None:
    """Waits until it holds."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)
