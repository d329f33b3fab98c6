"""Models under load: `python -m tests.load.gpu [--scalar DIR] [--chat DIR] [--device cuda]`.

On a GPU, or on a CPU with small models that it makes itself. It prints one table: parity with the
bare model, items a second against the bare forward pass at its best packing, noise by the shape of
a batch and, on a GPU, the memory and the start of two engines on one card. With vLLM installed and
`--chat`, the judge against the bare `AsyncLLM`. Less than ten minutes.

What is compared runs by turns: a ratio is the median of those of the rounds, as others may use the
machine. On a CPU all forward passes have one thread; a second core is for all that is around them.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import itertools
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

from rewardplane.client.client import RewardClient
from rewardplane.cluster.cluster import Cluster
from rewardplane.config.load import ServiceConfig, parse
from rewardplane.host.options import Options
from rewardplane.models.batcher import Ask
from rewardplane.models.hf import About
from rewardplane.models.loading import Loaded, load_model
from rewardplane.rewards import Content, Example, Group, Part, Response, Score
from rewardplane.rewards.models.asking import asked
from rewardplane.rewards.models.model import Label, LabelQuestion
from rewardplane.rewards.models.question import Sampling

from ..models.weights.tiny import make
from .scalar_peers import Peer, running

BUDGETS = (1_024, 2_048, 4_096, 8_192, 16_384, 32_768, 65_536)
BARE = "bare, best packing"
GROUP = 16
ROUNDS = 5
CALLS = 3
WHICH = LabelQuestion("choice", "Which?", (Label("A"), Label("B")))
PASS_S = 20.0
"""A budget that takes longer than this is the last one that is tried."""


def texts(count: int, longest: int) -> list[str]:
    """Answers of log-normal length, as models write them, all different."""
    rng = random.Random(0)
    words = ["what", "is", "a", "good", "answer", "yes", "no", "lazy", "dog"]
    sizes = [min(longest, max(1, int(rng.lognormvariate(3.6, 0.8)))) for _ in range(count)]
    return [" ".join([str(n), *rng.choices(words, k=size)]) for n, size in enumerate(sizes)]


def prompt(call: int) -> str:
    """That of a call: equal items in flight are asked once, and are not to be equal."""
    return f"a prompt {chr(ord('a') + call)}"


def conversation(answer: str) -> list[dict[str, Any]]:
    """An answer to the prompt of the first call."""
    return [{"role": "user", "content": prompt(0)}, {"role": "assistant", "content": answer}]


def groups(answers: Sequence[str], call: int) -> list[Group]:
    """The answers as groups of one prompt."""
    example = Example([Content("user", [Part(prompt(call))])])
    cut = range(0, len(answers), GROUP)
    return [Group(example, [Response(a) for a in answers[i : i + GROUP]]) for i in cut]


def configured(models: dict[str, Any], **rewards: Any) -> ServiceConfig:
    """A configuration of these models; rewards without any are there to be valid."""
    return parse({"models": models, "rewards": rewards or {"none": {"kind": "exact"}}}, Path("/"))


@contextmanager
def served(config: ServiceConfig) -> Iterator[tuple[Cluster, str]]:
    """A service on a Ray of its own."""
    cluster = Cluster(Options(port=0, metrics_port=0))
    cluster.start(config)
    try:
        yield cluster, cluster.addresses()[0]
    finally:
        cluster.stop()


def tell(what: str, value: str) -> None:
    """Prints a row."""
    print(f"| {what} | {value} |", flush=True)


# ---- a scalar head -----------------------------------------------------------------------------


def pack(asks: Sequence[Ask], budget_tokens: int, max_items: int) -> list[list[Ask]]:
    """All at once at their best: neighbours in length, their longest times their number within the
    budget."""
    batches: list[list[Ask]] = []
    for ask in sorted(asks, key=lambda ask: ask.tokens, reverse=True):
        batch = batches[-1] if batches else []
        # Sorted: the first of a batch is its longest.
        if batch and len(batch) < max_items and batch[0].tokens * (len(batch) + 1) <= budget_tokens:
            batch.append(ask)
        else:
            batches.append([ask])
    return batches


class Bare:
    """The bare model in this process: its numbers, and its rates by the way batches are made."""

    def __init__(self, loaded: Loaded, answers: list[str]) -> None:
        self.loaded = loaded
        self.engine = loaded.inner.engine
        self.engine._use_cpus()
        prompter = loaded.inner.prompter
        self.rows = [prompter.prompt(conversation(a), asks=False).ids for a in answers]
        about, nobody = About(None), cast("Any", None)
        self.asks = [Ask("score", row, about, nobody, (0, 0), len(row)) for row in self.rows]

    def packed(self, budget: int) -> list[list[Ask]]:
        """The best batches of all at once."""
        return pack(self.asks, budget, 512)

    def fixed(self, size: int) -> list[Sequence[Ask]]:
        """Batches of one size, as the texts come."""
        return [self.asks[i : i + size] for i in range(0, len(self.asks), size)]

    def seconds(self, batches: Sequence[Sequence[Ask]]) -> float:
        """What a forward pass over each takes together."""
        begin_s = time.perf_counter()
        for batch in batches:
            self.engine.run_pass("score", batch)
        return time.perf_counter() - begin_s

    def best_budget(self) -> int:
        """The budget of padded tokens with the best rate; prints what was tried."""
        rates: dict[int, float] = {}
        for budget in BUDGETS:
            batches = self.packed(budget)
            rates[budget] = len(self.asks) / self.seconds(batches)
            if len(self.asks) / rates[budget] > PASS_S or rates[budget] < 0.7 * max(rates.values()):
                break
        found = ", ".join(f"{b}: {r:.0f}" for b, r in rates.items())
        tell("bare forward pass, items/s by budget", found)
        return max(rates, key=rates.__getitem__)


def noise(bare: Bare) -> str:
    """How far one item's number moves with what else is in its batch."""
    rows = bare.rows[:32]
    alone = [bare.engine.scores([row])[0] for row in rows]
    together = [bare.engine.scores(rows), bare.engine.scores(rows[:8])]
    worst = max(abs(a - b) for shape in together for a, b in zip(alone, shape, strict=False))
    return f"{worst / (max(alone) - min(alone)):.2g}"


