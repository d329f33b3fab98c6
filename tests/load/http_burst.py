"""A step of a Gemini tuning job at its largest: 8,192 single-item HTTP calls that come at once.

    python -m tests.load.http_burst [--calls 8192] [--rounds 3]

Each on a connection of its own, and again on 512 that are kept alive; and 512 calls of a reward
that waits 200 ms, as for a judge. Beside it, by turns, the same rewards in a plain FastAPI +
uvicorn app; a ratio is the median of those of the rounds. Every call must be answered with its
right reward.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

import aiohttp
import uvloop

from . import servers
from .payload import RESPONSE_BYTES
from .peer import Peer, Service, alone, free_port

CONFIG = """\
rewards:
  exact: {kind: exact, lane: LANE, replicas: 2}
  judge: {kind: python, function: "tests.load.judging:evaluate", concurrency: 1024}
"""
TIMEOUT_S = 120.0
PLAIN = "FastAPI + uvicorn"


@dataclass
class HttpService(Service):
    """`rewardplane serve` with its HTTP port."""

    http_port: int = 0

    def command(self) -> Sequence[str]:
        """The command that its users run."""
        self.http_port = free_port()
        return [*super().command(), "--http-port", str(self.http_port)]

    @property
    def url(self) -> str:
        """Where its HTTP port is."""
        return f"http://127.0.0.1:{self.http_port}"


@dataclass
class PlainApp(Peer):
    """FastAPI + uvicorn."""

    def command(self) -> Sequence[str]:
        """The app in this folder."""
        return servers.python("plain_app", "--port", str(self.port))

    def ready(self) -> bool:
        """Whether it listens."""
        try:
            with servers.connected(self.port):
                return True
        except OSError:
            return False

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"


@dataclass
class Result:
    """What came of a burst."""

    wall_s: float = 0.0
    latencies_s: list[float] = field(default_factory=list)
    wrong: Counter[str] = field(default_factory=Counter)

    def percentile_ms(self, share: float) -> float:
        """A percentile of the latencies of answered calls."""
        ordered = sorted(self.latencies_s) or [0.0]
        return 1e3 * ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def calls(count: int, seed: int) -> list[tuple[bytes, float]]:
    """Bodies as a tuning job sends them, 2 KB of response each, and their right rewards."""
    rng = random.Random(seed)
    made: list[tuple[bytes, float]] = []
    for number in range(count):
        text = f"{seed}-{number} ".ljust(RESPONSE_BYTES, "abcdefgh"[number % 8])
        right = rng.random() < 0.3
        call = {
            "example": {
                "contents": [{"role": "user", "parts": [{"text": f"Question {number}?"}]}],
                "references": {"answer": text if right else "another"},
            },
            "response": {"parts": [{"text": text}]},
            "metadata": {"step": 1, "tuningJobId": "77"},
        }
        made.append((json.dumps(call).encode(), float(right)))
    return made


async def burst(url: str, made: Sequence[tuple[bytes, float]], connections: int) -> Result:
    """Sends all calls at once; `connections` 0: each on its own."""
    result = Result()
    connector = aiohttp.TCPConnector(limit=connections, force_close=connections == 0)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    headers = {"content-type": "application/json"}
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as client:

        async def one(body: bytes, right: float) -> None:
            sent = time.perf_counter()
            try:
                async with client.post(url, data=body, headers=headers) as answer:
                    told = await answer.json()
            except (aiohttp.ClientError, TimeoutError) as error:
                result.wrong[type(error).__name__] += 1
                return
            result.latencies_s.append(time.perf_counter() - sent)
            if answer.status != 200 or told.get("reward") != right:
                result.wrong[f"{answer.status} {str(told)[:80]}"] += 1

        begin = time.perf_counter()
        await asyncio.gather(*(one(body, right) for body, right in made))
        result.wall_s = time.perf_counter() - begin
    return result


def main() -> None:
    """Runs the rounds and prints the table; exits with 1 where a call was not answered rightly."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=8192)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    bursts: Mapping[str, tuple[str, int, int]] = {
        f"{args.calls} own connections": ("exact", args.calls, 0),
        f"{args.calls} on 512 kept": ("exact", args.calls, 512),
        "512, judge of 200 ms": ("judge", 512, 0),
    }
    peers: Mapping[str, HttpService | PlainApp] = {
        "rewardplane inline": HttpService("inline", config=CONFIG.replace("LANE", "inline")),
        "rewardplane pool": HttpService("pool", config=CONFIG.replace("LANE", "pool")),
        PLAIN: PlainApp("plain"),
    }
    results: dict[tuple[str, str], list[Result]] = {}
    names = deque(peers)
    try:
        for peer in peers.values():
            with alone(peer, peers.values()):
                peer.start()
                uvloop.run(burst(f"{peer.url}/rewards/exact", calls(64, -1), 8))
        for number in range(args.rounds):
            names.rotate(-1)
            for title, (reward, count, connections) in bursts.items():
                made = calls(count, number)
                for name in names:
                    with alone(peers[name], peers.values()):
                        url = f"{peers[name].url}/rewards/{reward}"
                        got = uvloop.run(burst(url, made, connections))
                    results.setdefault((title, name), []).append(got)
                    p50, p99 = got.percentile_ms(0.5), got.percentile_ms(0.99)
                    times = f"{got.wall_s:7.3f} s  p50 {p50:8.1f}  p99 {p99:8.1f} ms"
                    print(f"{title:24} {name:20} {times}  {dict(got.wrong) or ''}", flush=True)
    finally:
        for peer in peers.values():
            peer.stop()
    print(f"\n| burst | peer | wall s | of {PLAIN} | p50 ms | p99 ms | not right |")
    print("|---|---|--:|--:|--:|--:|--:|")
    for (title, name), rounds in sorted(results.items()):
        wall = median(r.wall_s for r in rounds)
        plain = results[title, PLAIN]
        ratio = median(r.wall_s / p.wall_s for r, p in zip(rounds, plain, strict=True))
        p50, p99 = (median(r.percentile_ms(share) for r in rounds) for share in (0.5, 0.99))
        wrong = sum(r.wrong.total() for r in rounds)
        print(f"| {title} | {name} | {wall:.3f} | {ratio:.2f} | {p50:.1f} | {p99:.1f} | {wrong} |")
    if any(r.wrong for rounds in results.values() for r in rounds):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
