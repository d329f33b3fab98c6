"""Google's own SDK validates rewards at the service: real lanes, sandbox, judge and Cloud Run."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from google import genai
from google.genai import errors, types
from google.oauth2.credentials import Credentials

from ..rewards.formats.gemini.test_sdk import (
    CODE,
    EXAMPLE,
    PARENT,
    RATER,
    composite,
    string_match,
    with_scorer,
)
from ..support.judge_server import says, serving
from .facing import facing

Ask = Callable[..., Awaitable[types.ValidateRewardResponse]]


@asynccontextmanager
async def google(**http: Any) -> AsyncIterator[tuple[Ask, str]]:
    """The SDK's `validate_reward` at a service, and where that is."""
    rewards = {"exact": {"kind": "exact", "lane": "pool"}}
    async with facing(rewards, http) as (_, client):
        base = str(client._base_url).rstrip("/")
        sdk = genai.Client(
            vertexai=True,
            project="p",
            location="us-central1",
            credentials=Credentials("for-this-machine"),
            http_options=types.HttpOptions(base_url=base, timeout=60_000),
        )

        async def ask(response: str, **config: Any) -> types.ValidateRewardResponse:
            return await asyncio.to_thread(
                sdk.tunings.validate_reward,
                parent=PARENT,
                sample_response=types.Content(role="model", parts=[types.Part(text=response)]),
                example=EXAMPLE,
                **config,
            )

        yield ask, base


def cloud_run(uri: str) -> types.SingleReinforcementTuningRewardConfig:
    scorer = types.ReinforcementTuningCloudRunRewardScorer(cloud_run_uri=uri)
    return with_scorer("service", cloud_run_reward_scorer=scorer)


def info(told: types.ValidateRewardResponse, name: str) -> Any:
    assert told.reward_info_details is not None
    return told.reward_info_details[name]


async def test_string_match() -> None:
    async with google() as (ask, _):
        config = string_match("math", "{{references.answer}}")
        right = await ask("<answer>4</answer>", single_reward_config=config)
        wrong = await ask("<answer>5</answer>", single_reward_config=config)
    assert (right.overall_reward, right.error) == (1.0, None)
    assert (wrong.overall_reward, info(wrong, "math").reward) == (-1.0, -1.0)


async def test_code_execution_in_the_sandbox() -> None:
    async with google() as (ask, _):
        config = with_scorer("code", code_execution_reward_scorer=CODE)
        assert (await ask("4", single_reward_config=config)).overall_reward == 0.5
        spy = types.ReinforcementTuningCodeExecutionRewardScorer(
            python_code_snippet="def evaluate(example, response):\n"
            "    return float(len(open('/etc/passwd').read()))\n"
        )
        told = await ask(
            "4", single_reward_config=with_scorer("spy", code_execution_reward_scorer=spy)
        )
    assert math.isnan(told.overall_reward or 0.0)
    assert told.error is not None
    assert told.error.startswith("RAISED")


async def test_autorater() -> None:
    async with serving() as judge:
        judge.replies = [says("Well. <answer>Yes</answer>")]
        async with google(gemini={"judge": {"base_url": judge.base_url}}) as (ask, _):
            told = await ask("4", single_reward_config=with_scorer("rater", autorater_scorer=RATER))
    assert told.overall_reward == 1.0


async def test_cloud_run_is_called_where_the_operator_allows_it() -> None:
    async with google() as (ask, base):
        with pytest.raises(errors.ClientError, match="allowed origins"):
            await ask("4", single_reward_config=cloud_run(f"{base}/rewards/exact"))


async def test_cloud_run_may_be_this_service_itself() -> None:
    async with facing({"exact": {"kind": "exact"}}, {}) as (_, target):
        origin = str(target._base_url).rstrip("/")
        async with google(gemini={"cloud_run": {"allowed_origins": [origin]}}) as (ask, _base):
            told = await ask("4", single_reward_config=cloud_run(f"{origin}/rewards/exact"))
    assert told.overall_reward == 1.0


async def test_a_composite_of_all_four() -> None:
    async with serving() as judge, facing({"exact": {"kind": "exact"}}, {}) as (_, target):
        judge.replies = [says("<answer>No</answer>")]
        origin = str(target._base_url).rstrip("/")
        settings = {
            "judge": {"base_url": judge.base_url},
            "cloud_run": {"allowed_origins": [origin]},
        }
        async with google(gemini=settings) as (ask, _base):
            config = composite(
                (string_match("match", "{{references.answer}}"), 1.0),
                (with_scorer("code", code_execution_reward_scorer=CODE), 2.0),
                (with_scorer("rater", autorater_scorer=RATER), 1.0),
                (cloud_run(f"{origin}/rewards/exact"), 1.0),
            )
            told = await ask("4", composite_reward_config=config)
    rewards = {name: info(told, name).reward for name in ("match", "code", "rater", "service")}
    assert rewards == {"match": -1.0, "code": 0.5, "rater": -1.0, "service": 1.0}
    assert told.overall_reward == pytest.approx((-1 + 2 * 0.5 - 1 + 1) / 5)


async def test_a_member_that_fails_is_told_by_itself() -> None:
    broken = types.ReinforcementTuningCodeExecutionRewardScorer(
        python_code_snippet="def evaluate(example, response):\n    return 1 / 0\n"
    )
    async with google() as (ask, _):
        config = composite(
            (string_match("match", "{{references.answer}}"), 1.0),
            (with_scorer("broken", code_execution_reward_scorer=broken), 1.0),
        )
        told = await ask("<answer>4</answer>", composite_reward_config=config)
    assert math.isnan(told.overall_reward or 0.0)
    assert info(told, "match").reward == 1.0
    assert math.isnan(info(told, "broken").reward)
    assert "ZeroDivisionError" in info(told, "broken").error_status.message


async def test_what_cannot_be_served_is_refused() -> None:
    bad = string_match("math", "x")
    bad.parse_response_config = types.ReinforcementTuningParseResponseConfig(
        parse_type="REGEX_EXTRACT", regex_extract_expression="(a)(b)"
    )
    async with google() as (ask, _):
        with pytest.raises(errors.ClientError, match="at most one"):
            await ask("4", single_reward_config=bad)
        with pytest.raises(errors.ClientError, match="judge"):
            await ask("4", single_reward_config=with_scorer("rater", autorater_scorer=RATER))
