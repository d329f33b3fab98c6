"""An OpenAI grader with a judge in a real replica: in worker processes, over real HTTP."""

from __future__ import annotations

import json
import time
from typing import Any

from aiohttp import web

from ..support.judge_server import says, serving, status
from ..support.rig import groups_of, pool_of, rewards, run


def judged(base_url: str, **settings: Any) -> dict[str, Any]:
    """A reward that asks the judge."""
    asked = [{"role": "user", "content": "{{ sample.output_text }} against {{ item.answer }}"}]
    model = {"type": "score_model", "name": "s", "model": "gpt-4o", "input": asked}
    check = {"type": "string_check", "name": "c", "operation": "eq"}
    sides = {"input": "{{ sample.output_text }}", "reference": "{{ item.answer }}"}
    grader = {
        **{"type": "multi", "name": "m", "calculate_output": "c + s"},
        "graders": {"c": {**check, **sides}, "s": model},
    }
    judge = {"base_url": base_url, "concurrency": 32}
    return {"kind": "openai_grader", "grader": grader, "judge": judge, **settings}


async def by_text(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """Judges by what the response begins with."""
    text = body["messages"][0]["content"]
    reply = {
        "refuse": says(None, refusal="no"),
        "garble": says("7/10"),
        "busy": status(429, {"Retry-After": "900"}),
        "slow": says("", delay_s=60),
    }.get(text.split()[0], says(json.dumps({"steps": [], "result": 0.5}), delay_s=0.1))
    return await reply(request, body)


async def test_each_item_has_its_own_outcome() -> None:
    async with serving() as judge:
        judge.replies = [by_text]
        async with pool_of(judged(judge.base_url)) as pool:
            await pool.check_health()
            texts = ["18", *(f"fine {n}" for n in range(60)), "refuse", "garble", "slow", "ok"]
            begin_s = time.monotonic()
            groups = groups_of(texts, answer="18")
            outcomes = await run(pool, groups, timeout_s=2)
            took_s = time.monotonic() - begin_s
            busy = await run(pool, groups_of(["busy"], answer="18"), timeout_s=2)
    wanted: list[float | str] = [1.5, *[0.5] * 60]
    refused = ["JUDGE_REFUSED", "JUDGE_UNREADABLE", "TIMED_OUT", 0.5]
    assert rewards(outcomes) == [*wanted, *refused]
    assert rewards(busy) == ["RATE_LIMITED"]
    # 62 calls of 0.1 s, 32 at a time: what is slow holds nobody up.
    assert took_s < 3.5