async def calls(address: str, answers: list[str], count: int) -> tuple[list[float], float]:
    """The rewards of one call, and items a second of `count` calls, two of them in flight."""
    sent = [groups(answers, call) for call in range(count)]
    async with RewardClient(address) as client:
        begin_s = time.perf_counter()
        left = iter(range(count))
        results: dict[int, Any] = {}

        async def some() -> None:
            for call in left:
                results[call] = await client.score("it", sent[call], timeout_s=300)

        await asyncio.gather(*(some() for _ in range(min(2, count))))
        taken_s = time.perf_counter() - begin_s
    scores = [o for outcomes in results[0] for o in outcomes]
    assert all(isinstance(o, Score) for o in scores), scores[:3]
    rewards = [o.reward for o in scores if isinstance(o, Score)]
    return rewards, count * len(answers) / taken_s


def scalar(model: dict[str, Any], count: int, longest: int, *, peers: bool) -> None:
    """Parity and throughput of a scalar head: bare and served by turns."""
    answers = texts(count, longest)
    bare = Bare(asyncio.run(load_model(configured({"m": model}).models["m"])), answers)
    best = bare.best_budget()
    tell("noise by batch shape, of the spread", noise(bare))
    engine = {**model.get("engine", {}), "batch_tokens": best}
    served_as = {**model, "engine": engine, "determinism": "none", "in_flight": 1024}
    rates: dict[str, list[float]] = {}
    ways: dict[str, Callable[[], float]] = {
        BARE: lambda: count / bare.seconds(bare.packed(best)),
        "bare, fixed batches of 16": lambda: count / bare.seconds(bare.fixed(16)),
    }
    reward = {"kind": "reward_model", "model": "m"}
    with (
        served(configured({"m": served_as}, it=reward)) as (_, address),
        running(model["path"], peers=peers) as others,
    ):
        values, _ = asyncio.run(calls(address, answers, 1))
        ways["served through gRPC, two calls in flight"] = lambda: asyncio.run(
            calls(address, answers, CALLS)
        )[1]
        ways["served through gRPC, one call"] = lambda: asyncio.run(calls(address, answers, 1))[1]
        for name, peer in others.items():
            ways[name] = partial(_asked, peer, answers)
        for number in range(ROUNDS):
            for name, way in ways.items():
                rates.setdefault(name, []).append(way())
            shares = [f"{found[-1] / rates[BARE][-1]:.3f}" for found in rates.values()]
            print(f"round {number}: {', '.join(shares)} of the bare", file=sys.stderr, flush=True)
    wanted = [bare.engine.reference(row)[0] for row in bare.rows[:64]]
    worst = max(abs(a - b) for a, b in zip(values, wanted, strict=False))
    tell("parity through gRPC with transformers, largest difference of 64", f"{worst:.2g}")
    for name, found in rates.items():
        of = statistics.median(one / top for one, top in zip(found, rates[BARE], strict=True))
        each = ", ".join(f"{one:.0f}" for one in found)
        shown = f"{statistics.median(found):.0f}, {of:.3f} of the bare ({each})"
        tell(f"{name}, items/s", shown)
    asyncio.run(bare.loaded.close())


