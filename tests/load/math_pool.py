"""`math` over real solutions: 2 pool replicas by gRPC against the best `multiprocessing.Pool(2)`.

    python -m tests.load.math_pool [--rounds 25] [--data FILE.jsonl] [--plain] [--problems N]

Each round scores all solutions twice over by each, one after the other: the service, as a trainer
calls it, by `SyncRewardClient`, and a pool with chunks of 1, of 64 and of the default size. Groups
are made within the service's clock; the pool's items were made before. A ratio is the median of
those of the rounds: what the machine gives changes from minute to minute. While the pool works the
service's processes are stopped (SIGSTOP), as Ray is never quite at rest. Both are warm: all items
were scored `WARM_ROUNDS` times (the service learns from that what an item costs, and the reward
keeps expressions that it has parsed; the first pass is printed too).

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
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from rewardplane.client import SyncRewardClient
from rewardplane.rewards.registry import build
from rewardplane.rewards.reward import Item, Reward
from rewardplane.rewards.run import Clip, run_item
from rewardplane.rewards.types import Example, Group, Response, Score

from . import servers
from .peer import SETTLE_S, Service

DATA = servers.REPO.parent / "shared/data/gsm8k_model_solutions.jsonl"
CONFIG = "rewards:\n  math: {kind: math, lane: pool, replicas: 2}\n"
PLAIN_CONFIG = (
    'rewards:\n  math: {kind: python, function: "tests.load.verify:grade", replicas: 2}\n'
)
PLAIN: Mapping[str, Any] = {"function": "tests.load.verify:grade"}
CHUNKS = {"chunks of 1": 1, "chunks of 64": 64, "default chunks": None}
TIMES = 2
WARM_ROUNDS = 5
MAX_RATIO = 1.2
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

    def groups(self) -> list[Group]:
        """All of them, as a trainer makes them anew for each call."""
        return [
            Group(
                Example(references=line["references"]),
                [Response(text=response["text"]) for response in line["responses"]],
            )
            for line in self.lines
        ]


def by_service(client: SyncRewardClient, solutions: Solutions) -> list[float | None]:
    """The rewards of one call with all of them."""
    scores = client.score("math", solutions.groups(), timeout_s=DEADLINE_S)
    return [o.reward if isinstance(o, Score) else None for group in scores for o in group]


def agreement(rewards: Sequence[float | None], labels: Sequence[bool]) -> int:
    """How many rewards say what the labels say; one that is missing never does."""
    return sum(r is not None and (r > 0.5) == w for r, w in zip(rewards, labels, strict=True))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--problems", type=int, help="of the data set; default: all")
    parser.add_argument("--plain", action="store_true", help="math-verify as it comes")
    args = parser.parse_args()
    solutions = Solutions(args.data, TIMES, args.problems)
    labels: list[bool] | None = None if args.plain else solutions.labels
    print(f"{len(solutions.items):,} items, {args.rounds} rounds")
    service = Service("rewardplane", config=PLAIN_CONFIG if args.plain else CONFIG)
    service.start()
    try:
        with (
            SyncRewardClient(service.address) as client,
            multiprocessing.get_context("spawn").Pool(2, set_up, (args.plain,)) as pool,
        ):
            while len(set(pool.map(process_id, range(2), 1))) < 2:
                pass  # the constructor does not wait for its processes
            ways: dict[str, Callable[[], list[float | None]]] = {
                "service": partial(by_service, client, solutions)
            }
            for name, chunk in CHUNKS.items():
                ways[name] = partial(pool.map, score, solutions.items, chunk)
            times = _by_turns(service, ways, args.rounds, labels)
    finally:
        service.stop()
    first = {name: round(taken[0], 3) for name, taken in times.items()}
    warm = {name: taken[1 + WARM_ROUNDS :] for name, taken in times.items()}
    print(f"first pass: {first}")
    print(f"warm: { ({name: round(median(taken), 3) for name, taken in warm.items()}) }")
    best = min(CHUNKS, key=lambda name: median(warm[name]))
    ratio = median(one / other for one, other in zip(warm["service"], warm[best], strict=True))
    print(f"warm: service / best Pool(2) ({best}): {ratio:.3f} (at most {MAX_RATIO})")
    if ratio > MAX_RATIO:
        sys.exit("MISSED")


def _by_turns(
    service: Service,
    ways: Mapping[str, Callable[[], list[float | None]]],
    rounds: int,
    labels: Sequence[bool] | None,
) -> dict[str, list[float]]:
    """Seconds of each pass of each way. Exits where one does not say what the labels say."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(1 + WARM_ROUNDS + rounds):
        for name, score_all in ways.items():
            is_service = name == "service"
            with nullcontext() if is_service else service.running.suspended():
                begin_s = time.perf_counter()
                rewards = score_all()
                times[name].append(time.perf_counter() - begin_s)
            # math-verify itself misses some answers: then all must miss the same.
            labels = labels or [reward == 1.0 for reward in rewards]
            if (agreed := agreement(rewards, labels)) < len(labels):
                sys.exit(f"{name}: {agreed:,} of {len(labels):,} rewards as labelled")
            if not is_service:
                time.sleep(SETTLE_S)
    return times


if __name__ == "__main__":
    main()
