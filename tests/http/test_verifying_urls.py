"""NeMo Gym's and eval-protocol's URLs over real HTTP. The latter's own client is in
`tests/trainers`; NeMo Gym wants a newer Python."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ..support.rig import executions, poison
from .facing import facing

REWARDS = {
    "exact": {"kind": "exact"},
    "numeric": {"kind": "numeric", "explain": True},
    "one": poison(timeout_s=0.5),
}


@asynccontextmanager
async def served(http: dict[str, Any]) -> AsyncIterator[aiohttp.ClientSession]:
    async with facing(REWARDS, http) as (_, client):
        yield client


async def posted(client: aiohttp.ClientSession, path: str, body: Any) -> tuple[int, Any]:
    async with client.post(path, json=body) as answer:
        return answer.status, await answer.json()


# ---- NeMo Gym ------------------------------------------------------------------------------------
# SimpleAgent.run, responses_api_agents/simple_agent/app.py (0.7.0): seed_session, verify with the
# row and the response, then, of all, aggregate_metrics.


def row(text: str, **task: Any) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []}
    message = {"type": "message", "role": "assistant", "id": "m", "content": [part]}
    asked = {"input": [{"role": "user", "content": [{"type": "input_text", "text": "2+2?"}]}]}
    response = {"id": "r", "object": "response", "output": [{"type": "reasoning"}, message]}
    return {**task, "responses_create_params": asked, "response": response, "_ng_rollout_id": "x"}


async def test_nemo_gym_runs_its_whole_course() -> None:
    async with served({"nemo_gym": {"reward": "exact"}}) as client:
        seeded = {"responses_create_params": {"input": "2+2?"}, "answer": "4"}
        assert await posted(client, "/seed_session", seeded) == (200, {})
        session = {"resources_session_id": "s", "episode_id": "e", "task_id": "t", "task_data": {}}
        assert await posted(client, "/seed_session", session) == (
            200,
            {"resources_session_id": "s"},
        )
        verified = []
        for text, reward in (("4<|im_end|>", 1.0), ("5", 0.0)):
            body = row(text, answer="4", difficulty=3, _ng_task_index=7)
            status, answer = await posted(client, "/verify", body)
            told = {"reward": reward, "mask_sample": False}
            failure = {"failure_kind": None, "failure_reason": None}
            assert (status, answer) == (200, {**body, **told, **failure})
            verified.append(answer)
        status, masked = await posted(client, "/verify", row("4"))
        assert (status, masked["reward"], masked["mask_sample"]) == (200, 0.0, True)
        assert masked["failure_kind"] == "verifier_error"
        assert masked["failure_reason"].startswith("INVALID_REFERENCE")
        body = {"verify_responses": [*verified, masked]}
        status, answer = await posted(client, "/aggregate_metrics", body)
        assert (status, answer["agent_metrics"]) == (200, {"mean/reward": 0.5})
        assert await posted(client, "/close_session", session) == (
            200,
            {"resources_session_id": "s"},
        )


async def test_nemo_gym_masks_what_may_pass_too() -> None:
    async with served({"nemo_gym": {"reward": "one"}}) as client:
        _, answer = await posted(client, "/verify", row("unavailable"))
        assert (answer["mask_sample"], answer["failure_kind"]) == (True, "provider_unavailable")
    async with served({"nemo_gym": {"reward": "one", "on_error": "error"}}) as client:
        assert (await posted(client, "/verify", row("unavailable")))[0] == 503
        assert (await posted(client, "/verify", row("raise")))[0] == 500
    async with served({"nemo_gym": {"reward": "one", "on_error": {"value": -1}}}) as client:
        _, answer = await posted(client, "/verify", row("raise"))
        assert (answer["reward"], answer["mask_sample"]) == (-1.0, False)
        assert answer["failure_reason"].startswith("RAISED")


@pytest.mark.parametrize("body", [{"response": 3}, {"responses_create_params": {"input": [3]}}])
async def test_what_nemo_gym_does_not_send_is_refused(body: Any) -> None:
    async with served({"nemo_gym": {"reward": "exact"}}) as client:
        assert (await posted(client, "/verify", body))[0] == 400


# ---- eval-protocol -------------------------------------------------------------------------------

QUESTION = {"role": "user", "content": "2+2?"}


def said(text: str) -> list[dict[str, str]]:
    return [QUESTION, {"role": "assistant", "content": text}]


@pytest.mark.parametrize(
    "body",
    [
        {"ground_truth": "18", "kwargs": {"x": 1}},
        {"ground_truth": "18", "x": [1, 2]},
        {"ground_truth": [QUESTION], "answer": "18"},
        {"ground_truth": None, "kwargs": {"answer": "18"}},
        {"ground_truth": {"answer": "18"}},
    ],
)
async def test_eval_protocol_spells_its_arguments_either_way(body: Any) -> None:
    async with served({"eval_protocol": {"reward": "numeric"}}) as client:
        for text, score in (("18", 1.0), ("19", 0.0)):
            status, answer = await posted(client, "/evaluate", {"messages": said(text), **body})
            assert status == 200
            assert (answer["score"], answer["is_score_valid"], answer["error"]) == (
                score,
                True,
                None,
            )
            assert answer["reason"] == f"read {text}, gold 18"
            assert answer["metrics"]["parsed"]["score"] == 1.0


async def test_eval_protocol_gets_no_number_for_an_error(tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    body = {"messages": said("raise"), "ground_truth": None, "log": log}
    async with served({"eval_protocol": {"reward": "one"}}) as client:
        for _ in range(3):
            status, answer = await posted(client, "/evaluate", body)
            assert (status, answer["error"]["reason"]) == (500, "RAISED")
        assert (await posted(client, "/evaluate", {"messages": said("unavailable")}))[0] == 503
    assert executions(Path(log)) == {"raise": 1}
    async with served({"eval_protocol": {"reward": "one", "on_error": {"value": 0}}}) as client:
        status, answer = await posted(client, "/evaluate", body)
        assert (status, answer["score"], answer["is_score_valid"]) == (200, 0.0, False)
        assert answer["error"].startswith("RAISED: ")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "messages: want a list"),
        ({"messages": [QUESTION]}, "want the assistant's"),
        ({"messages": [{"role": "assistant", "content": 3}]}, "messages[0]"),
        ({"messages": said("1"), "kwargs": 3}, "kwargs: want an object"),
    ],
)
async def test_what_eval_protocol_does_not_send_is_refused(body: Any, message: str) -> None:
    async with served({"eval_protocol": {"reward": "exact"}}) as client:
        status, answer = await posted(client, "/evaluate", body)
        assert (status, message in answer["error"]["message"]) == (400, True)


async def test_what_is_not_switched_on_says_how() -> None:
    urls = {
        "open_instruct": ("/test_program", "/test_program_stdio"),
        "nemo_gym": ("/verify", "/seed_session", "/close_session", "/aggregate_metrics"),
        "eval_protocol": ("/evaluate",),
        "sandbox_fusion": ("/run_code",),
    }
    async with served({}) as client:
        for name, paths in urls.items():
            for path in paths:
                status, answer = await posted(client, path, {})
                assert (status, f"set http.{name}" in answer["error"]["message"]) == (404, True)
