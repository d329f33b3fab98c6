"""Judges on a real Ray cluster: kinds of every sort reach one door to an endpoint by its name."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from rewardplane.client.client import RewardClient
from rewardplane.config.load import parse
from rewardplane.rewards import Content, Example, Group, Part, Reason, Response, Score, ScoreError

from ..support.endpoint_server import FEATURES, EndpointServer, serving
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
    "blend": {"kind": "composite", "formula": "good + 2 * better"},
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
        result = await client.score("blend", [GROUP], include_judgements=True)
        scores = [one for one in result[0] if isinstance(one, Score)]
        assert [score.reward for score in scores] == pytest.approx([0.3, 2.1, 1.2])
        for score in scores:
            members = {one.question.partition(".")[0] for one in score.judgements}
            assert members == {"good", "better"}
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


async def test_two_doors_have_one_limit(service: Service, serves: Any) -> None:
    """While calls of the old version go on, those of the new one take from the same limit."""
    per_minute = 1_800
    limits = {"requests_per_minute": per_minute}

    def asked(words: list[str]) -> list[Group]:
        return [Group(Example([Content("user", [Part("a prompt")])]), list(map(Response, words)))]

    async with serves(**limits) as endpoint, RewardClient(service.address) as client:
        old = asyncio.create_task(
            client.score("good", asked([f"old {n}" for n in range(1_500)]), timeout_s=100)
        )
        await asyncio.sleep(0.5)
        given = rewards(**ASKING)
        own = {"runs": "endpoint", "base_url": endpoint.base_url, "name": "m", "cpus": 0.1}
        given["models"] = {FLASH: {**own, **limits, "timeout_s": 55}}
        await asyncio.to_thread(service.cluster.reload, parse(given, FOLDER))
        assert not old.done(), "both are to be there at once"
        (new,) = await client.score("good", asked([f"new {n}" for n in range(60)]), timeout_s=100)
        assert all(isinstance(one, Score) for one in new)
        assert not old.done()
        old.cancel()
        times = sorted(endpoint.times_s)
    assert len(times) > 150
    for first, begin_s in enumerate(times):
        for last in range(first, len(times)):
            # A second's worth at once, and what comes evenly after it.
            most = per_minute / 60 * (1 + times[last] - begin_s)
            assert last - first + 1 <= most + 3