def _asked(peer: Peer, answers: Sequence[str]) -> float:
    return asyncio.run(peer(answers))


# ---- two engines on a card ---------------------------------------------------------------------


def two_on_a_card(model: dict[str, Any]) -> None:
    """The start of two engines at once on one card, and what they take of it."""
    half = {**model, "gpus": 0.4, "memory_gb": 20}
    models = {"one": half, "two": {**half, "max_tokens": 400}}
    rewards = {name: {"kind": "reward_model", "model": name} for name in models}
    begin_s = time.perf_counter()
    with served(configured(models, **rewards)):
        asked = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader"]
        used = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
        tell("two engines started at once on a card, s", f"{time.perf_counter() - begin_s:.1f}")
        tell("memory used by both", used)


# ---- a judge on vLLM ---------------------------------------------------------------------------


def vllm_entry(folder: Path, device: dict[str, Any], **engine: Any) -> dict[str, Any]:
    """A judge on vLLM; on a CPU as it fits there."""
    if not device.get("gpus"):
        engine |= {"enforce_eager": True, "kv_cache_memory_bytes": 2**29}
        device = {**device, "max_tokens": 1024}
    entry = {"runs": "vllm", "head": "chat", "path": str(folder.resolve()), "determinism": "none"}
    return {**entry, "engine": engine, **device}


async def vllm_judge(folder: Path, count: int, device: dict[str, Any]) -> None:
    """Label reads through the model against the bare `AsyncLLM`, 64 in flight, by turns."""
    from vllm import SamplingParams

    # Both ask the same: without its cache neither finds what the other left.
    entry = vllm_entry(folder, device, enable_prefix_caching=False)
    loaded = await load_model(configured({"m": entry}).models["m"])
    gate = asyncio.Semaphore(64)
    llm, prompter = loaded.inner.engine._llm, loaded.inner.prompter
    shown = [[{"role": "user", "content": a}] for a in texts(count, 100)]
    ids = prompter.label_ids(shown[0], ["A", "B"])
    rows = [prompter.prompt(asked(m, WHICH), asks=True, room=1).ids for m in shown]
    names = itertools.count()

    async def ours(number: int) -> None:
        async with gate:
            await loaded.model.labels(shown[number], WHICH, sampling=Sampling(), timeout_s=300)

    async def bare(number: int) -> None:
        params = SamplingParams(
            max_tokens=1, temperature=0.0, logprob_token_ids=ids, detokenize=False
        )
        prompt = {"prompt_token_ids": rows[number]}
        async with gate:
            async for _ in llm.generate(prompt, params, f"b{next(names)}"):
                pass

    rates: dict[str, list[float]] = {"bare": [], "ours": []}
    await asyncio.gather(*(bare(number) for number in range(min(64, count))))
    for _ in range(ROUNDS):
        for name, work in (("bare", bare), ("ours", ours)):
            begin_s = time.perf_counter()
            await asyncio.gather(*(work(number) for number in range(count)))
            rates[name].append(count / (time.perf_counter() - begin_s))
    each = "; ".join(f"{n} {', '.join(f'{r:.0f}' for r in found)}" for n, found in rates.items())
    pairs = zip(rates["ours"], rates["bare"], strict=True)
    ratio = statistics.median(one / top for one, top in pairs)
    tell(
        "label reads on vLLM, 64 in flight, against bare AsyncLLM", f"{ratio:.3f} ({each} items/s)"
    )
    await loaded.close()


