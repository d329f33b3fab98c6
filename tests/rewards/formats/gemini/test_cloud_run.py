"""Cloud Run: time, tokens, connections, over real HTTP."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from rewardplane.rewards.formats.gemini.options import CloudRun
from rewardplane.rewards.http.token import Token
from rewardplane.rewards.types import Example, Reason, Response, Score, ScoreError

from .configs import cloud_run
from .world import outcome_of, world

ITEM = (Example(), Response("4"))


def jwt(lasts_s: float) -> str:
    claims = json.dumps({"exp": time.time() + lasts_s}).encode()
    return f"e30.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.sig"


async def authorization(token: dict[str, Any], calls: int = 1) -> list[str | None]:
    async with world() as here:
        reward = here.reward(cloud_run(), cloud_run={"token": token})
        for _ in range(calls):
            assert isinstance(await outcome_of(reward, *ITEM), Score)
        return [headers.get("Authorization") for headers in here.cloud_run.headers]


async def test_a_token_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REWARD_TOKEN", " abc\n")
    assert await authorization({"env": "REWARD_TOKEN"}) == ["Bearer abc"]


async def test_a_token_of_a_file_is_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one")
    async with world() as here:
        reward = here.reward(cloud_run(), cloud_run={"token": {"file": str(file)}})
        await outcome_of(reward, *ITEM)
        file.write_text("two\n")
        await outcome_of(reward, *ITEM)
        told = [headers.get("Authorization") for headers in here.cloud_run.headers]
    assert told == ["Bearer one", "Bearer two"]


@pytest.mark.parametrize(("lasts_s", "fetched"), [(3600, 1), (60, 3)])
async def test_an_id_token_is_kept_until_it_ends(lasts_s: float, fetched: int) -> None:
    async with world() as here:
        here.cloud_run.token = jwt(lasts_s)
        token = {"google_id_token": True, "metadata_url": here.cloud_run.origin}
        reward = here.reward(cloud_run(), cloud_run={"token": token})
        for _ in range(3):
            await outcome_of(reward, *ITEM)
        assert len(here.cloud_run.metadata_calls) == fetched
        query, headers = here.cloud_run.metadata_calls[0]
        assert (query["audience"], query["format"]) == (here.cloud_run.origin, "full")
        assert headers["Metadata-Flavor"] == "Google"
        told = here.cloud_run.headers[-1]["Authorization"]
        assert told == f"Bearer {here.cloud_run.token}"


@pytest.mark.parametrize("token", [{"env": "NOT_SET_ANYWHERE"}, {"file": "/nonexistent/token"}])
async def test_no_token_no_call(token: dict[str, Any]) -> None:
    async with world() as here:
        reward = here.reward(cloud_run(), cloud_run={"token": token})
        outcome = await outcome_of(reward, *ITEM)
        assert isinstance(outcome, ScoreError)
        assert outcome.reason is Reason.UNAVAILABLE
        assert not here.cloud_run.bodies


@pytest.mark.parametrize("token", [{}, {"env": "A", "file": "b"}])
def test_a_token_has_one_source(token: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="exactly one"):
        Token.model_validate(token)


def test_the_documented_waits_and_limit() -> None:
    assert CloudRun().backoff_s == (2.0, 4.0, 8.0, 16.0, 32.0)
    assert CloudRun().timeout_s == 300.0


async def test_a_service_that_does_not_answer_is_unavailable() -> None:
    async with world() as here:
        here.cloud_run.delay_s = 5.0
        reward = here.reward(cloud_run(), cloud_run={"timeout_s": 0.1, "backoff_s": [0]})
        outcome = await outcome_of(reward, *ITEM)
        assert isinstance(outcome, ScoreError)
        assert outcome.reason is Reason.UNAVAILABLE
        assert "within 0.1 s" in outcome.message
        assert len(here.cloud_run.bodies) == 2


async def test_nobody_listens(free_port: int) -> None:
    async with world() as here:
        reward = here.reward(cloud_run(f"http://127.0.0.1:{free_port}/"))
        outcome = await outcome_of(reward, *ITEM)
    assert isinstance(outcome, ScoreError)
    assert outcome.reason is Reason.UNAVAILABLE


async def test_no_wait_is_begun_that_the_item_has_no_time_for() -> None:
    async with world() as here:
        here.cloud_run.replies = [503]
        reward = here.reward(cloud_run(), cloud_run={"backoff_s": [60]})
        begun = time.monotonic()
        outcome = await outcome_of(reward, *ITEM, timeout_s=30)
        assert time.monotonic() - begun < 10
    assert isinstance(outcome, ScoreError)
    assert outcome.reason is Reason.UNAVAILABLE


async def test_calls_are_bounded_and_none_is_lost() -> None:
    async with world() as here:
        here.cloud_run.delay_s = 0.01
        reward = here.reward(cloud_run(), cloud_run={"concurrency": 8})
        items = [outcome_of(reward, *ITEM) for _ in range(200)]
        outcomes = await asyncio.gather(*items)
        assert all(isinstance(outcome, Score) for outcome in outcomes)
        assert here.cloud_run.most_in_flight == 8


async def test_repeated_calls_and_clipped_rewards_are_counted() -> None:
    async with world() as here:
        here.cloud_run.replies = [503, 503, {"reward": 7}]
        reward = here.reward(cloud_run())
        await outcome_of(reward, *ITEM)
        assert reward.take_figures() == {
            **{"cloud_run_calls": 3.0, "cloud_run_retries": 2.0},
            "gemini_clipped": 1.0,
        }
        assert reward.take_figures() == {}
