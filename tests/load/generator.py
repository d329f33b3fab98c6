"""The load generator: a process of its own that keeps N calls of one shape in flight.

    python -m tests.load.generator --shape 16x16 --calls 2000 --seed 7

It makes its calls ahead (serialised, every item distinct), then takes one command a line from its
standard input and answers each by a line of JSON:

    warm HOST:PORT SECONDS   sends calls of a small set of their own
    run HOST:PORT SECONDS    sends each call once; ends when the time or the calls are used up
    check                    compares all answers of the last run; done outside of the timed window
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator

import grpc
import uvloop

from .payload import Payload, Shape, build
from .scoring import METHOD

CHANNEL_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),
)
WARM_CALLS = 64
CONNECT_TIMEOUT_S = 20.0
CALL_TIMEOUT_S = 60.0


class Run:
    """A closed loop over serialised calls: what was answered, and how fast."""

    def __init__(self, calls: Iterator[tuple[int, bytes]]):
        self._calls = calls
        self.answers: dict[int, bytes] = {}
        self.latencies_s: list[float] = []
        self.errors: Counter[str] = Counter()
        self.elapsed_s = 0.0

    async def drive(self, address: str, in_flight: int, seconds: float) -> None:
        """Keeps `in_flight` calls on the way until the time or the calls are used up."""
        async with grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS) as channel:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await channel.channel_ready()
            send = channel.unary_unary(METHOD)
            start = time.perf_counter()
            await asyncio.gather(*(self._caller(send, start + seconds) for _ in range(in_flight)))
            self.elapsed_s = time.perf_counter() - start

    async def _caller(self, send: grpc.aio.UnaryUnaryMultiCallable, end: float) -> None:
        for index, raw in self._calls:
            sent = time.perf_counter()
            try:
                self.answers[index] = await send(raw, timeout=CALL_TIMEOUT_S)
            except grpc.aio.AioRpcError as error:
                self.errors[f"{error.code().name}: {(error.details() or '')[:120]}"] += 1
            now = time.perf_counter()
            self.latencies_s.append(now - sent)
            if now >= end:
                return


def measured(run: Run, shape: Shape) -> dict[str, object]:
    """The figures of a run; failed calls count for nothing but `errors`."""
    ordered = sorted(run.latencies_s) or [0.0]
    done = len(run.answers)
    return {
        "calls": done,
        "items": done * shape.items,
        "seconds": run.elapsed_s,
        "p50_ms": 1e3 * ordered[len(ordered) // 2],
        "p99_ms": 1e3 * ordered[int(len(ordered) * 0.99)],
        "errors": dict(run.errors),
    }


def checked(run: Run, payload: Payload) -> dict[str, object]:
    """How many items were answered wrongly, of those whose call was answered."""
    indices = sorted(run.answers)
    asked = Payload([], [payload.right[i] for i in indices])
    return {"wrong": asked.wrong_answers([run.answers[i] for i in indices])}


def main() -> None:
    """Serves commands until the standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shape", type=Shape.parse, required=True)
    parser.add_argument("--calls", type=int, required=True)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    shape: Shape = args.shape
    payload = build(shape, args.calls, args.seed)
    warm = build(shape, WARM_CALLS, -args.seed)
    gc.collect()
    gc.freeze()
    gc.disable()
    say({"ready": True, "bytes": sum(map(len, payload.calls))})
    run = Run(iter(()))
    for line in sys.stdin:
        match line.split():
            case ["warm", address, seconds]:
                run = Run(enumerate(itertools.cycle(warm.calls)))
                uvloop.run(run.drive(address, shape.in_flight, float(seconds)))
                say(measured(run, shape))
            case ["run", address, seconds]:
                run = Run(enumerate(payload.calls))
                uvloop.run(run.drive(address, shape.in_flight, float(seconds)))
                say(measured(run, shape))
            case ["check"]:
                say(checked(run, payload))
            case other:
                raise SystemExit(f"unknown command {other}")


def say(message: dict[str, object]) -> None:
    """One line of JSON to the standard output, at once."""
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    main()