async def vllm_prefix(folder: Path, device: dict[str, Any]) -> None:
    """24 answers to one prompt of 700 tokens, one question each: with the cache and without."""
    for caches in (False, True):
        entry = vllm_entry(folder, device, enable_prefix_caching=caches)
        loaded = await load_model(configured({"m": entry}).models["m"])
        prompter = loaded.inner.prompter
        (words,) = texts(1, 1) or [""]
        while len(prompter.encode([{"role": "user", "content": words}], asks=True)) < 700:
            words += f" {random.Random(len(words)).choice(['what', 'answer', 'lazy', 'dog'])}"

        async def read(answer: str, model: Any = loaded.model, prompt: str = words) -> None:
            message = {"role": "user", "content": f"{prompt}\n\nResponse: {answer}"}
            await model.labels([message], WHICH, sampling=Sampling(), timeout_s=300)

        await read("the first one")
        begin_s = time.perf_counter()
        await asyncio.gather(*(read(f"answer {number}") for number in range(24)))
        found = 24 / (time.perf_counter() - begin_s)
        name = "on" if caches else "off"
        tell(f"24 items on one prompt of 700 tokens, prefix cache {name}", f"{found:.1f} items/s")
        await loaded.close()


async def vllm(folder: Path, count: int, device: dict[str, Any]) -> None:
    """All of vLLM."""
    await vllm_prefix(folder, device)
    await vllm_judge(folder, count, device)


def main() -> None:
    """Runs what this machine can."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scalar", type=Path, help="a folder of weights; none: a tiny model")
    parser.add_argument("--chat", type=Path, help="a folder of weights for vLLM")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--items", type=int, default=1024)
    parser.add_argument("--longest", type=int, default=300, help="words of an answer at most")
    parser.add_argument("--width", type=int, default=256, help="of the model that it makes")
    parser.add_argument("--layers", type=int, default=4, help="of the model that it makes")
    parser.add_argument("--only", choices=("scalar", "vllm"), help="one of the two halves")
    parser.add_argument("--peers", action="store_true", help="beside `@serve.batch` and FastAPI")
    options = parser.parse_args()
    if options.only == "vllm" and not options.chat:
        parser.error("--only vllm wants --chat")
    # As in a replica, before torch comes: threads that wait sleep.
    os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
    device: dict[str, Any] = {"dtype": options.dtype}
    device |= {"gpus": 1} if options.device == "cuda" else {}
    print("| what | measured |\n|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        if options.only == "vllm":
            asyncio.run(vllm(options.chat, options.items, device))
            return
        size = {"width": options.width, "layers": options.layers}
        folder = options.scalar or make(Path(scratch), "scalar", **size)
        model = {"runs": "hf", "head": "scalar", "path": str(folder), **device}
        made = f"Qwen3 of {options.layers} layers, {options.width} wide, random weights"
        tell("scalar model", f"{options.scalar or made}; {options.device}")
        scalar(model, options.items, options.longest, peers=options.peers)
        if options.device == "cuda":
            two_on_a_card(model)
    if options.chat and not options.only and importlib.util.find_spec("vllm"):
        asyncio.run(vllm(options.chat, options.items, device))


if __name__ == "__main__":
    main()
