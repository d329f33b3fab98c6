"""A tenant over its quota beside one that is not: `python -m tests.load.tenants [native|grpc]`.

The service, the flood and the calm tenant are processes of their own. The flood never heeds what it
is told; the calm tenant sends a call of 16 items each 10 ms and is timed: alone, while the flood
goes to another service of the same machine, and while it goes to this one.
"""

from __future__ import annotations

import asyncio
import hashlib
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import grpc
import yaml
from rewardplane.access.gate import Gate
from rewardplane.gateway.doors.door import DoorKind
from rewardplane.v1 import reward_service_pb2 as pb
from rich.console import Console
from rich.table import Table

from ..support.rig import request_of, rig

CALLS = 800
PERIOD_S = 0.01
FLOODS = 32
REQUEST = request_of("exact", ["4"] * 16, references={"answer": "4"})
METHOD = "/rewardplane.v1.RewardService/Score"


def access_file(folder: Path) -> Path:
    """Two tenants, of whom `busy` has a quota."""
    lines = [f"{hashlib.sha256(c.encode()).hexdigest()} {c}" for c in ("busy", "calm")]
    (folder / "tokens").write_text("\n".join(lines))
    path = folder / "access.yaml"
    quota = {"items_per_s": 500, "in_flight_items": 1000}
    callers: dict[str, Any] = {"busy": {"quota": quota}, "calm": {}}
    path.write_text(yaml.safe_dump({"tokens_file": "tokens", "callers": callers}))
    return path


def serve(folder: str, door: str, told: Any, stop: Any) -> None:
    """The service; tells its address."""

    async def run() -> None:
        gate = Gate(access_file(Path(folder)))
        async with rig({"exact": {"kind": "exact"}}, door=DoorKind(door), gate=gate) as it:
            told.put(it.address)
            while not stop.is_set():
                await asyncio.sleep(0.05)

    asyncio.run(run())


def flood(address: str, told: Any, stop: Any) -> None:
    """Calls without a pause; tells how many were answered and how many refused."""

    async def run() -> None:
        ended = [0, 0]
        message = REQUEST.SerializeToString()
        async with grpc.aio.insecure_channel(address) as channel:
            call = channel.unary_unary(METHOD)

            async def one() -> None:
                while not stop.is_set():
                    try:
                        await call(message, metadata=[("authorization", "Bearer busy")])
                        ended[0] += 1
                    except grpc.RpcError:
                        ended[1] += 1
                    await asyncio.sleep(0.05)  # the client's CPU is not what is measured

            await asyncio.gather(*(one() for _ in range(FLOODS)))
        told.put(ended)

    asyncio.run(run())


async def calm(address: str) -> list[float]:
    """The times of the calm tenant's calls, sorted, in seconds."""
    times: list[float] = []
    async with grpc.aio.insecure_channel(address) as channel:
        call = channel.unary_unary(METHOD, response_deserializer=pb.ScoreResponse.FromString)

        async def one() -> None:
            begin_s = time.perf_counter()
            answer = await call(
                REQUEST.SerializeToString(), metadata=[("authorization", "Bearer calm")]
            )
            assert len(answer.groups[0].outcomes) == 16
            times.append(time.perf_counter() - begin_s)

        running: list[asyncio.Task[None]] = []
        for _ in range(CALLS):
            running.append(asyncio.ensure_future(one()))
            await asyncio.sleep(PERIOD_S)
        await asyncio.gather(*running)
    return sorted(times[100:])


def gate_us(folder: Path) -> float:
    """What the gate takes of a call with a static token, in microseconds."""
    gate = Gate(access_file(folder))
    n = 200_000

    def nobody() -> str:
        return ""

    gate.caller("Bearer calm", nobody)
    begin_s = time.process_time()
    for _ in range(n):
        gate.caller("Bearer calm", nobody)
    return (time.process_time() - begin_s) / n * 1e6


def main() -> None:
    """Prints a table."""
    door = sys.argv[1] if len(sys.argv) > 1 else "native"
    context = multiprocessing.get_context("spawn")
    told, stop = context.Queue(), context.Event()
    with tempfile.TemporaryDirectory() as folder:
        services: list[Any] = []
        addresses: list[str] = []
        for _ in range(2):
            services.append(context.Process(target=serve, args=(folder, door, told, stop)))
            services[-1].start()
            addresses.append(told.get(timeout=60))
        mine, other = addresses
        times = {"alone": asyncio.run(calm(mine))}
        rates: tuple[float, float] = (0.0, 0.0)
        # What the flood's own process, and a service that refuses it, take of the machine.
        for name, target in (("flood at another service", other), ("flood at this one", mine)):
            calm_down = context.Event()
            flooding = context.Process(target=flood, args=(target, told, calm_down))
            begin_s = time.monotonic()
            flooding.start()
            time.sleep(2)
            times[name] = asyncio.run(calm(mine))
            calm_down.set()
            answered, refused = told.get(timeout=60)
            elapsed_s = time.monotonic() - begin_s
            rates = answered / elapsed_s, refused / elapsed_s
            flooding.join()
        stop.set()
        for service in services:
            service.join()
        cost_us = gate_us(Path(folder))
    table = Table("calm tenant, ms", "p50", "p90", "p99", title=f"door {door}")
    for name, taken in times.items():
        at = [f"{taken[int(len(taken) * share)] * 1e3:.2f}" for share in (0.5, 0.9, 0.99)]
        table.add_row(name, *at)
    console = Console()
    console.print(table)
    console.print(
        f"busy tenant: {rates[0]:,.0f} calls/s answered, {rates[1]:,.0f} refused; "
        f"the gate: {cost_us:.2f} µs CPU a call with a static token"
    )


if __name__ == "__main__":
    main()
