"""The URLs of OpenRLHF, slime and miles over real HTTP, with the bodies that their clients send."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from rewardplane.config.load import ConfigError, parse
from rewardplane.config.settings import RewardUrl
from rewardplane.http.openrlhf import openrlhf_items
from rewardplane.http.remote_rm import remote_rm_item
from rewardplane.wire.errors import InvalidRequest

from ..support.rig import FOLDER, executions, poison
from .facing import facing

REWARDS = {"exact": {"kind": "exact"}, "one": poison(timeout_s=0.5)}
BOTH = {"openrlhf": {"reward": "exact"}, "remote_rm": {"reward": "exact"}}


def query(text: str = "Paris", label: Any = "Paris") -> dict[str, Any]:
    """As OpenRLHF's client sends one sample."""
    prompt = "<|im_start|>user\nCapital of France?<|im_end|>\n<|im_start|>assistant\n"
    return {"query": [f"{prompt}{text}<|im_end|>"], "prompts": [prompt], "labels": [label]}


def sample(text: str = "Paris", label: Any = "Paris", prompt: Any = "Capital?") -> dict[str, Any]:
    """As slime's and miles' clients send one sample."""
    return {"prompt": prompt, "response": text, "label": label}


async def posted(client: aiohttp.ClientSession, path: str, body: Any) -> tuple[int, Any]:
    async with client.post(path, json=body) as answer:
        return answer.status, await answer.json()


async def test_openrlhf_gets_lists() -> None:
    async with facing(REWARDS, BOTH) as (_, client):
        for text, reward in (("Paris", 1.0), ("London", 0.0)):
            want = {
                "rewards": [reward],
                "scores": [reward],
                "extra_logs": {"rewardplane_ok": [1.0]},
            }
            assert await posted(client, "/get_reward", query(text)) == (200, want)
        # 0.11.1 sends empty lists to all its URLs but one.
        empty: dict[str, Any] = {"query": [], "prompts": [], "labels": []}
        status, answer = await posted(client, "/get_reward", empty)
        assert (status, answer["rewards"]) == (200, [])
        many = {name: query()[name] * 3 for name in ("query", "prompts")}
        status, answer = await posted(client, "/get_reward", {**many, "labels": ["Paris", "x", 3]})
        assert (status, answer["rewards"]) == (200, [1.0, 0.0, 0.0])


async def test_slime_and_miles_get_a_bare_number() -> None:
    chat = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "Capital?"}]
    async with facing(REWARDS, BOTH) as (_, client):
        assert await posted(client, "/remote_rm", sample()) == (200, 1.0)
        assert await posted(client, "/remote_rm", sample("London", prompt=chat)) == (200, 0.0)
        assert await posted(client, "/remote_rm", sample(label={"answer": "Paris"})) == (200, 1.0)


async def test_a_thousand_at_once() -> None:
    async with facing(REWARDS, BOTH) as (_, client):
        texts = ["Paris" if i % 3 else "London" for i in range(1_024)]
        calls = [posted(client, "/remote_rm", sample(text)) for text in texts]
        calls += [posted(client, "/get_reward", query(text)) for text in texts]
        answers = await asyncio.gather(*calls)
    want = [float(text == "Paris") for text in texts]
    assert [answer for _, answer in answers[:1_024]] == want
    assert [answer["rewards"][0] for _, answer in answers[1_024:]] == want


@pytest.mark.parametrize("path", ["/get_reward", "/remote_rm"])
async def test_a_lasting_error_is_no_number_and_runs_once(path: str, tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    label = {"answer": "x", "log": log}
    body = query("raise", label) if path == "/get_reward" else sample("raise", label)
    urls = {"openrlhf": {"reward": "one"}, "remote_rm": {"reward": "one"}}
    async with facing(REWARDS, urls) as (_, client):
        for _ in range(5):
            status, answer = await posted(client, path, body)
            assert status == 500
            assert answer["error"]["reason"] == "RAISED"
            assert answer["error"]["retryable"] is False
    assert executions(Path(log)) == {"raise": 1}


@pytest.mark.parametrize("path", ["/get_reward", "/remote_rm"])
async def test_an_error_is_the_number_that_the_configuration_says(path: str) -> None:
    url = {"reward": "exact", "on_error": {"value": -2.5}}
    async with facing(REWARDS, {"openrlhf": url, "remote_rm": url}) as (_, client):
        if path == "/remote_rm":
            assert await posted(client, path, sample(label=None)) == (200, -2.5)
        else:
            status, answer = await posted(client, path, query(label=None))
            assert (status, answer["rewards"]) == (200, [-2.5])
            assert answer["extra_logs"] == {"rewardplane_ok": [0.0]}


async def test_what_is_not_switched_on_says_how() -> None:
    async with facing(REWARDS, {}) as (_, client):
        for path, name in (("/get_reward", "openrlhf"), ("/remote_rm", "remote_rm")):
            status, answer = await posted(client, path, {})
            assert status == 404
            assert f"set http.{name}" in answer["error"]["message"]


def test_a_reward_that_is_not_there_is_refused_early() -> None:
    document = {"rewards": REWARDS, "http": {"openrlhf": {"reward": "exat"}}}
    with pytest.raises(ConfigError, match=r"http\.openrlhf\.reward: no reward is named 'exat'"):
        parse(document, FOLDER)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "query: want a list of texts"),
        ({"query": ["a"], "prompts": []}, "have 1, 0 and 1 entries"),
        ({"query": [1], "prompts": ["a"]}, "query: want a list of texts"),
        ({"query": ["xyz"], "prompts": ["abc"]}, r"query\[0\]: the response cannot be told"),
        ({"query": ["a"], "prompts": ["a"], "labels": "4"}, "labels: want a list"),
    ],
)
async def test_what_is_no_request_of_openrlhf_is_refused(body: Any, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        openrlhf_items(body, RewardUrl(reward="exact"))
    async with facing(REWARDS, BOTH) as (_, client):
        assert (await posted(client, "/get_reward", body))[0] == 400


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"prompt": "q"}, "response: want a text"),
        ({"prompt": 3, "response": "r"}, "prompt: want a text or a list of messages"),
        ({"prompt": [{"role": "user"}], "response": "r"}, r"prompt\[0\]: want a message"),
    ],
)
def test_what_is_no_request_of_slime_is_refused(body: Any, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        remote_rm_item(body, RewardUrl(reward="exact"))


def test_what_arrives_is_what_was_sent() -> None:
    settings = RewardUrl(reward="exact", gold="label", end_tokens=("<end>",))
    chat = [{"role": "system", "content": "s"}, {"role": "assistant", "content": "a"}]
    example, response = remote_rm_item(sample("4</s><end><end>", 4, chat), settings)
    assert response.text == "4</s>"
    assert example.json_references == {"label": "4"}
    assert example.system_instruction is not None
    assert [(c.role, c.text) for c in example.contents] == [("model", "a")]
    ((example, response),) = openrlhf_items(query(label={"a": "b", "c": [1]}), settings)
    assert (example.references, example.json_references) == ({"a": "b"}, {"c": "[1]"})
    assert response.text == "Paris<|im_end|>"
