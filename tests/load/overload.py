"""Five times what a reward can do, by single calls and by batches: who is admitted keeps its time.

    python -m tests.load.overload [--times 5] [--seconds 120] [--processes 3]

Clients of several processes send at a fixed rate, whatever comes back. A reward of 10 ms an item on
two replicas does at most 200 items a second. First a tenth of that is sent, then `--times` as much:
the p99 of admitted calls may be twice what it was, that of refusals 20 ms, each refusal has
RetryInfo, no admitted item fails, and the gateway's memory comes back. Each call says by its
`queue_timeout` when its last item must have started: within half as long again as the whole call
takes when nothing waits. Ends with 1 otherwise. What calls of an idle service take meanwhile is
printed beside: where that is much, the machine was busy with others.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc
import psutil
import uvloop
from google.rpc import error_details_pb2, status_pb2
from rewardplane.v1 import reward_service_pb2 as pb

from .burn import REST_S
from .burst import GATEWAY
from .control import Control, Timed
from .generator import CHANNEL_OPTIONS
from .peer import Service
from .scoring import METHOD
from .servers import python

REPLICAS = 2
CAPACITY = REPLICAS / REST_S
CONFIG = f"""\
rewards:
  rest: {{kind: python, function: "tests.load.burn:rest", lane: pool, replicas: {REPLICAS},
         ray_actor_options: {{num_cpus: 0.2}}}}
"""
SHAPES = {"singles": 1, "batches": 16}
MAX_REFUSAL_S = 0.02


@dataclass
class Sample:
    """Calls of one window; latencies in seconds."""

    admitted_s: list[float] = field(default_factory=list)
    refused_s: list[float] = field(default_factory=list)
    failed_items: int = 0
    scored_items: int = 0
    without_retry: int = 0
    other: int = 0
    late: int = 0
    """Calls that the client itself began more than 20 ms late: it did not keep up."""

    def add(self, more: Sample) -> None:
        """The calls of another client too."""
        self.admitted_s += more.admitted_s
        self.refused_s += more.refused_s
        for name in ("failed_items", "scored_items", "without_retry", "other", "late"):
            setattr(self, name, getattr(self, name) + getattr(more, name))


async def client(address: str, items: int, rate: float, seconds: float, wait_s: float) -> Sample:
    """Sends calls at a fixed rate."""
    group = pb.Group(responses=[pb.Response(text=str(i)) for i in range(items)])
    request = pb.ScoreRequest(reward="rest", groups=[group])
    request.options.queue_timeout.FromNanoseconds(int(wait_s * 1e9))
    data = request.SerializeToString()
    sample = Sample()
    async with grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS) as channel:
        await channel.channel_ready()
        send = channel.unary_unary(METHOD)

        async def one() -> None:
            begin_s = time.perf_counter()
            try:
                answer = await send(data, timeout=30)
            except grpc.aio.AioRpcError as error:
                sample.refused_s.append(time.perf_counter() - begin_s)
                sample.other += error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED
                sample.without_retry += not _has_retry_info(error)
                return
            sample.admitted_s.append(time.perf_counter() - begin_s)
            outcomes = pb.ScoreResponse.FromString(answer).groups[0].outcomes
            scored = sum(o.WhichOneof("result") == "score" for o in outcomes)
            sample.scored_items += scored
            sample.failed_items += items - scored

        calls: set[asyncio.Task[None]] = set()
        start_s = time.perf_counter()
        for index in range(int(rate * seconds)):
            due_s = start_s + index / rate
            left_s = due_s - time.perf_counter()
            if left_s > 0:
                await asyncio.sleep(left_s)
            sample.late += left_s < -0.02
            task = asyncio.ensure_future(one())
            calls.add(task)
            task.add_done_callback(calls.discard)
        await asyncio.gather(*calls)
    return sample


def _has_retry_info(error: grpc.aio.AioRpcError) -> bool:
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            status = status_pb2.Status.FromString(value)
            return any(d.Is(error_details_pb2.RetryInfo.DESCRIPTOR) for d in status.details)
    return False


def window(
    address: str, items: int, calls_per_s: float, seconds: float, wait_s: float, processes: int
) -> Sample:
    """Has several processes send; what came of all their calls."""
    rate = calls_per_s / processes
    command = python("overload", "--client", address, str(items), str(rate), str(seconds))
    together = Sample()
    with TemporaryDirectory() as folder:
        told = [Path(folder) / str(index) for index in range(processes)]
        running = [subprocess.Popen([*command, str(wait_s), str(path)]) for path in told]
        for process, path in zip(running, told, strict=True):
            process.wait()
            together.add(Sample(**json.loads(path.read_text())))
    return together


def p99(values: list[float]) -> float:
    """The 99th percentile; 0 of nothing."""
    return sorted(values)[int(0.99 * len(values))] if values else 0.0


def gateway_rss(service: Service) -> int:
    """The gateway's resident memory in bytes."""
    for process in service.running.processes():
        try:
            if GATEWAY in " ".join(process.cmdline()):
                return int(process.memory_info().rss)
        except psutil.Error:
            continue
    return 0


