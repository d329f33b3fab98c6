"""Runs of untrusted code a second: the sandbox's slots against what trainers do without it.

    python -m tests.load.sandbox [--rounds 5] [--grpc]

A run is one response, a program that reads stdin, with 10 tests; two of them go at a time. In each
round every way has its turn, and they change places. All ways answer the same and are checked.

pass             an empty program at a pool of two slots
slots            the program and its tests at the pool: outputs come back and are compared
+ numpy, sympy   the same, with both in the profile
code_tests       the reward, two slots, as a replica's worker runs it
service          the reward by gRPC: `rewardplane serve`, 1 replica of 2 slots, one call (--grpc)
subprocess       a fresh interpreter with the usual imports for each run
executor         ProcessPoolExecutor(2) with HumanEval's guard: processes that live on, unconfined
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from statistics import median
from typing import Any

import grpc
from rewardplane.rewards.registry import build
from rewardplane.rewards.sandbox.level import Level
from rewardplane.rewards.sandbox.limits import Limits
from rewardplane.rewards.sandbox.pool import Profile, SandboxPool
from rewardplane.rewards.types import Example, Response
from rewardplane.v1 import reward_service_pb2 as pb

from . import sandbox_peers
from .generator import CHANNEL_OPTIONS
from .peer import Service
from .scoring import METHOD

SLOTS = 2
DEADLINE_S = 300
RUNS = {"subprocess": 60, "executor": 800, "pass": 800}
OTHERS_RUNS = 400
MIN_RATIO = 5.0
MIN_PASS_PER_S = 400.0

SOLUTION = """
def main():
    n = int(input())
    numbers = list(map(int, input().split()))
    best = [1] * n
    for i in range(n):
        for j in range(i):
            if numbers[j] < numbers[i] and best[j] + 1 > best[i]:
                best[i] = best[j] + 1
    print(max(best))

main()
"""
"""The longest rising subsequence, the plain way."""


def tests() -> tuple[list[str], list[str]]:
    """Ten inputs of 30 numbers, and what is right for them."""
    stdins: list[str] = []
    expected: list[str] = []
    for seed in range(10):
        numbers = [(seed * 7919 + k * k * 31) % 1009 for k in range(30)]
        stdins.append(f"{len(numbers)}\n{' '.join(map(str, numbers))}\n")
        best: list[int] = []
        for i, number in enumerate(numbers):
            longer = [best[j] for j in range(i) if numbers[j] < number]
            best.append(1 + max(longer, default=0))
        expected.append(f"{max(best)}\n")
    return stdins, expected


STDINS, EXPECTED = tests()
PAIRS = [{"input": i, "output": o} for i, o in zip(STDINS, EXPECTED, strict=True)]
TESTS_JSON = json.dumps(PAIRS)
RESPONSE = f"```python\n{SOLUTION}\n```"
SLOT_PARAMETERS = {"slots": SLOTS}
HARNESS = f"""
import io, json, sys
code = compile({SOLUTION!r}, "<solution>", "exec")
outputs = []
for stdin in {STDINS!r}:
    sys.stdin, sys.stdout = io.StringIO(stdin), io.StringIO()
    exec(code, {{"__name__": "__main__"}})
    outputs.append(sys.stdout.getvalue())
