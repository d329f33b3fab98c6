"""`rewardplane demo`: the whole way on this machine, on real model solutions with known labels."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from rewardplane.client.client import RewardClient
from rewardplane.cluster.cluster import Cluster
from rewardplane.config.load import parse
from rewardplane.host.options import Options
from rewardplane.rewards.types import Outcome, Score
from rich.console import Console
from rich.table import Table

from .dataset import Line, read
from .score_file import percentile

SAMPLE = "demo_data/gsm8k_sample.jsonl"
REWARD = "gsm8k"
CONFIG = {"rewards": {REWARD: {"kind": "math", "replicas": 2, "timeout_s": 10}}}
ROUNDS = 3
STOP_S = 5.0
BAR_CHARS = 40


def run(port: int, console: Console) -> bool:
    """Serves, scores, shows; True when all solutions are judged as labelled and the end is clean.

    `port` 0: any free one.
    """
    path = Path(str(files("rewardplane.cli").joinpath(SAMPLE)))
    lines = list(read(path))
    cluster = Cluster(Options(port=port, metrics_port=0))
    console.print("starting Ray, 2 replicas of [b]math[/b] and a gateway …")
    begin_s = time.perf_counter()
    cluster.start(parse(CONFIG, path.parent))
    (address,) = cluster.addresses()
    console.print(f"serving on {address} after {time.perf_counter() - begin_s:.1f} s")
    try:
        agreed = asyncio.run(_score(address, lines, console))
    finally:
        begin_s = time.perf_counter()
        cluster.stop()
        stop_s = time.perf_counter() - begin_s
    console.print(f"stopped in {stop_s:.1f} s")
    return agreed and stop_s < STOP_S


async def _score(target: str, lines: Sequence[Line], console: Console) -> bool:
    labels = [bool(r["is_correct"]) for line in lines for r in line.raw["responses"]]
    call_s: list[float] = []
    rounds_s: list[float] = []
    outcomes: list[Outcome] = []

    async def call(client: RewardClient, line: Line) -> Sequence[Outcome]:
        begin_s = time.perf_counter()
        (group,) = await client.score(REWARD, [line.group], timeout_s=60)
        call_s.append(time.perf_counter() - begin_s)
        return group

    async with RewardClient(target) as client:
        for _ in range(ROUNDS):
            begin_s = time.perf_counter()
            groups = await asyncio.gather(*(call(client, line) for line in lines))
            rounds_s.append(time.perf_counter() - begin_s)
            outcomes = [outcome for group in groups for outcome in group]
    agreed = sum(_agrees(o, label) for o, label in zip(outcomes, labels, strict=True))
    errors = sum(not isinstance(o, Score) for o in outcomes)
    table = Table("", "", show_header=False, title=f"{len(labels)} solutions of GSM8K problems")
    table.add_row("agree with their label", f"{agreed} of {len(labels)}")
    table.add_row("errors", str(errors))
    table.add_row("throughput", f"{len(labels) / min(rounds_s):,.0f} items/s")
    for share in (50, 90, 99):
        table.add_row(f"call latency p{share}", f"{percentile(call_s, share) * 1000:.0f} ms")
    console.print(table)
    _histogram([o.reward for o in outcomes if isinstance(o, Score)], console)
    return agreed == len(labels) and not errors


def _agrees(outcome: Outcome, label: bool) -> bool:
    return isinstance(outcome, Score) and (outcome.reward > 0.5) == label


def _histogram(rewards: Sequence[float], console: Console) -> None:
    counts = Counter(round(reward, 1) for reward in rewards)
    most = max(counts.values(), default=1)
    for reward in sorted(counts):
        bar = "█" * max(1, counts[reward] * BAR_CHARS // most)
        console.print(f"reward {reward:5.1f} {bar} {counts[reward]}")
