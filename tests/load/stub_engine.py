"""What the way to an engine costs: one that takes 5 ms, with 1 to 4,096 items in flight.

    python -m tests.load.stub_engine [--seconds 3] [--in-flight 1,64,4096]

One item a call, each another text. Ours: `rewardplane serve` with a model `runs: python`, by gRPC.
The peer is built as routers in front of engines are: one process of aiohttp that opens an HTTP
session for each request and posts it to the engine, one more process that answers after 5 ms. The
CPU time is that of all the server's processes, the engine among them and the client not: what they
take at rest has a row of its own, and is left out of the last column. Few calls bear much of it.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import aiohttp
import grpc
import uvloop
from aiohttp import web
from rewardplane.v1 import reward_service_pb2 as pb

from ..support.rig import FOLDER
from .generator import CHANNEL_OPTIONS
from .peer import Service, free_port
from .scoring import METHOD
from .servers import Tree, connected, python

LATENCY_S = 0.005
REST_S = 4.0
IN_FLIGHT = (1, 4, 16, 64, 256, 1_024, 4_096)
TEXT = "An answer of the usual length, as far as that matters to something that only waits. " * 4
CONFIG = f"""\
limits: {{max_in_flight_items: 20000}}
models:
  m:
    runs: python
    path: stub_model:StubModel
    head: scalar
    cpus: 0.5
    in_flight: 8192
    determinism: none
    engine: {{python_path: ["{FOLDER}"], latency_s: {LATENCY_S}}}
rewards:
  it: {{kind: reward_model, model: m, queue_timeout_s: 60}}
"""

Ask = Callable[[str], Awaitable[None]]


async def drive(ask: Ask, in_flight: int, seconds: float) -> tuple[float, float]:
    """Items a second and the p99 (s) with so many callers, each of which waits for its answer."""
    begin_s = time.perf_counter()
    end_s = begin_s + seconds
    latencies_s: list[float] = []

    async def caller(number: int) -> None:
        count = 0
        while (now_s := time.perf_counter()) < end_s:
            await ask(f"{number} {count} {TEXT}")
            latencies_s.append(time.perf_counter() - now_s)
            count += 1

    await asyncio.gather(*(caller(number) for number in range(in_flight)))
    taken_s = time.perf_counter() - begin_s
    latencies_s.sort()
    return len(latencies_s) / taken_s, latencies_s[int(0.99 * (len(latencies_s) - 1))]


async def measure(
    name: str, ask: Ask, trees: Sequence[Tree], levels: Sequence[int], s: float
) -> None:
    """Prints a row for each level."""

    def cpu_s() -> float:
        return sum(tree.cpu_s() for tree in trees)

    await drive(ask, 64, 1.0)
    await asyncio.sleep(1.0)
    before_s = cpu_s()
    await asyncio.sleep(REST_S)
    rest = (cpu_s() - before_s) / REST_S
    print(f"| {name}, at rest: {1e3 * rest:.0f} ms of CPU a second |", flush=True)
    for in_flight in levels:
        before_s, begin_s = cpu_s(), time.perf_counter()
        rate, p99_s = await drive(ask, in_flight, s)
        taken_s = time.perf_counter() - begin_s
        cpu_us = 1e6 * (cpu_s() - before_s) / (rate * taken_s)
        above_us = cpu_us - 1e6 * rest / rate
        print(
            f"| {name} | {in_flight} | {rate:,.0f} | {1e3 * p99_s:,.0f} | {cpu_us:,.0f} |"
            f" {above_us:,.0f} |",
            flush=True,
        )


async def ours(levels: Sequence[int], seconds: float) -> None:
    """`rewardplane serve`."""
    service = Service("rewardplane", config=CONFIG)
    service.start()
    try:
        async with grpc.aio.insecure_channel(service.address, options=CHANNEL_OPTIONS) as channel:
            send = channel.unary_unary(METHOD)

            async def ask(text: str) -> None:
                request = pb.ScoreRequest(reward="it")
                group = request.groups.add(responses=[pb.Response(text=text)])
                group.example.contents.add(role="user").parts.add(text="a prompt")
                answer = pb.ScoreResponse.FromString(
                    await send(request.SerializeToString(), timeout=60)
                )
                assert answer.groups[0].outcomes[0].WhichOneof("result") == "score", answer

            await measure("rewardplane, gRPC", ask, [service.running], levels, seconds)
    finally:
        service.stop()


async def router(levels: Sequence[int], seconds: float) -> None:
    """The peer."""
    ports = free_port(), free_port()
    with tempfile.TemporaryDirectory() as scratch:
        trees = [
            Tree(python("stub_engine", "engine", str(ports[1])), {}, Path(scratch, "engine.log")),
            Tree(
                python("stub_engine", "router", str(ports[0]), str(ports[1])),
                {},
                Path(scratch, "router.log"),
            ),
        ]
        try:
            until_s = time.monotonic() + 60
            for port in ports:
                while True:
                    try:
                        connected(port).close()
                        break
                    except OSError:
                        assert time.monotonic() < until_s, trees[1].log_tail
                        await asyncio.sleep(0.2)
            connector = aiohttp.TCPConnector(limit=0)
            async with aiohttp.ClientSession(connector=connector) as session:

                async def ask(text: str) -> None:
                    async with session.post(
                        f"http://127.0.0.1:{ports[0]}/classify", json={"input": text}
                    ) as reply:
                        reply.raise_for_status()
                        await reply.json()

                await measure("router, a session each", ask, trees, levels, seconds)
        finally:
            for tree in trees:
                tree.stop()


def serve(kind: str, port: int, engine: int) -> None:
    """The peer's engine, or its router."""

    async def answer(request: web.Request) -> web.Response:
        call = await request.json()
        await asyncio.sleep(LATENCY_S)
        return web.json_response({"data": [{"probs": [len(call["input"]) / 1000]}]})

    async def forward(request: web.Request) -> web.Response:
        body = await request.json()
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"http://127.0.0.1:{engine}/classify", json=body) as reply,
        ):
            return web.json_response(await reply.json(), status=reply.status)

    app = web.Application()
    app.router.add_post("/classify", answer if kind == "engine" else forward)
    web.run_app(app, host="127.0.0.1", port=port, backlog=16_384, print=None, access_log=None)


def main() -> None:
    """Measures both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--in-flight", default=",".join(map(str, IN_FLIGHT)))
    options = parser.parse_args()
    levels = [int(level) for level in options.in_flight.split(",")]
    print(
        "| way | in flight | items/s | p99 ms | server CPU µs an item | of it above that at rest |"
    )
    print("|---|---|---|---|---|---|")
    uvloop.run(ours(levels, options.seconds))
    uvloop.run(router(levels, options.seconds))


if __name__ == "__main__":
    if sys.argv[1:2] in (["engine"], ["router"]):
        kind, *given = sys.argv[1:]
        uvloop.install()
        serve(kind, *(map(int, [*given, "0"][:2])))
    else:
        main()
