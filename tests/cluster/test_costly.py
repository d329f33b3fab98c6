"""Answers without end among good ones, on a real Ray cluster: nobody else pays for them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import aiohttp
import pytest
from rewardplane.client.client import RewardClient
from rewardplane.rewards import Example, Group, Response, Score

if TYPE_CHECKING:
    from .conftest import Service

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

GOOD, SIZE, COSTLY = 2_000, 8, 200
# Of the review's M14, with numbers that no cache has seen; the integral alone costs a second.
KINDS = [
    *("{n}^{{9^9}}", "{n}9999999!", "1{n}^{{10^{{10}}}}", r"\sum_{{n={n}}}^{{10^9}} 1/n^2"),
    *("(x+{n})^{{100000}}", "(x+y+z+{n}w)^{{200}}", r"\binom{{10^8}}{{{n}·10^7}}"),
]
INTEGRAL = r"\int_0^{n} e^{{-x^2}}\sin x^3"
INTEGRALS = 8


def costly() -> list[str]:
    kinds = [INTEGRAL] * INTEGRALS + [KINDS[i % len(KINDS)] for i in range(COSTLY - INTEGRALS)]
    return [rf"So it is \boxed{{{kind.format(n=i + 3)}}}." for i, kind in enumerate(kinds)]


def good() -> list[Group]:
    """Groups of eight answers, of which every third is wrong."""
    groups: list[Group] = []
    for at in range(0, GOOD, SIZE):
        gold = f"{at}/7"
        said = [rf"\frac{{{at}}}{{7}}" if i % 3 else str(at + i + 1) for i in range(SIZE)]
        texts = [rf"I think that it is \boxed{{{answer}}}." for answer in said]
        groups.append(Group(Example(references={"answer": gold}), [Response(t) for t in texts]))
    return groups


async def restarts(service: Service) -> dict[str, float]:
    """The worker processes of `math` that ended and were replaced, by cause."""
    url = f"http://127.0.0.1:{service.metrics_port}/metrics"
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        text = await answer.text()
    found = re.findall(r"rewardplane_worker_restarts_total{(.*?)} (\S+)", text)
    return {labels: float(count) for labels, count in found if 'reward="math"' in labels}


async def test_good_items_do_not_pay_for_costly_ones(service: Service) -> None:
    groups = good()
    async with RewardClient(service.address) as client:
        clean = await client.score("math", groups, timeout_s=120)
        before = await restarts(service)
        # A costly answer beside every tenth good one, in the groups of these.
        mixed = [Group(g.example, list(g.responses)) for g in groups]
        for i, text in enumerate(costly()):
            responses = mixed[i * len(mixed) // COSTLY].responses
            assert isinstance(responses, list)
            responses.append(Response(text))
        scores = await client.score("math", mixed, timeout_s=240)
        after = await restarts(service)
    for given, was, now in zip(groups, clean, scores, strict=True):
        n = len(given.responses)
        assert now[:n] == was
        assert all(isinstance(score, Score) and score.reward == 0.0 for score in now[n:])
    rewards = [score.reward for group in clean for score in group if isinstance(score, Score)]
    assert (len(rewards), sum(map(len, scores))) == (GOOD, GOOD + COSTLY)
    assert 0.4 < sum(rewards) / GOOD < 0.8
    assert after == before, "a worker was lost"
