"""OpenAI's graders/validate and graders/run, over real HTTP, judge and sandbox."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from rewardplane.config.load import ConfigError, parse

from ..support.judge_server import says, serving
from ..support.rig import FOLDER
from .facing import facing

BASE = "/v1/fine_tuning/alpha/graders"
REWARDS = {"exact": {"kind": "exact"}}
CHECK = {
    "type": "string_check",
    "name": "check",
    "input": "{{ sample.output_text }}",
    "reference": "{{ item.answer }}",
    "operation": "eq",
}
PYTHON = {
    "type": "python",
    "name": "code",
    "source": "def grade(sample, item):\n    return len(sample['output_text']) / item['most']\n",
}
MODEL = {
    "type": "score_model",
    "name": "judge",
    "model": "gpt-4o-2024-08-06",
    "input": [{"role": "user", "content": "Rate {{ sample.output_text }}"}],
}


async def post(client: aiohttp.ClientSession, path: str, document: Any) -> tuple[int, Any]:
    async with client.post(f"{BASE}/{path}", json=document) as answer:
        return answer.status, await answer.json()


async def test_a_grader_comes_back_as_it_was_understood() -> None:
    async with facing(REWARDS, {}) as (_, client):
        status, told = await post(client, "validate", {"grader": CHECK})
        assert (status, told) == (200, {"grader": CHECK})
        multi = {
            "type": "multi",
            "name": "both",
            "graders": {"a": CHECK, "b": PYTHON},
            "calculate_output": "0.5 * a + 0.5 * b",
        }
        assert (await post(client, "validate", {"grader": multi}))[0] == 200


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        ({}, "grader: missing"),
        ({"grader": {}}, "grader"),
        ({"grader": {**CHECK, "operation": "is"}}, "operation"),
        ({"grader": {**CHECK, "input": "{{ nobody.text }}"}}, "nobody"),
        ({"grader": MODEL}, "judge"),
        ({"grader": {**CHECK, "more": 1}}, "more"),
    ],
)
async def test_what_is_no_grader_is_refused(document: Any, fault: str) -> None:
    async with facing(REWARDS, {}) as (_, client):
        status, told = await post(client, "validate", document)
    assert status == 400
    assert fault in told["error"]["message"]
    assert told["error"]["type"] == "invalid_request_error"


async def test_a_run() -> None:
    async with facing(REWARDS, {}) as (_, client):
        document = {"grader": CHECK, "model_sample": "18", "item": {"answer": "18"}}
        status, told = await post(client, "run", document)
        assert status == 200
        assert told["reward"] == 1.0
        assert told["sub_rewards"] == {}
        assert (told["metadata"]["name"], told["metadata"]["type"]) == ("check", "string_check")
        assert not any(v is True for v in told["metadata"]["errors"].values())
        document["model_sample"] = "17"
        assert (await post(client, "run", document))[1]["reward"] == 0.0


async def test_source_runs_in_the_sandbox() -> None:
    async with facing(REWARDS, {}) as (_, client):
        document = {"grader": PYTHON, "model_sample": "abc", "item": {"most": 4}}
        assert (await post(client, "run", document))[1]["reward"] == 0.75
        spy = {**PYTHON, "source": "def grade(s, i): return len(open('/etc/passwd').read())"}
        _, told = await post(client, "run", {**document, "grader": spy})
    assert told["reward"] is None
    errors = told["metadata"]["errors"]
    assert errors["python_grader_runtime_error"] is True
    assert "Error" in errors["python_grader_runtime_error_details"]


async def test_a_judge_and_a_formula() -> None:
    async with serving() as judge:
        judge.replies = [says('{"steps": [], "result": 0.5}')]
        settings = {"openai": {"judge": {"base_url": judge.base_url}}}
        async with facing(REWARDS, settings) as (_, client):
            multi = {
                "type": "multi",
                "name": "both",
                "graders": {"a": CHECK, "m": MODEL},
                "calculate_output": "a + 2 * m",
            }
            document = {"grader": multi, "model_sample": "18", "item": {"answer": "18"}}
            _, told = await post(client, "run", document)
    assert told["reward"] == 2.0
    assert told["sub_rewards"] == {"a": 1.0, "m": 0.5}
    assert told["model_grader_token_usage_per_model"][MODEL["model"]]["total_tokens"] > 0


@pytest.mark.parametrize(("as_zero", "reward"), [(False, None), (True, 0.0)])
async def test_an_invalid_grade_is_null_or_by_configuration_zero(
    as_zero: bool, reward: float | None
) -> None:
    async with facing(REWARDS, {"invalid_as_zero": as_zero}) as (_, client):
        document = {"grader": CHECK, "model_sample": "18", "item": {}}
        status, told = await post(client, "run", document)
    assert (status, told["reward"]) == (200, reward)
    assert told["metadata"]["errors"]["invalid_variable_error"] is True


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        ({"grader": CHECK}, "model_sample"),
        ({"grader": CHECK, "model_sample": 3}, "model_sample"),
        ({"grader": CHECK, "model_sample": "x", "item": []}, None),
        ({"grader": CHECK, "model_sample": "x", "item": [1]}, "item"),
    ],
)
async def test_what_is_no_run_is_refused(document: Any, fault: str | None) -> None:
    async with facing(REWARDS, {}) as (_, client):
        status, told = await post(client, "run", document)
    if fault is not None:
        assert status == 400
        assert fault in told["error"]["message"]


@pytest.mark.parametrize(
    ("http", "fault"),
    [
        ({"gemini": {"judge": {}}}, "http.gemini"),
        ({"openai": {"judge": {"base_url": "x", "more": 1}}}, "http.openai"),
        ({"gemini": {"undocumented": {"no_answer": "maybe"}}}, "http.gemini"),
        ({"reward": "nobody"}, "http.reward"),
        ({"on_error": "zero"}, "http.on_error"),
    ],
)
def test_settings_that_cannot_be_are_refused(http: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        parse({"rewards": REWARDS, "http": http}, FOLDER)
