"""A Gemini composite in a real replica: in worker processes, over real HTTP."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from ..rewards.formats.gemini.configs import ANSWER, cloud_run, composite, match, rater
from ..rewards.formats.gemini.world import serving_cloud_run
from ..support.judge_server import says, serving
from ..support.rig import groups_of, pool_of, rewards, run


async def by_text(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """Rates 0.5, or what the response says that it is to be rated."""
    text = body["messages"][0]["content"].removeprefix("Rate: ")
    reply = says("", delay_s=60) if text == "slow" else says(text, delay_s=0.05)
    return await reply(request, body)


async def test_each_item_has_its_own_outcome() -> None:
    async with serving() as judge, serving_cloud_run() as service:
        judge.replies = [by_text]
        service.replies = [{"reward": 5.0}]
        service.delay_s = 0.05
        config = composite(
            (match(name="right", expression="{{references.answer}}"), 1),
            (rater(name="rated"), 2),
            (cloud_run(service.origin + "/", name="service"), 1),
        )
        reward = {"kind": "gemini", "config": config, "judge": {"base_url": judge.base_url}}
        async with pool_of(reward) as pool:
            await pool.check_health()
            texts = ["0.5", *["1"] * 40, "seven", "slow", "-9"]
            outcomes = await run(pool, groups_of(texts, answer="0.5"), timeout_s=2)
        assert service.most_in_flight > 1
    # (1 + 2 * 0.5 + 1) / 4; (-1 + 2 * 1 + 1) / 4; (-1 + 2 * -1 + 1) / 4.
    assert rewards(outcomes) == [0.75, *[0.5] * 40, "JUDGE_UNREADABLE", "TIMED_OUT", -0.5]


async def test_string_match_alone_runs_without_an_event_loop() -> None:
    async with pool_of({"kind": "gemini", "config": match(parse=ANSWER)}) as pool:
        await pool.check_health()
        texts = ["<answer>4</answer>", "4"]
        assert rewards(await run(pool, groups_of(texts, answer="4"))) == [1.0, -1.0]
        missing = await run(pool, groups_of(["<answer>4</answer>"], gold="4"))
        assert rewards(missing) == ["INVALID_REFERENCE"]
