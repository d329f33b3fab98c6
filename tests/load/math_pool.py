"""`math` over real solutions: 2 pool replicas by gRPC against the best `multiprocessing.Pool(2)`.

    python -m tests.load.math_pool [--rounds 5] [--data FILE.jsonl] [--plain] [--problems N]

Each round scores all solutions twice by each: the service, and a pool with chunks of 1, of 64 and
of the default size. Both are warm: processes are up, libraries are imported, and all items
were scored once (the service learns from that what an item costs, and the reward keeps expressions
that it has parsed; the first pass is printed too). In each round they are started anew and run one
at a time.

`--plain` scores by math-verify as it comes: milliseconds an item, where the kind `math` takes
microseconds. It shows what the service adds to rewards that cost something.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import grpc
from rewardplane.rewards.registry import build
from rewardplane.rewards.reward import Item, Reward
from rewardplane.rewards.run import Clip, run_item
from rewardplane.rewards.types import Example, Response, Score
from rewardplane.v1 import reward_service_pb2 as pb

from . import servers
from .generator import CHANNEL_OPTIONS
from .peer import Service
from .scoring import METHOD

DATA = servers.REPO.parent / "shared/data/gsm8k_model_solutions.jsonl"
CONFIG = "rewards:\n  math: {kind: math, lane: pool, replicas: 2}\n"
PLAIN_CONFIG = (
    'rewards:\n  math: {kind: python, function: "tests.load.verify:grade", replicas: 2}\n'
)
PLAIN: Mapping[str, Any] = {"function": "tests.load.verify:grade"}
CHUNKS = {"chunks of 1": 1, "chunks of 64": 64, "default chunks": None}
TIMES = 2
WARM_PASSES = 3
MAX_RATIO = 1.15
DEADLINE_S = 600

_reward: Reward | None = None
"""The reward of this process, when it is one of the pool's."""


def set_up(plain: bool) -> None:
    """Makes a process of the pool ready to score."""
    global _reward
    _reward = build("python", PLAIN) if plain else build("math", {})
    _reward.setup()


def score(item: Item) -> float | None:
    """The reward of one item, in a process of the pool."""
    assert _reward is not None
    outcome = run_item(_reward, item, Clip())
    return outcome.reward if isinstance(outcome, Score) else None


def process_id(_turn: int) -> int:
    """Which process of the pool this is; takes so long that the other one gets its turn."""
    time.sleep(0.1)
    return os.getpid()


class Solutions:
    """Problems with their solutions, from a data set's lines, each `times` times over."""

    def __init__(self, path: Path, times: int, problems: int | None):
        lines = path.read_text().splitlines()[:problems]
        self.lines = [json.loads(line) for line in lines] * times
        self.items = [
            (Example(references=line["references"]), Response(text=response["text"]))
            for line in self.lines
            for response in line["responses"]
        ]
        self.labels = [bool(r["is_correct"]) for line in self.lines for r in line["responses"]]

    def request(self) -> pb.ScoreRequest:
        """One call with all of them."""
        return pb.ScoreRequest(
            reward="math",
            groups=[
                pb.Group(
                    example=pb.Example(references=line["references"]),
                    responses=[pb.Response(text=r["text"]) for r in line["responses"]],
                )
                for line in self.lines
            ],
        )


def by_service(solutions: Solutions, plain: bool) -> tuple[float, float, list[float | None]]:
    """Seconds of the first pass, the median of those after it, and the rewards.

    A pass is timed from the first message built to the last outcome read.
    """
    service = Service("rewardplane", config=PLAIN_CONFIG if plain else CONFIG)
    service.start()
    try:
        with grpc.insecure_channel(service.address, options=CHANNEL_OPTIONS) as channel:
            send = channel.unary_unary(METHOD)

            def score_all() -> list[float | None]:
                raw = solutions.request().SerializeToString()
                reply = pb.ScoreResponse.FromString(send(raw, timeout=DEADLINE_S))
                return [
                    o.score.reward if o.WhichOneof("result") == "score" else None
                    for group in reply.groups
                    for o in group.outcomes
                ]

            return _timed(score_all)
    finally:
        service.stop()


def by_pool(
    solutions: Solutions, chunk: int | None, plain: bool
) -> tuple[float, float, list[float | None]]:
    """As `by_service`, by `Pool.map`."""
    with multiprocessing.get_context("spawn").Pool(2, set_up, (plain,)) as pool:
        while len(set(pool.map(process_id, range(2), 1))) < 2:
            pass  # the constructor does not wait for its processes
        return _timed(lambda: pool.map(score, solutions.items, chunk))


def _timed(
    score_all: Callable[[], list[float | None]],
) -> tuple[float, float, list[float | None]]:
    seconds: list[float] = []
    rewards: list[float | None] = []
    for _ in range(1 + WARM_PASSES):
        begin = time.perf_counter()
        rewards = score_all()
        seconds.append(time.perf_counter() - begin)
    return seconds[0], median(seconds[1:]), rewards


def agreement(rewards: Sequence[float | None], labels: Sequence[bool]) -> int:
    """How many rewards say what the labels say; one that is missing never does."""
    return sum(r is not None and (r > 0.5) == w for r, w in zip(rewards, labels, strict=True))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--problems", type=int, help="of the data set; default: all")
    parser.add_argument("--plain", action="store_true", help="math-verify as it comes")
    args = parser.parse_args()
    solutions = Solutions(args.data, TIMES, args.problems)
    labels: list[bool] | None = None if args.plain else solutions.labels
    print(f"{len(solutions.items):,} items, {args.rounds} rounds")
    ways = {"service": lambda: by_service(solutions, args.plain)} | {
        name: lambda chunk=chunk: by_pool(solutions, chunk, args.plain)
        for name, chunk in CHUNKS.items()
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    firsts: dict[str, list[float]] = {name: [] for name in ways}
    disagreed = False
    for turn in range(args.rounds):
        for name in sorted(ways, key=lambda n: (list(ways).index(n) - turn) % len(ways)):
            first, seconds, rewards = ways[name]()
            times[name].append(seconds)
            firsts[name].append(first)
            # math-verify itself misses some answers: then all must miss the same.
            labels = labels or [r == 1.0 for r in rewards]
            agreed = agreement(rewards, labels)
            disagreed |= agreed != len(labels)
            print(
                f"  {name:14} {seconds:7.3f} s  {len(rewards) / seconds:7,.0f} items/s  "
                f"{agreed:,} of {len(rewards):,} as labelled; the first pass took {first:.3f} s",
                flush=True,
            )
    _ratio("first pass", firsts)
    ratio = _ratio("warm", times)
    if ratio > MAX_RATIO or disagreed:
        sys.exit("MISSED")


def _ratio(what: str, times: dict[str, list[float]]) -> float:
    medians = {name: median(seconds) for name, seconds in times.items()}
    best = min(CHUNKS, key=medians.__getitem__)
    ratio = medians["service"] / medians[best]
    print(f"{what}: { ({name: round(seconds, 3) for name, seconds in medians.items()}) }")
    print(f"{what}: service / best Pool(2) ({best}): {ratio:.3f} (warm: at most {MAX_RATIO})")
    return ratio


if __name__ == "__main__":
    main()
