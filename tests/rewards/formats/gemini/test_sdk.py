"""Google's own SDK, pointed at this machine, validates rewards and reads what came of them."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from google import genai
from google.genai import types
from google.oauth2.credentials import Credentials
from rewardplane.rewards.formats.gemini.reader import BadMessage
from rewardplane.rewards.formats.gemini.wire import (
    member_outcome,
    parse_validation,
    refused_answer,
    validation_answer,
)

from ....support.judge_server import says
from .configs import MODEL
from .world import World, outcome_of, world

PARENT = "projects/p/locations/us-central1"
PATH = f"/v1beta1/{PARENT}/tuningJobs:validateReinforcementTuningReward"
EXAMPLE = types.ReinforcementTuningExample(
    contents=[types.Content(role="user", parts=[types.Part(text="What is 2+2?")])],
    references={"answer": "4"},
)


@contextlib.asynccontextmanager
async def google_for(here: World) -> AsyncIterator[Any]:
    """A function that validates through the SDK, at a server that is made of our functions."""

    async def validate(request: web.Request) -> web.Response:
        try:
            asked = parse_validation(await request.read())
        except BadMessage as fault:
            return web.json_response(refused_answer(fault), status=400)
        found = [
            member_outcome(
                member,
                await outcome_of(here.reward(member.config), asked.example, asked.response),
            )
            for member in asked.members
        ]
        return web.json_response(validation_answer(found, is_composite=asked.is_composite))

    app = web.Application()
    app.router.add_post(PATH, validate)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    client = genai.Client(
        vertexai=True,
        project="p",
        location="us-central1",
        credentials=Credentials("for-this-machine"),
        http_options=types.HttpOptions(
            base_url=f"http://127.0.0.1:{runner.addresses[0][1]}", timeout=20_000
        ),
    )

    async def ask(response: str, **config: Any) -> types.ValidateRewardResponse:
        content = types.Content(role="model", parts=[types.Part(text=response)])
        return await asyncio.to_thread(
            client.tunings.validate_reward,
            parent=PARENT,
            sample_response=content,
            example=EXAMPLE,
            **config,
        )

    try:
        yield ask
    finally:
        client.close()
        await runner.cleanup()


def string_match(name: str, expression: str) -> types.SingleReinforcementTuningRewardConfig:
    return types.SingleReinforcementTuningRewardConfig(
        reward_name=name,
        parse_response_config=types.ReinforcementTuningParseResponseConfig(
            parse_type="REGEX_EXTRACT", regex_extract_expression="<answer>(.*?)</answer>"
        ),
        string_match_reward_scorer=types.ReinforcementTuningStringMatchRewardScorer(
            correct_answer_reward=1.0,
            wrong_answer_reward=-1.0,
            string_match_expression=(
                types.ReinforcementTuningStringMatchRewardScorerStringMatchExpression(
                    match_operation="EXACT_MATCH", expression=expression
                )
            ),
        ),
    )


def with_scorer(name: str, **scorer: Any) -> types.SingleReinforcementTuningRewardConfig:
    return types.SingleReinforcementTuningRewardConfig(reward_name=name, **scorer)


CODE = types.ReinforcementTuningCodeExecutionRewardScorer(
    python_code_snippet="def evaluate(example, response):\n"
    '    return 0.5 * (response["parts"][0]["text"] == "4")\n'
)
RATER = types.ReinforcementTuningAutoraterScorer(
    autorater_prompt="Rate {{response}}",
    autorater_config=types.AutoraterConfig(autorater_model=MODEL, sampling_count=1),
    autorater_response_parse_config=types.ReinforcementTuningParseResponseConfig(
        parse_type="REGEX_EXTRACT", regex_extract_expression="<answer>(.*?)</answer>"
    ),
    exact_match_scorer=types.ReinforcementTuningAutoraterScorerExactMatchScorer(
        correct_answer_reward=1.0, wrong_answer_reward=-1.0, expression="Yes"
    ),
)


def composite(*members: tuple[Any, float]) -> types.CompositeReinforcementTuningRewardConfig:
    weighted = types.CompositeReinforcementTuningRewardConfigWeightedRewardConfig
    return types.CompositeReinforcementTuningRewardConfig(
        weighted_reward_configs=[weighted(reward_config=c, weight=w) for c, w in members]
    )


@pytest.mark.parametrize(("response", "reward"), [("<answer>4</answer>", 1.0), ("4", -1.0)])
async def test_string_match(response: str, reward: float) -> None:
    async with world() as here, google_for(here) as ask:
        config = string_match("math", "{{references.answer}}")
        told = await ask(response, single_reward_config=config)
    assert (told.overall_reward, told.error) == (reward, None)
    assert told.reward_info_details is not None
    assert told.reward_info_details["math"].reward == reward


async def test_code_execution() -> None:
    async with world() as here, google_for(here) as ask:
        config = with_scorer("code", code_execution_reward_scorer=CODE)
        told = await ask("4", single_reward_config=config)
    assert told.overall_reward == 0.5


async def test_autorater() -> None:
    async with world() as here, google_for(here) as ask:
        here.judge.replies = [says("Well. <answer>Yes</answer>")]
        told = await ask("4", single_reward_config=with_scorer("rater", autorater_scorer=RATER))
    assert told.overall_reward == 1.0


async def test_cloud_run_with_its_words() -> None:
    async with world() as here, google_for(here) as ask:
        here.cloud_run.replies = [{"reward": -0.5, "user_requested_aux_info": "too short"}]
        uri = here.cloud_run.origin + "/"
        scorer = types.ReinforcementTuningCloudRunRewardScorer(cloud_run_uri=uri)
        config = with_scorer("service", cloud_run_reward_scorer=scorer)
        told = await ask("4", single_reward_config=config)
    assert told.overall_reward == -0.5
    assert told.reward_info_details is not None
    assert told.reward_info_details["service"].user_requested_aux_info == "too short"


async def test_composite() -> None:
    async with world() as here, google_for(here) as ask:
        config = composite(
            (string_match("math", "{{references.answer}}"), 3),
            (with_scorer("code", code_execution_reward_scorer=CODE), 1),
        )
        told = await ask("<answer>4</answer>", composite_reward_config=config)
    assert told.overall_reward == 0.75
    assert told.reward_info_details is not None
    rewards = {name: info.reward for name, info in told.reward_info_details.items()}
    assert rewards == {"math": 1.0, "code": 0.0}


async def test_a_failed_member_is_nan_with_its_status() -> None:
    async with world() as here, google_for(here) as ask:
        config = composite(
            (string_match("ok", "4"), 1), (string_match("bad", "{{references.x}}"), 1)
        )
        told = await ask("<answer>4</answer>", composite_reward_config=config)
    assert told.overall_reward is not None
    assert math.isnan(told.overall_reward)
    assert told.error is not None
    assert "member 'bad': INVALID_REFERENCE" in told.error
    assert told.reward_info_details is not None
    ok, bad = told.reward_info_details["ok"], told.reward_info_details["bad"]
    assert (ok.reward, ok.error_status) == (1.0, None)
    assert bad.reward is not None
    assert math.isnan(bad.reward)
    assert bad.error_status is not None
    assert bad.error_status.code == 3


async def test_a_config_that_cannot_be_served_is_a_client_error() -> None:
    async with world() as here, google_for(here) as ask:
        with pytest.raises(genai.errors.ClientError, match="stringMatchRewardScorer"):
            await ask("4", single_reward_config=with_scorer("none"))
