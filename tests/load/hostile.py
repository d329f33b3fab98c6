"""Rude clients beside a polite one: what the polite one notices, and what they may hold.

    python -m tests.load.hostile [--scale 1.0] [--door native]

64 connections that each hold half of a 60 MB message, 1,000 idle ones, 1,000 half heads on the HTTP
port, a storm of 50,000 calls that are taken back at once, streams that nobody reads. Meanwhile
single calls of another process go at a fixed rate. Their p99 may be twice what it is while the same
clients are as rude to another service of the same machine, for what they take of its cores; while
streams are not read, twice what it is while the same streams are read, for their items are scored
all the same. The gateway's memory stays below what the configuration allows, and places come back
by the deadline. Ends with 1 otherwise.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import re
import sys
import urllib.request
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Protocol

import yaml
from rewardplane.v1 import reward_service_pb2 as pb

from ..support.h2 import Rude
from .control import Control, Timed
from .overload import gateway_rss
from .peer import Service, free_port
from .scoring import METHOD

STREAM = METHOD.replace("/Score", "/StreamScores")
MAX_BYTES = 256 << 20
DEADLINE_S = 10
CONFIG = f"""\
limits: {{max_in_flight_bytes: {MAX_BYTES}, default_deadline_s: {DEADLINE_S}}}
http: {{reward: exact}}
rewards:
  exact: {{kind: exact, lane: inline, reference: answer}}
