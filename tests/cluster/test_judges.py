"""Judges on a real Ray cluster: one door to an endpoint, whatever asks by it and however much."""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from rewardplane.client.client import RewardClient
from rewardplane.config.load import parse
from rewardplane.rewards import Content, Example, Group, Part, Reason, Response, Score, ScoreError

from ..support.endpoint_server import FEATURES, WAYS, EndpointServer, serving
from .conftest import FOLDER, rewards

if TYPE_CHECKING:
    from .conftest import Service

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

FLASH = "gemini-2.5-flash"
RATER = {
    "autoraterPrompt": "Rate {{response}}.",
    "autoraterConfig": {"autoraterModel": f"publishers/google/models/{FLASH}", "samplingCount": 1},
    "parsedResponseConversionScorer": {},
}
GRADER = {
    "type": "score_model",
    "name": "s",
    "model": FLASH,
    "input": [{"role": "user", "content": "Rate {{ sample.output_text }}"}],
}
ASKING: dict[str, dict[str, Any]] = {
    "good": {"kind": "judge", "model": FLASH, "ask": "Is it good?"},
    "better": {"kind": "pairwise", "model": FLASH, "pairs": {"design": "all"}},
    "rubric": {"kind": "rubric", "model": FLASH, "items": [{"name": "short", "ask": "Short?"}]},
    "rater": {"kind": "gemini", "config": {"autoraterScorer": RATER}},
    "grader": {"kind": "openai_grader", "grader": GRADER},
}
GROUP = Group(
    Example([Content("user", [Part("a prompt")])]), [Response(f"quality {n}") for n in (1, 3, 2)]
)


@pytest.fixture
def serves(service: Service) -> Iterator[Callable[..., Any]]:
    """Has the service serve an endpoint as a model, and rewards that ask it; undone at the end."""

    @asynccontextmanager
    async def serve(**settings: Any) -> AsyncIterator[EndpointServer]:
        async with serving(FEATURES - {"logprob_token_ids"}) as endpoint:
            given = rewards(**ASKING)
            own = {"runs": "endpoint", "base_url": endpoint.base_url, "name": "m", "cpus": 0.1}
            given["models"] = {FLASH: {**own, **settings}}
            await asyncio.to_thread(service.cluster.reload, parse(given, FOLDER))
            endpoint.times_s.clear()
            yield endpoint

    yield serve
    service.cluster.reload(parse(rewards(), FOLDER))
    service.cluster.upkeep()


def preferred(text: str) -> float:
    """The one of two with the larger number is better; one alone is worth a tenth of it."""
    found = [int(number) for number in re.findall(r"quality (\d)", text)]
    if len(found) < 2:
        return found[0] / 10 if found else 0.8
    return 0.9 if found[0] > found[1] else 0.1


async def test_every_kind_reaches_the_endpoint_by_its_name(service: Service, serves: Any) -> None:
    async with serves() as endpoint, RewardClient(service.address) as client:
        endpoint.prefer = preferred
        wants = {
            "good": [0.1, 0.3, 0.2],
            "better": [0.1, 0.9, 0.5],
            "rubric": [0.1, 0.3, 0.2],
            "grader": [0.1, 0.3, 0.2],
        }
        for name, want in wants.items():
            (found,) = await client.score(
                name, [GROUP], include_components=True, include_judgements=True
            )
            scores = [one for one in found if isinstance(one, Score)]
            assert [score.reward for score in scores] == pytest.approx(want), name
            if name == "grader":
                continue
            masses = [score.components["label_mass"] for score in scores]
            assert masses == pytest.approx([0.9] * 3)
            assert all(one.read == "top_logprobs" for score in scores for one in score.judgements)
            calls = sum(score.usage.calls for score in scores)
            assert calls == (6 if name == "better" else 3)
            assert sum(score.usage.prompt_tokens for score in scores) == 100 * calls
        # What the judge says to it is "Yes": an honest error.
        (found,) = await client.score("rater", [GROUP])
        assert {one.reason for one in found if isinstance(one, ScoreError)} == {
            Reason.JUDGE_UNREADABLE
        }
        # Another model at the same address: no number any more.
        endpoint.model = "fake-2"
        (found,) = await client.score("good", [GROUP])
        assert [one.reason for one in found if isinstance(one, ScoreError)] == [
            Reason.MODEL_CHANGED
        ] * 3


async def test_a_thousand_items_and_a_limit_for_all_clients(service: Service, serves: Any) -> None:
    """30 % broken in ten ways, by eight clients: nothing invented, nothing lost, no 429."""
    chosen = random.Random(5).sample(range(1000), 300)
    way_of = {index: WAYS[place % len(WAYS)] for place, index in enumerate(chosen)}

    def number(text: str) -> int:
        return int((re.search(r"item (\d+)\.", text) or ["", "1000"])[1])

    async with serves(requests_per_minute=12_000) as endpoint:
        endpoint.breaks = lambda text: way_of.get(number(text), "")
        endpoint.prefer = lambda text: 0.2 + 0.6 * number(text) / 1000
        endpoint.per_minute = 12_000
        example = GROUP.example

        async def ask(part: int) -> list[Any]:
            group = Group(example, [Response(f"item {n}.") for n in range(part, 1000, 8)])
            async with RewardClient(service.address) as client:
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
    assert endpoint.refused == 0
    print(f"{len(times_s)} calls in {took_s:.1f} s under a limit of 12,000 a minute")
    # 200 at once and 196.7 more a second, whoever asks; calls may be late and come together.
    for first in times_s[::7]:
        assert sum(0 <= at_s - first < 1.0 for at_s in times_s) <= 200 + 197 * 1.3


def test_a_judge_without_its_model_is_refused_by_name() -> None:
    given: dict[str, Any] = {"rewards": {"good": ASKING["good"]}}
    given["models"] = {"gemini-2.5": {"runs": "endpoint", "base_url": "http://x/v1", "name": "m"}}
    with pytest.raises(Exception, match=json.dumps("gemini-2.5").strip('"')):
        parse(given, FOLDER)
