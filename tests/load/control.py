"""What the machine itself does to a call: an idle service beside the one that is loaded.

Where clients, services and others share a few cores, times say little alone. So a `Control`, a
service in a process of its own without Ray, takes either the timed calls while the load goes
elsewhere, or the load while the timed calls go elsewhere; the ratio is what the service does.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import grpc
from rewardplane.config.load import parse
from rewardplane.gateway.validate import Validator
from rewardplane.http.server import HttpFace
from rewardplane.v1 import reward_service_pb2 as pb

from ..support.rig import FOLDER, Rig
from .generator import CHANNEL_OPTIONS
from .scoring import METHOD

RATE = 100.0
CONFIG: Mapping[str, Any] = {
    "rewards": {"exact": {"kind": "exact"}},
    "http": {"reward": "exact"},
}
_PROCESSES = multiprocessing.get_context("spawn")


def _serve(config: Mapping[str, Any], told: Any, stop: Any) -> None:
    async def run() -> None:
        async with Rig(parse(config, FOLDER), None) as it:
            limits = it.config.limits
            validator = Validator(it.scorer, it.metrics, limits)
            face = HttpFace(it.scorer, validator, it.rewards, it.metrics, limits)
            http_port = await face.start("127.0.0.1", 0)
            told.put((it.address, http_port))
            await asyncio.to_thread(stop.wait)
            await face.stop(1.0)

    asyncio.run(run())


@dataclass
class Control:
    """An idle service with the inline reward `exact`, on gRPC and HTTP."""

    config: Mapping[str, Any] = field(default_factory=lambda: CONFIG)
    address: str = ""
    http_port: int = 0

    @property
    def port(self) -> int:
        """Of gRPC."""
        return int(self.address.rpartition(":")[2])

    def __enter__(self) -> Self:
        told: Any = _PROCESSES.Queue()
        self._stop = _PROCESSES.Event()
        self._process = _PROCESSES.Process(target=_serve, args=(self.config, told, self._stop))
        self._process.start()
        self.address, self.http_port = told.get(timeout=120)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._process.join(30)
        self._process.kill()


def _time_calls(address: str, rate: float, told: Any, stop: Any) -> None:
    async def run() -> None:
        group = pb.Group(example={"references": {"answer": "1"}}, responses=[pb.Response(text="1")])
        data = pb.ScoreRequest(reward="exact", groups=[group]).SerializeToString()
        latencies_s: list[float] = []
        failed = 0
        async with grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS) as channel:
            send = channel.unary_unary(METHOD)
            tasks: set[asyncio.Task[None]] = set()

            async def one() -> None:
                nonlocal failed
                begin_s = time.perf_counter()
                try:
                    await send(data, timeout=30)
                except grpc.aio.AioRpcError:
                    failed += 1
                else:
                    latencies_s.append(time.perf_counter() - begin_s)

            await one()
            latencies_s.clear()
            told.put("ready")
            while not stop.is_set():
                task = asyncio.ensure_future(one())
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                await asyncio.sleep(1 / rate)
            await asyncio.gather(*tasks)
        told.put((latencies_s, failed))

    asyncio.run(run())


class Timed:
    """A client in a process of its own that sends an item at a fixed rate, from enter to exit."""

    def __init__(self, address: str, rate: float = RATE) -> None:
        self._told: Any = _PROCESSES.Queue()
        self._stop = _PROCESSES.Event()
        args = (address, rate, self._told, self._stop)
        self._process = _PROCESSES.Process(target=_time_calls, args=args)
        self.latencies_s: list[float] = []
        """Of the calls that were answered, sorted, in seconds."""
        self.failed = 0

    def __enter__(self) -> Self:
        self._process.start()
        self._told.get(timeout=60)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        latencies_s, self.failed = self._told.get(timeout=120)
        self.latencies_s = sorted(latencies_s)
        self._process.join()

    def at(self, share: float) -> float:
        """A percentile in seconds; 0 of nothing."""
        if not self.latencies_s:
            return 0.0
        return self.latencies_s[int(share * (len(self.latencies_s) - 1))]