"""
GAUGE = re.compile(r"^rewardplane_in_flight_items(?:\{.*?\})? (\S+)", re.MULTILINE)


@dataclass
class Rudely(Service):
    """A service with an HTTP port too."""

    http_port: int = 0

    def command(self) -> Sequence[str]:
        """As its users run it."""
        self.http_port = free_port()
        return [*super().command(), "--http-port", str(self.http_port)]


class Target(Protocol):
    """Who is treated rudely."""

    @property
    def port(self) -> int:
        """Of gRPC."""
        ...

    @property
    def http_port(self) -> int:
        """Of HTTP."""
        ...


async def _quiet(_service: Target, _scale: float, _stack: AsyncExitStack) -> str:
    await asyncio.sleep(5)
    return ""


async def _halves(service: Target, scale: float, stack: AsyncExitStack) -> str:
    clients = [
        await stack.enter_async_context(Rude(service.port)) for _ in range(max(4, int(64 * scale)))
    ]
    half = b"x" * (30 << 20)

    async def hold(client: Rude) -> None:
        try:
            await client.message(client.begin(METHOD), half, of=60 << 20)
        except ConnectionError:
            return

    await asyncio.gather(*(hold(client) for client in clients))
    await asyncio.sleep(2)
    cut = sum(client.closed.is_set() for client in clients)
    await asyncio.sleep(DEADLINE_S + 1)
    left = sum(not client.closed.is_set() for client in clients)
    return f"{cut} of {len(clients)} cut for memory, {left} left after the deadline"


async def _idle(service: Target, scale: float, stack: AsyncExitStack) -> str:
    for _ in range(int(1000 * scale)):
        await stack.enter_async_context(Rude(service.port))
    await asyncio.sleep(5)
    return ""


async def _heads(service: Target, scale: float, stack: AsyncExitStack) -> str:
    readers: list[asyncio.StreamReader] = []
    for _ in range(int(1000 * scale)):
        reader, writer = await asyncio.open_connection("127.0.0.1", service.http_port)
        stack.callback(writer.transport.abort)
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-")
        readers.append(reader)
    await asyncio.sleep(23)
    left = sum(not reader.at_eof() and reader.exception() is None for reader in readers)
    return f"{left} of {len(readers)} open after 23 s"


async def _storm(service: Target, scale: float, stack: AsyncExitStack) -> str:
    client = await stack.enter_async_context(Rude(service.port))
    for index in range(int(50_000 * scale)):
        if client.closed.is_set():
            await asyncio.sleep(3)
            return f"cut after {index}"
        client.reset(client.begin(METHOD))
        if index % 200 == 0:
            await asyncio.sleep(0)
    await asyncio.sleep(3)
    return ""


async def _read(service: Target, scale: float, stack: AsyncExitStack) -> str:
    return await _streams(service, scale, stack, reads=True)


async def _unread(service: Target, scale: float, stack: AsyncExitStack) -> str:
    return await _streams(service, scale, stack, reads=False)


async def _streams(service: Target, scale: float, stack: AsyncExitStack, *, reads: bool) -> str:
    group = pb.Group(responses=[pb.Response(text=str(i)) for i in range(2000)])
    request = pb.ScoreRequest(reward="exact", groups=[group])
    data = pb.StreamScoresRequest(request=request).SerializeToString()
    for _ in range(max(2, int(20 * scale))):
        client = await stack.enter_async_context(Rude(service.port, reads_data=reads))
        await client.message(client.begin(STREAM, timeout_s=DEADLINE_S), data)
    await asyncio.sleep(DEADLINE_S + 2)
    if not isinstance(service, Rudely):
        return ""
    url = f"http://127.0.0.1:{service.metrics_port}/metrics"
    with await asyncio.to_thread(urllib.request.urlopen, url, timeout=30) as reply:
        found = sum(map(float, GAUGE.findall(reply.read().decode())))
    if found:
        raise RuntimeError(f"{found:.0f} items are still in flight after the deadline")
    return "no item in flight after the deadline"


Behaviour = Callable[[Target, float, AsyncExitStack], Awaitable[str]]
BEHAVIOURS: dict[str, Behaviour] = {
    "nobody": _quiet,
    "half messages": _halves,
    "idle connections": _idle,
    "half heads": _heads,
    "reset storm": _storm,
    "unread streams": _unread,
}
POLITE: dict[str, Behaviour] = {"unread streams": _read}
"""What costs this service the same work without being rude, where there is such a thing."""


async def run(service: Rudely, control: Control, scale: float, only: set[str]) -> list[str]:
    """Prints the table; returns what was broken."""
    broken: list[str] = []
    idle = gateway_rss(service)
    print(
        "| | calls of others, p50 / p99, while it meets another service, or is polite "
        "| while it meets this one "
        "| ratio of p99 | failed | gateway, largest | |\n|---|--:|--:|--:|--:|--:|---|"
    )
    for name, behave in BEHAVIOURS.items():
        if name not in only:
            continue
        if name in POLITE:
            beside, _ = await _timed(service, service, POLITE[name], scale)
        else:
            beside, _ = await _timed(service, control, behave, scale)
        timed, said = await _timed(service, service, behave, scale)
        most = timed.most_bytes
        ratio = timed.at(0.99) / max(1e-4, beside.at(0.99))
        print(
            f"| {name} | {1e3 * beside.at(0.5):.1f} / {1e3 * beside.at(0.99):.1f} ms "
            f"| {1e3 * timed.at(0.5):.1f} / {1e3 * timed.at(0.99):.1f} ms | {ratio:.2f} "
            f"| {timed.failed} of {len(timed.latencies_s)} | {most >> 20} MB | {said} |",
            flush=True,
        )
        checks = {
            "p99": ratio <= 2,
            "failed": not timed.failed,
            # What is admitted, and what is not complete: each has its bound.
            "memory": most <= idle + 2 * MAX_BYTES + (128 << 20),
        }
        broken += [f"{name}: {check}" for check, held in checks.items() if not held]
    return broken


class _Watched(Timed):
    most_bytes = 0


async def _timed(
    service: Rudely, target: Target, behave: Behaviour, scale: float
) -> tuple[_Watched, str]:
    """Calls of `service` while `target` is treated rudely."""
    over = asyncio.Event()
    with _Watched(service.address) as timed:

        async def watch() -> None:
            while not over.is_set():
                size = await asyncio.to_thread(gateway_rss, service)
                timed.most_bytes = max(timed.most_bytes, size)
                await asyncio.sleep(0.5)

        watching = asyncio.create_task(watch())
        async with AsyncExitStack() as stack:
            said = await behave(target, scale, stack)
        over.set()
        await watching
    return timed, said


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--door", default="native")
    parser.add_argument("--only", default=",".join(BEHAVIOURS))
    args = parser.parse_args()
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # of connections that were shut on us
    service = Rudely("service", config=CONFIG, door=args.door)
    service.start()
    try:
        with Control(yaml.safe_load(CONFIG)) as control:
            broken = asyncio.run(run(service, control, args.scale, set(args.only.split(","))))
    finally:
        service.stop()
    print("broken: " + (", ".join(broken) or "nothing"))
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
