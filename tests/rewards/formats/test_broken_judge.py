"""A judge that breaks three replies of ten, in ten ways: no number is invented, no item is lost."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from rewardplane.rewards.registry import build
from rewardplane.rewards.run import Clip, run_items_async
from rewardplane.rewards.types import Example, Outcome, Reason, Response, Score

from ...support.judge_server import cuts_off, says, serving, status
from .gemini.configs import rater

COUNT = 1_000
BROKEN = 0.3
UNREADABLE, REFUSED = Reason.JUDGE_UNREADABLE, Reason.JUDGE_REFUSED

WAYS: list[tuple[str, Any, Reason]] = [
    ("silent", says(""), UNREADABLE),
    ("nothing at all", says(None), UNREADABLE),
    ("garbled", says("\ufffd{{]<v>\x00 %%% 1 0 1"), UNREADABLE),
    ("refuses by field", says(None, refusal="I will not."), REFUSED),
    ("refuses in words", says("I'm sorry, but I can't judge this. 1.0"), REFUSED),
    ("only thinks", says("<think>clearly GOOD </think>"), UNREADABLE),
    ("does not stop thinking", says("<think>clearly GOOD, but wait"), UNREADABLE),
    ("cut off", says("GOOD", finish_reason="length"), UNREADABLE),
    ("no completion", status(200, body='{"choices": []}'), UNREADABLE),
    ("hangs up", cuts_off, Reason.UNAVAILABLE),
]

GOOD = {
    "score": '{"steps": [{"description": "d", "conclusion": "c"}], "result": %s}',
    "number": "%s",
    "tagged": "Let me see. <v>%s</v>",
    "label": "%s",
}


def kind_of(name: str, base_url: str) -> Any:
    judge = {"judge": {"base_url": base_url, "concurrency": 64}}
    if name == "score":
        asked = [{"role": "user", "content": "Rate {{ sample.output_text }}"}]
        grader = {"type": "score_model", "name": "s", "model": "j", "input": asked}
        return build("openai_grader", {"grader": grader, **judge})
    prompt = "Yes or No: {{response}}"
    tags = {"judge_parse": "<v>(.*?)</v>"} if name == "tagged" else {}
    exact = {} if name == "number" else {"exact": "Yes"}
    return build("gemini", {"config": rater(prompt, **tags, **exact), **judge})


def truth(name: str, index: int) -> tuple[str, float]:
    """What a healthy judge says of an item, and the reward of that."""
    if name in ("score", "number"):
        value = index % 101 / 100
        return GOOD[name] % value, value
    return (GOOD[name] % "Yes", 1.0) if index % 2 else (GOOD[name] % "No", -1.0)


def way_of(index: int) -> int | None:
    """Which way the judge breaks for an item, each time that it is asked; None: it does not."""
    dice = random.Random(index)
    return dice.randrange(len(WAYS)) if dice.random() < BROKEN else None


@contextlib.asynccontextmanager
async def broken_judge(name: str) -> AsyncIterator[str]:
    async def reply(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        index = int(body["messages"][0]["content"].split("#")[1].split()[0])
        way = way_of(index)
        good = truth(name, index)[0]
        if way is None:
            return await says(good)(request, body)
        kind, answer, _ = WAYS[way]
        if kind in ("only thinks", "does not stop thinking", "cut off"):
            text = {"only thinks": f"<think>{good}</think>"}.get(kind, f"<think>{good} hm")
            finish = "length" if kind == "cut off" else "stop"
            return await says(good if finish == "length" else text, finish_reason=finish)(
                request, body
            )
        return await answer(request, body)

    async with serving() as judge:
        judge.replies = [reply]
        yield judge.base_url


@pytest.mark.parametrize("name", list(GOOD))
async def test_no_number_is_invented_and_no_item_lost(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rewardplane.rewards.http.client.FIRST_BACKOFF_S", 0.01)
    async with broken_judge(name) as base_url:
        reward = kind_of(name, base_url)
        reward.setup()

        async def outcome_of(index: int) -> Outcome:
            item = (Example(), Response(f"#{index} "))
            return (await run_items_async(reward, [item], Clip(), 120))[0]

        try:
            outcomes = await asyncio.gather(*map(outcome_of, range(COUNT)))
        finally:
            await reward.close()
    invented, lost, misnamed, told = 0, 0, 0, Counter[str]()
    for index, outcome in enumerate(outcomes):
        way = way_of(index)
        if way is None:
            lost += not (isinstance(outcome, Score) and outcome.reward == truth(name, index)[1])
        elif isinstance(outcome, Score):
            invented += 1
        else:
            misnamed += outcome.reason is not WAYS[way][2]
            told[outcome.reason.name] += 1
            # A reply that cost tokens has told them; one that never came has not.
            if WAYS[way][0] not in ("no completion", "hangs up"):
                assert outcome.usage is not None
                assert outcome.usage.prompt_tokens >= 100
    print(f"{name}: {COUNT} items, {sum(told.values())} broken: {dict(told)}")
    assert (invented, lost, misnamed) == (0, 0, 0)
    assert sum(told.values()) > 0.2 * COUNT


def test_every_way_is_taken() -> None:
    taken = Counter(way_of(index) for index in range(COUNT))
    assert set(taken) == {None, *range(len(WAYS))}
