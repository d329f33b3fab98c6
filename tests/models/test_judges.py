"""Judges behind a gateway, without Ray: much that breaks, and one limit for all who ask."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections import Counter
from typing import Any

import pytest
from rewardplane.client.client import RewardClient
from rewardplane.config.load import ConfigError, parse
from rewardplane.rewards import Content, Example, Group, Part, Response, Score

from ..support.endpoint_server import FEATURES, WAYS, EndpointServer, serving
from ..support.rig import FOLDER
from .hosting import Hosts

GOOD = {"kind": "judge", "model": "m", "ask": "Is it good?"}


def served(endpoint: EndpointServer) -> Hosts:
    """A gateway over a model that is the endpoint, and a judge."""
    own = {"runs": "endpoint", "base_url": endpoint.base_url, "name": "x"}
    models = {"m": {**own, "requests_per_minute": 6_000}}
    return Hosts({"models": models, "rewards": {"good": GOOD}})


async def test_a_thousand_items_and_a_limit_for_all_clients() -> None:
    """30 % broken in ten ways, by eight clients: nothing invented, nothing lost."""
    chosen = random.Random(5).sample(range(1000), 300)
    way_of = {index: WAYS[place % len(WAYS)] for place, index in enumerate(chosen)}

    def number(text: str) -> int:
        return int((re.search(r"item (\d+)\.", text) or ["", "1000"])[1])

    async with serving(FEATURES - {"logprob_token_ids"}) as endpoint, served(endpoint) as rig:
        endpoint.times_s.clear()
        endpoint.breaks = lambda text: way_of.get(number(text), "")
        endpoint.prefer = lambda text: 0.2 + 0.6 * number(text) / 1000
        example = Example([Content("user", [Part("a prompt")])])

        async def ask(part: int) -> list[Any]:
            group = Group(example, [Response(f"item {n}.") for n in range(part, 1000, 8)])
            async with RewardClient(rig.address) as client:
                (found,) = await client.score("good", [group], timeout_s=120)
            return found

        begin_s = time.monotonic()
        parts = await asyncio.gather(*(ask(part) for part in range(8)))
        took_s = time.monotonic() - begin_s
        found = {
            part + 8 * at: one for part, each in enumerate(parts) for at, one in enumerate(each)
        }
        times_s = endpoint.times_s
    wrong: Counter[str] = Counter()
    for index, one in found.items():
        if index in way_of:
            wrong[f"invented: {way_of[index]}"] += isinstance(one, Score)
        else:
            want = 0.2 + 0.6 * index / 1000
            wrong["lost"] += not (isinstance(one, Score) and abs(one.reward - want) < 1e-6)
    assert len(found) == 1000
    assert +wrong == Counter()
    print(f"{len(times_s)} calls in {took_s:.1f} s under a limit of 6,000 a minute")
    # 100 at once and 98.4 more a second, whoever asks: a loaded machine without it does 160.
    assert len(times_s) <= 100 + 98.4 * took_s


def test_a_judge_without_its_model_is_refused_by_name() -> None:
    models = {"mm": {"runs": "endpoint", "base_url": "http://x/v1", "name": "x"}}
    with pytest.raises(ConfigError, match=r"no model 'm' .* did you mean 'mm'"):
        parse({"models": models, "rewards": {"good": GOOD}}, FOLDER)