channel.send(json.dumps(outputs).encode())
"""
"""What a guest for such tests does, in the child."""


class Rewards:
    """The reward `code_tests` with its slots, in a loop of its own."""

    def __init__(self, modules: Sequence[str]) -> None:
        self._reward = build("code_tests", {**SLOT_PARAMETERS, "modules": list(modules)})
        self._reward.setup()
        self._score: Any = self._reward.score
        self._example = Example(json_references={"tests": TESTS_JSON})
        self._response = Response(text=RESPONSE)
        self._loop = asyncio.new_event_loop()

    def run(self, runs: int) -> list[float]:
        """The rewards of so many runs, two at a time."""
        return self._loop.run_until_complete(self._run(runs))

    def close(self) -> None:
        """Ends the slots."""
        self._reward.close()
        self._loop.close()

    async def _run(self, runs: int) -> list[float]:
        rewards: list[float] = []

        async def some(count: int) -> None:
            for _ in range(count):
                result: Any = await self._score(self._example, self._response)
                rewards.append(result.reward)

        await asyncio.gather(*(some(runs // SLOTS) for _ in range(SLOTS)))
        return rewards


class Served:
    """The reward by gRPC: `rewardplane serve`, one replica, all runs of a window in one call."""

    GROUP = 8

    def __init__(self) -> None:
        parameters = json.dumps({"kind": "code_tests", "replicas": 1, **SLOT_PARAMETERS})
        self._service = Service("rewardplane", config=f"rewards:\n  code: {parameters}\n")
        self._service.start()
        self._channel = grpc.insecure_channel(self._service.address, options=CHANNEL_OPTIONS)
        self._send = self._channel.unary_unary(METHOD)

    def run(self, runs: int) -> list[float]:
        """The rewards of so many runs."""
        group = pb.Group(
            example=pb.Example(json_references={"tests": TESTS_JSON}),
            responses=[pb.Response(text=RESPONSE)] * self.GROUP,
        )
        request = pb.ScoreRequest(reward="code", groups=[group] * (runs // self.GROUP))
        raw = self._send(request.SerializeToString(), timeout=DEADLINE_S)
        outcomes = [o for g in pb.ScoreResponse.FromString(raw).groups for o in g.outcomes]
        return [o.score.reward if o.WhichOneof("result") == "score" else -1.0 for o in outcomes]

    def close(self) -> None:
        """Stops the service."""
        self._channel.close()
        self._service.stop()


class Slots:
    """A pool of slots itself, with a guest that runs a program on what the request says."""

    def __init__(self, program: str, answer: bytes, modules: Sequence[str] = ()) -> None:
        self._request, self._answer = program.encode(), answer
        self._loop = asyncio.new_event_loop()
        profile = Profile("bench", tuple(modules), guests=("program",))
        self._pool = SandboxPool(profile, slots=SLOTS, demand=Level.PROCESS)
        self.report = self._pool.start()

    def run(self, runs: int) -> list[float]:
        """1 for each run that answered as it must."""
        return self._loop.run_until_complete(self._run(runs))

    def close(self) -> None:
        """Ends the slots."""
        self._loop.run_until_complete(self._pool.close())
        self._loop.close()

    async def _run(self, runs: int) -> list[float]:
        rewards: list[float] = []

        async def some(count: int) -> None:
            for _ in range(count):
                run = await self._pool.run("program", self._request, Limits())
                rewards.append(float(run.answer == self._answer))

        await asyncio.gather(*(some(runs // SLOTS) for _ in range(SLOTS)))
        return rewards


class Peers:
    """One of the ways without a sandbox."""

    def __init__(self, executor: Executor, function: Callable[..., float]) -> None:
        self._executor = executor
        self._function = function

    def run(self, runs: int) -> list[float]:
        """The rewards of so many runs, two at a time."""
        given = ([each] * runs for each in (SOLUTION, STDINS, EXPECTED))
        return list(self._executor.map(self._function, *given))

    def close(self) -> None:
        """Ends its processes."""
        self._executor.shutdown()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--grpc", action="store_true", help="measure the service as well")
    args = parser.parse_args()
    outputs = json.dumps(EXPECTED).encode()
    passes = Slots("channel.send(b'done')", b"done")
    spawn = get_context("spawn")
    guarded = ProcessPoolExecutor(SLOTS, mp_context=spawn, initializer=sandbox_peers.guard)
    ways: dict[str, Any] = {
        "pass": passes,
        "slots": Slots(HARNESS, outputs),
        "+ numpy, sympy": Slots(HARNESS, outputs, ("numpy", "sympy")),
        "code_tests": Rewards(()),
        **({"service": Served()} if args.grpc else {}),
        "subprocess": Peers(ThreadPoolExecutor(SLOTS), sandbox_peers.by_subprocess),
        "executor": Peers(guarded, sandbox_peers.by_guarded_process),
    }
    print(f"level {passes.report.level.name}, {SLOTS} slots, {args.rounds} rounds")
    rates: dict[str, list[float]] = {name: [] for name in ways}
    try:
        for way in ways.values():
            way.run(20)
        for turn in range(args.rounds):
            names = list(ways)
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                rates[name].append(rate(name, ways[name]))
    finally:
        for way in ways.values():
            way.close()
    report(rates)


def rate(name: str, way: Any) -> float:
    """Runs a second in one window; all of them must be right."""
    runs = RUNS.get(name, OTHERS_RUNS)
    begin = time.perf_counter()
    rewards = way.run(runs)
    seconds = time.perf_counter() - begin
    if rewards != [1.0] * runs:
        raise SystemExit(f"{name}: {len(rewards)} rewards, {sum(rewards)} in all, not {runs}")
    return runs / seconds


def report(rates: dict[str, list[float]]) -> None:
    """The medians as a table, and whether they are what they must be; ends with 1 if not."""
    middle = {name: median(each) for name, each in rates.items()}
    print("\n| way | runs/s | from | to | times a subprocess |\n|---|--:|--:|--:|--:|")
    for name, each in rates.items():
        times = middle[name] / middle["subprocess"]
        print(
            f"| {name} | {middle[name]:,.0f} | {min(each):,.0f} | {max(each):,.0f} | {times:.1f} |"
        )
    ratio = middle["code_tests"] / middle["subprocess"]
    print(f"\ncode_tests / subprocess: {ratio:.1f} (at least {MIN_RATIO:g})")
    print(f"pass: {middle['pass']:,.0f} runs/s (at least {MIN_PASS_PER_S:g})")
    if ratio < MIN_RATIO or middle["pass"] < MIN_PASS_PER_S:
        sys.exit("MISSED")


if __name__ == "__main__":
    main()
