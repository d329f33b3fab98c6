"""20,000 single-item calls in flight at once, of 5 ms CPU each; all must be answered with a score.

    python -m tests.load.burst [--calls 20000] [--way grpc|flood|both]

Two ways: `grpc` keeps making calls by `grpc.aio` on one channel until so many are in flight;
`flood` writes all of them to one HTTP/2 connection within 100 ms. The gauge of the server must show
so many at once (a few more are sent, as the first are answered before the last have come), and the
gateway's memory must stay at or below 1 GB.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import grpc
import psutil
import uvloop
from rewardplane.v1 import reward_service_pb2 as pb

from .flood import flood
from .generator import CHANNEL_OPTIONS
from .peer import Service
from .scoring import METHOD

CONFIG = """\
limits: {max_in_flight_items: 200000}
rewards:
  burn: {kind: python, function: "tests.load.burn:evaluate", lane: pool, replicas: 2,
         queue_timeout_s: 600}
"""
GAUGE = re.compile(r"^rewardplane_in_flight_items(?:\{.*?\})? (\S+)", re.MULTILINE)
GATEWAY = "rewardplane-gateway"
DEADLINE_S = 300
MAX_RSS_BYTES = 10**9
MARGIN = 3_000
"""Calls beyond those wanted at once: as many are answered while the last of them arrive."""


@dataclass
class Result:
    """What came of a burst: the raw answers (empty: none), latencies and times in seconds."""

    answers: Sequence[bytes]
    latencies_s: Sequence[float]
    sending_s: float
    wall_s: float


class Watch(threading.Thread):
    """Samples the gauge and the gateway's resident memory, and keeps the largest."""

    def __init__(self, service: Service):
        super().__init__(daemon=True)
        self._url = f"http://127.0.0.1:{service.metrics_port}/metrics"
        self._gateway = _gateway(service)
        self._over = threading.Event()
        self.max_in_flight = 0.0
        self.max_rss_bytes = 0
        self.idle_rss_bytes = self._gateway.memory_info().rss

    def run(self) -> None:
        """Samples until `end`."""
        while not self._over.wait(0.1):
            self.max_rss_bytes = max(self.max_rss_bytes, self._gateway.memory_info().rss)
            with urllib.request.urlopen(self._url, timeout=60) as reply:  # noqa: S310 - loopback
                found = GAUGE.findall(reply.read().decode())
            self.max_in_flight = max(self.max_in_flight, sum(map(float, found)))

    def end(self) -> None:
        """Stops sampling."""
        self._over.set()
        self.join()


def _gateway(service: Service) -> psutil.Process:
    for process in service.running.processes():
        if GATEWAY in " ".join(process.cmdline()):
            return process
    raise RuntimeError(f"no process of the service is named {GATEWAY}")


async def by_grpc(service: Service, calls: Sequence[bytes], at_once: int) -> Result:
    """Makes calls on one channel until `at_once` are in flight, then awaits all.

    More than `at_once` are made, as many as are answered meanwhile, up to all of `calls`.
    """
    latencies: list[float] = []
    answers: list[bytes] = []
    refused: Counter[str] = Counter()

    async def one(raw: bytes) -> None:
        sent = time.perf_counter()
        try:
            answers.append(await send(raw, timeout=DEADLINE_S))
        except grpc.aio.AioRpcError as error:
            refused[f"{error.code().name} {(error.details() or '')[:120]}"] += 1
            answers.append(b"")
        latencies.append(time.perf_counter() - sent)

    async with grpc.aio.insecure_channel(service.address, options=CHANNEL_OPTIONS) as channel:
        await channel.channel_ready()
        send = channel.unary_unary(METHOD)
        begin = time.perf_counter()
        tasks: list[asyncio.Task[None]] = []
        for raw in calls:
            if len(tasks) - len(answers) >= at_once:
                break
            tasks.append(asyncio.create_task(one(raw)))
            await asyncio.sleep(0)
        sending_s = time.perf_counter() - begin
        await asyncio.gather(*tasks)
    if refused:
        print(f"  refused: {dict(refused)}")
    return Result(answers, latencies, sending_s, time.perf_counter() - begin)


def by_flood(service: Service, calls: Sequence[bytes]) -> Result:
    """All calls at once on one connection."""
    begin = time.perf_counter()
    got = flood(service.port, METHOD, calls, DEADLINE_S)
    wall_s = time.perf_counter() - begin
    print(f"  the server allows {got.max_streams:,} streams a connection")
    return Result(got.messages, got.latencies_s, got.sending_s, wall_s)


def requests(count: int) -> list[bytes]:
    """Single-item calls, each different."""
    return [
        pb.ScoreRequest(
            reward="burn",
            groups=[pb.Group(example=pb.Example(), responses=[pb.Response(text=f"item {i}")])],
        ).SerializeToString()
        for i in range(count)
    ]


def scored(raw: bytes) -> bool:
    """Whether an answer is one score of 1.0."""
    groups = pb.ScoreResponse.FromString(raw).groups
    return [o.score.reward for g in groups for o in g.outcomes] == [1.0]


def burst(service: Service, way: str, at_once: int) -> list[str]:
    """One burst; prints its figures and returns what it fell short of."""
    calls = requests(at_once + MARGIN if way == "flood" else 3 * at_once)
    watch = Watch(service)
    watch.start()
    print(f"{way}: at least {at_once:,} single-item calls at once, one channel, 5 ms CPU each")
    if way == "grpc":
        result = uvloop.run(by_grpc(service, calls, at_once + MARGIN))
    else:
        result = by_flood(service, calls)
    watch.end()
    good = sum(map(scored, result.answers))
    ordered = sorted(result.latencies_s) or [0.0]
    print(
        f"  {len(result.answers):,} calls sent in {result.sending_s * 1e3:,.0f} ms; "
        f"{good:,} answered with a score in {result.wall_s:.1f} s "
        f"({good / result.wall_s:,.0f} items/s)\n"
        f"  p50 {ordered[len(ordered) // 2]:.2f} s, p99 {ordered[int(len(ordered) * 0.99)]:.2f} s, "
        f"largest {ordered[-1]:.2f} s\n"
        f"  in flight at most {watch.max_in_flight:,.0f} by the server's gauge; gateway RSS "
        f"{watch.idle_rss_bytes / 1e6:,.0f} MB before, {watch.max_rss_bytes / 1e6:,.0f} MB at most"
    )
    short: list[str] = []
    if good != len(result.answers):
        short.append(f"{way}: {len(result.answers) - good:,} calls got no score")
    if watch.max_in_flight < at_once:
        short.append(f"{way}: at most {watch.max_in_flight:,.0f} were in flight")
    if watch.max_rss_bytes > MAX_RSS_BYTES:
        short.append(f"{way}: the gateway took {watch.max_rss_bytes / 1e6:,.0f} MB")
    return short


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=20_000, help="in flight at once")
    parser.add_argument("--way", choices=["grpc", "flood", "both"], default="both")
    args = parser.parse_args()
    service = Service("rewardplane", config=CONFIG)
    print(service.settings)
    service.start()
    try:
        ways = ["grpc", "flood"] if args.way == "both" else [args.way]
        short = [fault for way in ways for fault in burst(service, way, args.calls)]
    finally:
        service.stop()
    if short:
        sys.exit("MISSED: " + "; ".join(short))
    print("ok: all answered with a score, all at once, within 1 GB")


if __name__ == "__main__":
    main()
