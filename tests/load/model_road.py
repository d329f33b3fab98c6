"""What the way to a model adds to its forward passes: `python -m tests.load.model_road`.

The device sleeps for the padded tokens of a pass and takes no CPU, as a GPU does. Client, gateway
and the model's host are in this process. Printed: the rate against that of the best packing of each
call alone, and where the rest of the time is: more padding, or a device that stands still. Sleeping
late on a busy machine counts as neither. Wants `tokenizers` and `transformers`.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from typing import Any, cast

import uvloop
from rewardplane.client.client import RewardClient
from rewardplane.config.models import ModelConfig
from rewardplane.models import host as host_module
from rewardplane.models.batcher import Ask, Batcher
from rewardplane.models.engine import EngineModel
from rewardplane.models.hf import SWITCH_S
from rewardplane.models.loading import Loaded
from rewardplane.models.prompts import Prompter
from rewardplane.replica.memory import collect_seldom
from rewardplane.rewards import Score
from rewardplane.rewards.models.model_facts import ModelFacts

from ..models.hosting import RM, STUB, Hosts
from ..models.weights.tiny import TEMPLATE, tokenizer_of
from .gpu import conversation, groups, pack, texts

PASS_S = 0.001
MOST = 512


class Sleeper:
    """An engine whose passes take their time and nothing else."""

    facts = ModelFacts("sleeper", engine="sleeper", dtype="float32")
    broken = ""

    def __init__(self, tokens_per_s: float, budget: int) -> None:
        self._tokens_per_s = tokens_per_s
        self.batcher = Batcher(self._pass, budget, MOST)
        self.passes: list[tuple[float, float, int]] = []
        """When each began and ended, and its padded tokens."""

    def seconds(self, batch: Sequence[Ask]) -> float:
        """What a pass over the batch takes."""
        return PASS_S + max(ask.tokens for ask in batch) * len(batch) / self._tokens_per_s

    async def score(self, ids: Sequence[int], media: Any = None) -> float:
        """The number of ids."""
        return cast("float", await self.batcher.ask("score", ids, media))

    async def close(self) -> None:
        """Ends."""
        await self.batcher.close()

    def _pass(self, _kind: str, batch: Sequence[Ask]) -> list[float]:
        begin_s = time.perf_counter()
        wanted_s = self.seconds(batch)
        time.sleep(wanted_s)
        self.passes.append((begin_s, time.perf_counter(), round(1e6 * wanted_s)))
        return [float(len(ask.ids)) for ask in batch]


async def _no_test(*_: Any) -> list[Any]:
    return []


async def measure(tokens_per_s: float, items: int, budget: int, calls: int) -> None:
    """Prints the figures of so many calls, two of them in flight."""
    answers = texts(items, 100)
    tokenizer = tokenizer_of()
    tokenizer.chat_template = TEMPLATE.replace("{% if bos %}", "{% if false %}")
    prompter = Prompter(tokenizer, 4_096, cuts=False)
    engine = Sleeper(tokens_per_s, budget)

    async def load(_config: ModelConfig) -> Loaded:
        return Loaded(_config, EngineModel("m", "scalar", cast("Any", engine), prompter))

    rows = [prompter.prompt(conversation(answer), asks=False).ids for answer in answers]
    nobody = cast("Any", None)
    asks = [Ask("score", row, None, nobody, (0, 0), len(row)) for row in rows]
    best_s = calls * sum(engine.seconds(batch) for batch in pack(asks, budget, MOST))
    model = {**STUB, "determinism": "none", "in_flight": 1_024}
    hosts = Hosts({"models": {"m": model}, "rewards": {"it": RM}})
    hosts.hosts["m"]._load = load
    sys.setswitchinterval(SWITCH_S)  # as the engine on transformers does
    cast("Any", host_module).self_test = _no_test
    async with hosts as rig, RewardClient(rig.address) as client:
        await client.score("it", groups(answers[:32], 25), timeout_s=60)
        engine.passes.clear()
        collect_seldom()  # as a replica does
        left = iter([groups(answers, call) for call in range(calls)])
        begin_s = time.perf_counter()

        async def some() -> None:
            for sent in left:
                found = await client.score("it", sent, timeout_s=300)
                assert all(isinstance(one, Score) for outcomes in found for one in outcomes)

        await asyncio.gather(some(), some())
        took_s = time.perf_counter() - begin_s
    busy_s = sum(end - begin for begin, end, _ in engine.passes)
    wanted_s = sum(us for *_, us in engine.passes) / 1e6
    stood_s = engine.passes[-1][1] - engine.passes[0][0] - busy_s
    print(f"{calls} calls of {items}: {calls * items / took_s:.0f} items/s")
    print(f"of the best packing: {best_s / took_s:.3f}; without sleeping late", end=" ")
    print(f"{best_s / (took_s - busy_s + wanted_s):.3f}")
    print(f"device time against the best packing: {wanted_s / best_s:.3f}")
    print(f"stood still between passes: {stood_s / took_s:.3f} of the time")
    print(f"before the first pass: {engine.passes[0][0] - begin_s:.2f} s of {took_s:.2f}")


def main() -> None:
    """Measures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens-per-s", type=float, default=30_000)
    parser.add_argument("--items", type=int, default=512)
    parser.add_argument("--budget", type=int, default=2_048)
    parser.add_argument("--calls", type=int, default=8)
    given = parser.parse_args()
    uvloop.run(measure(given.tokens_per_s, given.items, given.budget, given.calls))


if __name__ == "__main__":
    main()
