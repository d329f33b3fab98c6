"""Autoraters and graders reach a model of the configuration by the name that their JSON has."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from rewardplane.rewards.registry import build
from rewardplane.rewards.reward import Reward
from rewardplane.rewards.run import Clip, run_items_async
from rewardplane.rewards.types import (
    Example,
    JudgeRefused,
    Outcome,
    Reason,
    Response,
    Score,
    ScoreError,
)

from ...support.stub_model import StubModel, bound

ENDPOINT = {"base_url": "http://127.0.0.1:9/v1"}
GEMINI = "projects/p/locations/l/publishers/google/models/gemini-2.5-flash"


def rater(model: str = GEMINI, **more: Any) -> dict[str, Any]:
    config = {"autoraterModel": model, "samplingCount": 2}
    scorer: dict[str, Any] = {
        "autoraterPrompt": "Rate {{response}} from -1 to 1.",
        "autoraterConfig": config,
    }
    scorer["parsedResponseConversionScorer"] = {}
    return {"autoraterScorer": scorer, **more}


def composite(*rewards: dict[str, Any]) -> dict[str, Any]:
    weighted = [
        {"rewardConfig": {**reward, "rewardName": f"r{n}"}, "weight": 1}
        for n, reward in enumerate(rewards)
    ]
    return {"weightedRewardConfigs": weighted}


def scored(**more: Any) -> dict[str, Any]:
    asked = [{"role": "user", "content": "Rate {{ sample.output_text }}"}]
    return {"type": "score_model", "name": "s", "model": "gpt-4o", "input": asked, **more}


def labelled(**more: Any) -> dict[str, Any]:
    labels = {"labels": ["good", "bad"], "passing_labels": ["good"]}
    return {**scored(type="label_model", name="l"), **labels, **more}


async def outcome(reward: Reward) -> Outcome:
    (found,) = await run_items_async(reward, [(Example(), Response("four"))], Clip(), 30)
    return found


async def test_an_autorater_asks_the_model() -> None:
    model = StubModel()
    model.says = lambda text: "0.5"
    reward = bound(build("gemini", {"config": rater()}), model)
    assert reward.needs_model.names == (GEMINI, "gemini-2.5-flash")
    assert not reward.needs_model.optional
    found = await outcome(reward)
    assert isinstance(found, Score)
    assert found.reward == 0.5
    assert model.asked == ["Rate four from -1 to 1."] * 2
    model.says = lambda text: JudgeRefused("no")
    found = await outcome(reward)
    assert isinstance(found, ScoreError)
    assert found.reason is Reason.JUDGE_REFUSED


async def test_graders_ask_the_model() -> None:
    model = StubModel()
    model.says = lambda text: '{"steps": [], "result": 0.25}'
    reward = bound(build("openai_grader", {"grader": scored()}), model)
    assert reward.needs_model.names == ("gpt-4o",)
    found = await outcome(reward)
    assert isinstance(found, Score)
    assert found.reward == 0.25
    assert found.components["judge_prompt_tokens"] == 10
    model.says = lambda text: '{"steps": [], "result": "good"}'
    found = await outcome(bound(build("openai_grader", {"grader": labelled()}), model))
    assert isinstance(found, Score)
    assert found.reward == 1.0
    model.says = lambda text: "good, I think"
    found = await outcome(bound(build("openai_grader", {"grader": labelled()}), model))
    assert isinstance(found, ScoreError)
    assert found.reason is Reason.JUDGE_UNREADABLE
    assert found.usage is not None
    assert found.usage.calls == 2


def test_an_endpoint_of_its_own_stays_where_no_model_has_the_name() -> None:
    for reward in (
        build("gemini", {"config": rater(), "judge": ENDPOINT}),
        build("openai_grader", {"grader": scored(), "judge": ENDPOINT}),
    ):
        assert reward.needs_model is not None
        assert reward.needs_model.optional


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("gemini", {"config": composite(rater("a"), rater("b"))}),
        (
            "openai_grader",
            {
                "grader": {
                    "type": "multi",
                    "name": "m",
                    "graders": {"a": scored(name="a"), "b": scored(name="b", model="o3")},
                    "calculate_output": "a + b",
                }
            },
        ),
    ],
)
def test_of_several_models_none_is_taken(kind: str, params: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="judge"):
        build(kind, params)
    assert build(kind, {**params, "judge": ENDPOINT}).needs_model is None


def test_what_asks_no_judge_needs_no_model() -> None:
    check = {"type": "string_check", "name": "c", "input": "a", "reference": "a", "operation": "eq"}
    assert build("openai_grader", {"grader": check}).needs_model is None


def test_a_model_that_says_no_text_is_refused() -> None:
    model = StubModel(read="decisions", label_mass=None)
    with pytest.raises(ValueError, match="says no text"):
        build("gemini", {"config": rater()}).bind(model)
    with pytest.raises(ValueError, match="says no text"):
        build("openai_grader", {"grader": scored()}).bind(model)