def run(
    service: Service, control: Control, times: float, seconds: float, processes: int
) -> list[str]:
    """Prints the table; returns what was broken."""
    broken: list[str] = []
    print(
        "| | may wait | calls/s sent | admitted p99, alone → overload | refusals p50 / p99 "
        "| scored/s |"
    )
    print("|---|--:|--:|--:|--:|--:|")
    for name, items in SHAPES.items():
        window(service.address, items, 0.3 * CAPACITY / items, 3, 30.0, 1)  # costs are measured
        alone = window(service.address, items, 0.1 * CAPACITY / items, max(10, seconds / 4), 30, 1)
        wait_s = 1.5 * sorted(alone.admitted_s)[len(alone.admitted_s) // 2]
        before = gateway_rss(service)
        rate = times * CAPACITY / items
        with Timed(control.address, 50.0) as beside:
            under = window(service.address, items, rate, seconds, wait_s, processes)
        time.sleep(3)
        after = gateway_rss(service)
        refusals = sorted(under.refused_s) or [0.0]
        print(
            f"| {name} x {items} | {1e3 * wait_s:.0f} ms | {rate:,.0f} "
            f"| {1e3 * p99(alone.admitted_s):.1f} → "
            f"{1e3 * p99(under.admitted_s):.1f} ms | {1e3 * refusals[len(refusals) // 2]:.1f} / "
            f"{1e3 * p99(refusals):.1f} ms | {under.scored_items / seconds:,.0f} |"
        )
        print(
            f"{len(under.admitted_s)} admitted, {len(under.refused_s)} refused, "
            f"calls of an idle service meanwhile {1e3 * beside.at(0.5):.1f} / "
            f"{1e3 * beside.at(0.99):.1f} ms, "
            f"{under.failed_items} admitted items failed, {under.without_retry} refusals without "
            f"RetryInfo, {under.late} calls sent late; gateway {before >> 20} → {after >> 20} MB"
        )
        checks = {
            "admitted p99": p99(under.admitted_s) <= 2 * p99(alone.admitted_s),
            "refusals p99": p99(refusals) <= MAX_REFUSAL_S,
            "RetryInfo": not under.without_retry and not under.other,
            "failed items": not under.failed_items,
            "memory": after <= before + (64 << 20),
            "clients kept up": under.late < 0.01 * rate * seconds,
        }
        broken += [f"{name}: {check}" for check, held in checks.items() if not held]
    return broken


def main() -> None:
    """The command; with `--client`, one of its clients."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--times", type=float, default=5.0)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--client", nargs=6, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.client:
        address, items, rate, seconds, wait_s, path = args.client
        sample = uvloop.run(client(address, int(items), float(rate), float(seconds), float(wait_s)))
        Path(path).write_text(json.dumps(vars(sample)))
        return
    service = Service("service", config=CONFIG)
    service.start()
    try:
        with Control() as control:
            broken = run(service, control, args.times, args.seconds, args.processes)
    finally:
        service.stop()
    print("broken: " + (", ".join(broken) or "nothing"))
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
