"""The reward target of a Gemini tuning job, over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ..support.rig import Rig, executions, poison
from .facing import facing

CONTENTS = [{"role": "user", "parts": [{"text": "What is the capital of France?"}]}]
REWARDS = {
    "exact": {"kind": "exact", "lane": "pool", "clip": [-1, 1], "correct_reward": 3},
    "parsed": {"kind": "numeric", "lane": "pool"},
    "one": poison(timeout_s=0.5),
}


def body(text: str = "Paris", **references: str) -> dict[str, Any]:
    """A call as the documentation shows it."""
    return {
        "example": {"contents": CONTENTS, "references": references or {"answer": "Paris"}},
        "response": {"parts": [{"text": text}]},
        "metadata": {"step": 1, "tuningJobId": 123456789},
    }


def face(
    http: dict[str, Any] | None = None, limits: dict[str, Any] | None = None
) -> AbstractAsyncContextManager[tuple[Rig, aiohttp.ClientSession]]:
    """The service with its HTTP port, and a client of it."""
    return facing(REWARDS, http or {"reward": "exact"}, limits)


async def posted(
    client: aiohttp.ClientSession, document: Any, path: str = "/"
) -> tuple[int, dict[str, Any], Any]:
    async with client.post(path, json=document) as answer:
        return answer.status, await answer.json(), answer.headers


async def test_a_call_gets_its_reward() -> None:
    async with face() as (_, client):
        assert (await posted(client, body()))[:2] == (200, {"reward": 1.0})
        assert (await posted(client, body("London")))[:2] == (200, {"reward": 0.0})


async def test_a_reward_has_an_address_of_its_own() -> None:
    async with face() as (_, client):
        status, answer, _headers = await posted(client, body("42", answer="42"), "/rewards/parsed")
    assert status == 200
    assert answer == {"reward": 1.0}


@pytest.mark.parametrize(
    "metadata",
    [None, {}, {"step": "7", "tuning_job_id": "123456789"}, {"tuningJobId": 5, "more": [1]}],
)
async def test_metadata_may_be_spelt_either_way_or_be_absent(metadata: Any) -> None:
    document = body()
    del document["metadata"]
    if metadata is not None:
        document["metadata"] = metadata
    async with face() as (it, client):
        assert (await posted(client, document))[0] == 200
        name = str((metadata or {}).get("tuningJobId", (metadata or {}).get("tuning_job_id", "")))
        assert it.metrics.requests["exact", name, "OK"] == 1


async def test_a_lasting_error_is_told_and_its_repetition_runs_nothing(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with face({"reward": "one"}) as (_, client):
        for _ in range(3):
            status, answer, _headers = await posted(client, body("raise", log=str(log)))
            assert status == 500
            assert answer["error"]["reason"] == "RAISED"
            assert answer["error"]["retryable"] is False
    assert executions(log)["raise"] == 1


async def test_a_lasting_error_may_be_a_number_by_configuration() -> None:
    async with face({"reward": "one", "on_error": {"value": -1}}) as (_, client):
        status, answer, _headers = await posted(client, body("raise"))
    assert status == 200
    assert answer["reward"] == -1
    assert answer["user_requested_aux_info"].startswith("RAISED: ")


async def test_an_error_that_may_pass_is_to_be_sent_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with face({"reward": "one", "on_error": {"value": -1}}) as (_, client):
        for _ in range(2):
            status, answer, headers = await posted(client, body("unavailable", log=str(log)))
            assert status == 503
            assert answer["error"]["retryable"] is True
            assert int(headers["retry-after"]) >= 1
    assert executions(log)["unavailable"] == 2


async def test_overload_is_refused_with_when_to_come_again() -> None:
    async with face(limits={"max_in_flight_items": 1}) as (it, client):
        slow = asyncio.create_task(it.score("one", ["sleep 0.4"]))
        await asyncio.sleep(0.2)
        status, answer, headers = await posted(client, body())
        assert status == 429
        assert answer["error"]["reason"] == "OVERLOADED"
        assert int(headers["retry-after"]) >= 1
        await slow
        assert (await posted(client, body()))[0] == 200


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        ([], "the body"),
        ({}, "example: is missing"),
        ({"example": {}}, "response: is missing"),
        ({"example": [], "response": {}}, "example"),
        ({"example": {}, "response": {"parts": [3]}}, "response.parts[0]"),
        ({"example": {}, "response": {}, "metadata": 3}, "metadata"),
        ({"example": {}, "response": {}, "metadata": {"step": "x"}}, "metadata.step"),
    ],
)
async def test_what_is_no_call_is_refused(document: Any, fault: str) -> None:
    async with face() as (_, client):
        status, answer, _headers = await posted(client, document)
    assert status == 400
    assert fault in answer["error"]["message"]


async def test_what_is_no_json_or_too_large_is_refused() -> None:
    async with face(limits={"max_item_bytes": 4096}) as (_, client):
        async with client.post("/", data=b'{"a": ') as answer:
            assert answer.status == 400
        async with client.post("/", data=b" " * 5000) as answer:
            assert answer.status == 413

        async def trickle() -> AsyncIterator[bytes]:
            for _ in range(10):
                yield b" " * 1000

        async with client.post("/", data=trickle()) as answer:
            assert answer.status == 413
        async with client.get("/") as answer:
            assert answer.status == 405
        assert (await posted(client, body(), "/rewards/nobody"))[0] == 404


async def test_there_must_be_a_reward() -> None:
    async with face({"on_error": "error"}) as (_, client):
        status, answer, _headers = await posted(client, body())
    assert status == 400
    assert "http.reward" in answer["error"]["message"]


async def test_calls_that_come_together_travel_together() -> None:
    async with face() as (it, client):
        answers = await asyncio.gather(*(posted(client, body(f"{i}")) for i in range(200)))
        assert all(answer[:2] == (200, {"reward": 0.0}) for answer in answers)
        assert it.metrics.batches_sum == 200
        assert sum(it.metrics.requests.values()) == 200
        assert it.admission.items == 0
