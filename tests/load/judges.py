"""What a small judge is worth: expectation against the likeliest level, and seats against answers.

    python examples/judges/weights.py
    python -m tests.load.judges

60 pairs of a right and a broken answer, made from facts, so the figures compare ways of reading one
model; they say nothing of a judge's quality on real responses.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rewardplane.config.load import load
from rewardplane.models.loading import load_model
from rewardplane.rewards import Content, Example, Part, Response, Score
from rewardplane.rewards.registry import build
from rewardplane.rewards.run import Clip, run_items_async

CONFIG = Path(__file__).parents[2] / "examples" / "judges" / "rewards.yaml"
FACTS = {
    "capital of France": "Paris",
    "capital of Japan": "Tokyo",
    "capital of Italy": "Rome",
    "largest planet": "Jupiter",
    "chemical symbol of gold": "Au",
    "author of Hamlet": "Shakespeare",
    "colour of a ripe banana": "yellow",
    "number of days in a week": "seven",
    "animal that barks": "dog",
    "opposite of hot": "cold",
    "frozen form of water": "ice",
    "star at the centre of our system": "Sun",
}
ASK = {
    "kind": "score",
    "instructions": "How well does the response answer the prompt?",
    "levels": [1, 2, 3, 4, 5],
}


def pairs() -> list[tuple[str, str, str]]:
    """(prompt, right answer, broken answer): shuffled, cut, repeated, rude, off the topic."""
    rng = random.Random(3)
    found: list[tuple[str, str, str]] = []
    for what, answer in FACTS.items():
        right = f"The {what} is {answer}."
        words = right.split()
        rng.shuffle(words)
        rude = f"You fool, look up the {what} yourself."
        cut, other = right[: len(right) // 3], "The weather is nice today."
        broken = (" ".join(words), cut, "banana " * 6, rude, other)
        found += [(f"What is the {what}?", right, text) for text in broken]
    return found


async def scores(reward: Any, prompt: str, texts: Sequence[str], *, together: bool) -> list[Score]:
    """Of the texts, in one call or each in its own."""
    example = Example([Content("user", [Part(prompt)])])
    items = [(example, Response(text)) for text in texts]
    calls = [items] if together else [[item] for item in items]
    found = [one for call in calls for one in await run_items_async(reward, call, Clip(), 300)]
    return [one for one in found if isinstance(one, Score)]


def better(first: float, second: float) -> float:
    """1, 0, or a half where they are equal."""
    return (first > second) + 0.5 * (first == second)


async def main() -> None:
    """Prints the figures."""
    loaded = await load_model(load(CONFIG).models["judge"])
    judge = build("judge", {"model": "judge", "ask": ASK, "min_label_mass": 0.001})
    compare = build("pairwise", {"model": "judge", "min_label_mass": 0.001})
    for reward in (judge, compare):
        reward.bind(loaded.model)
    expected = likeliest = flipped = said_a = right = 0.0
    cases = pairs()
    for prompt, good, bad in cases:
        rated = await scores(judge, prompt, (good, bad), together=False)
        expected += better(*(one.reward for one in rated))
        probs = [one.judgements[0].probs for one in rated]
        likeliest += better(*(float(max(share, key=lambda label: share[label])) for share in probs))
        compared = await scores(compare, prompt, (good, bad), together=True)
        first = [one.probs["A"] > 0.5 for one in compared[0].judgements]
        flipped += first[0] == first[1]
        said_a += sum(first) / 2
        right += compared[0].reward > 0.5
    n = len(cases)
    print(
        f"{n} pairs by rating: expectation {expected / n:.2f}, likeliest level {likeliest / n:.2f}"
    )
    print(
        f"{n} pairs by comparing: says A {said_a / n:.2f}, changes its mind with the seats"
        f" {flipped / n:.2f}, right over both seats {right / n:.2f}"
    )
    await loaded.close()


if __name__ == "__main__":
    asyncio.run(main())
