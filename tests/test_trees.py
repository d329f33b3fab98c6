"""The trees of processes that the benchmarks and campaigns start while they make calls."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from rewardplane.client.client import RewardClient
from rewardplane.config.load import parse
from rewardplane.rewards import Example, Group, Response

from .load.servers import Tree
from .support.rig import FOLDER, Rig


async def test_a_process_starts_while_calls_are_made(tmp_path: Path) -> None:
    """What gRPC does in a child between fork and exec crashed one in twelve, without a word."""
    config = parse({"rewards": {"exact": {"kind": "exact"}}}, FOLDER)
    group = Group(Example(references={"answer": "a"}), [Response("a")] * 4)
    ends: Counter[tuple[int | None, str]] = Counter()
    over = asyncio.Event()
    async with Rig(config, None) as it, RewardClient(it.address) as client:

        async def load() -> None:
            while not over.is_set():
                await client.score("exact", [group], timeout_s=60)

        async with asyncio.TaskGroup() as loads:
            for _ in range(4):
                loads.create_task(load())
            for number in range(25):
                await asyncio.sleep(0.01)
                tree = Tree(["sh", "-c", "echo hello; exit 7"], {}, tmp_path / f"{number}")
                while tree.alive():
                    await asyncio.sleep(0.005)
                ends[tree.end, tree.log_tail] += 1
            over.set()
    assert ends == {(7, "hello"): 25}
