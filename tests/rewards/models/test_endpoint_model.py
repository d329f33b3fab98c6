"""A model behind HTTP: four wires, four ways to read labels, and what is no answer is no number."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import ValidationError
from rewardplane.rewards.models.endpoint_model import EndpointModel
from rewardplane.rewards.models.model import Label, LabelQuestion, LabelReading
from rewardplane.rewards.models.model_endpoint import ModelEndpoint
from rewardplane.rewards.models.question import Sampling
from rewardplane.rewards.types import (
    InvalidInput,
    InvalidResult,
    JudgeRefused,
    JudgeUnreadable,
    ModelChanged,
    RewardFault,
    Unavailable,
)

from ...support.endpoint_server import FEATURES, EndpointServer, serving

SHOWN = [{"role": "user", "content": "Here is a text."}]
PREDICATE = LabelQuestion("predicate", "Is it good?", (Label("Yes", 1.0), Label("No", 0.0)))
CHOICE = LabelQuestion(
    "choice", "Which tone?", (Label("A", 1, "calm"), Label("B", 0, "angry"), Label("C", 0.5))
)
SCORE = LabelQuestion("score", "How good?", tuple(Label(str(n), n) for n in range(1, 6)))
QUESTIONS = [PREDICATE, CHOICE, SCORE]
LADDER = {
    "logprob_token_ids": FEATURES,
    "top_logprobs": FEATURES - {"logprob_token_ids"},
    "structured": FEATURES - {"logprob_token_ids"},
    "text": FEATURES - {"logprob_token_ids", "top_logprobs", "structured"},
}


@contextlib.asynccontextmanager
async def started(endpoint: EndpointServer, **settings: Any) -> AsyncIterator[EndpointModel]:
    """The model of an endpoint, after its start."""
    options = {"base_url": endpoint.base_url, "name": "m", **settings}
    model = EndpointModel("judge", ModelEndpoint.model_validate(options))
    try:
        await model.start()
        yield model
    finally:
        await model.close()


async def read(model: EndpointModel, question: LabelQuestion = PREDICATE) -> LabelReading:
    return await model.labels(SHOWN, question, sampling=Sampling(), timeout_s=5)


@pytest.mark.parametrize("by", [*LADDER])
async def test_labels_are_read_the_most_exact_way_that_works(by: str) -> None:
    async with serving(LADDER[by]) as endpoint:
        # Of the ways that tell the label mass, one under which there is hardly any is not taken.
        endpoint.label_mass = 0.05 if by == "structured" else 0.9
        async with started(endpoint) as model:
            assert model.facts.read == by
            assert model.facts.tells_label_mass is (by in ("logprob_token_ids", "top_logprobs"))
            assert model.facts.fingerprint == "fake-1"
            for question in QUESTIONS:
                found = await read(model, question)
                assert found.read == by
                assert math.isclose(math.fsum(found.probs.values()), 1.0)
                first, *rest = found.probs.values()
                if by == "text":
                    assert (first, found.label_mass) == (1.0, None)
                    continue
                assert first == pytest.approx(0.8)
                assert rest == pytest.approx([0.2 / len(rest)] * len(rest))
                told = None if by == "structured" else pytest.approx(0.9)
                assert found.label_mass == told
                assert found.usage.calls == 1
                assert found.usage.prompt_tokens == 100


@pytest.mark.parametrize("by", ["logprob_token_ids", "structured", "text"])
async def test_a_way_that_is_named_is_taken_or_refused(by: str) -> None:
    async with serving() as endpoint, started(endpoint, labels_by=by) as model:
        assert model.facts.read == by
    without = {"logprob_token_ids": LADDER["top_logprobs"], "structured": LADDER["text"]}
    if by in without:
        async with serving(without[by]) as endpoint:
            with pytest.raises(ValueError, match=by):
                async with started(endpoint, labels_by=by):
                    pass


async def test_a_label_that_is_two_tokens_is_not_read_by_token() -> None:
    words = LabelQuestion("choice", "?", (Label("helpful"), Label("harmful")))
    async with serving() as endpoint, started(endpoint) as model:
        with pytest.raises(JudgeUnreadable, match="not one token"):
            await read(model, words)


@pytest.mark.parametrize("wire", ["decisions", "systemone"])
async def test_typed_decisions(wire: str) -> None:
    async with serving() as endpoint, started(endpoint, wire=wire) as model:
        assert model.facts.read == wire
        assert model.facts.tells_label_mass is (wire == "systemone")
        for question in QUESTIONS:
            found = await read(model, question)
            assert [*found.probs] == [label.text for label in question.labels]
            assert next(iter(found.probs.values())) == pytest.approx(0.8)
            assert found.label_mass == (0.9 if wire == "systemone" else None)
            assert found.usage.prompt_tokens == (60 if wire == "systemone" else 50)
        body = endpoint.bodies[-1]
        if wire == "decisions":
            assert body["input"] == [
                {"type": "message", "role": "user", "content": "Here is a text."}
            ]
            levels = [{"label": str(n)} for n in range(1, 6)]
            asked = {"type": "score", "instructions": "How good?", "levels": levels}
            assert body["questions"] == [asked]
            assert found.usage.cached_tokens == 8
        else:
            assert body["state"] == "Here is a text."
            criteria = ["1", "2", "3", "4", "5"]
            asked = {"type": "score", "instructions": "How good?", "criteria": criteria}
            assert body["questions"] == {"q": asked}


@pytest.mark.parametrize("tag", ["<think>", "</think>", "<think>hm</think>", "<|channel|>"])
async def test_a_tag_in_the_reasons_of_a_verdict_is_data(tag: str) -> None:
    async with serving() as endpoint, started(endpoint, labels_by="text") as model:
        endpoint.reasons = f"the response has {tag} in it"
        found = await read(model)
        assert found.probs["Yes"] == 1.0
        assert found.usage.calls == 1
        assert tag in found.text


async def test_decisions_may_be_declined() -> None:
    async with serving() as endpoint, started(endpoint, wire="decisions") as model:
        endpoint.breaks = lambda text: "refusal"
        with pytest.raises(JudgeRefused):
            await read(model)


@pytest.mark.parametrize("wire", ["decisions", "systemone"])
@pytest.mark.parametrize("value", [math.nan, 1.5, -0.2, None, "0.5", True])
async def test_a_decision_without_a_sound_probability_is_none(wire: str, value: Any) -> None:
    async with serving() as endpoint, started(endpoint, wire=wire) as model:
        endpoint.prefer = lambda text: value
        with pytest.raises((JudgeUnreadable, InvalidResult)):
            await read(model)


async def test_the_number_of_a_reward_model() -> None:
    async with serving() as endpoint, started(endpoint, wire="classify") as model:
        assert (model.head, model.facts.read) == ("scalar", "classify")
        endpoint.number = lambda text: -3.25
        found = await model.scalar(SHOWN, timeout_s=5)
        assert (found.value, found.prompt_tokens) == (-3.25, 30)
        assert endpoint.paths[-1] == "/classify"
        endpoint.number = lambda text: math.nan
        with pytest.raises(InvalidResult):
            await model.scalar(SHOWN, timeout_s=5)
        with pytest.raises(InvalidInput, match="reads no labels"):
            await read(model)


async def test_a_softmax_over_one_number_is_refused() -> None:
    async with serving() as endpoint:
        endpoint.number = lambda text: 1.0
        with pytest.raises(ValueError, match="softmax"):
            async with started(endpoint, wire="classify"):
                pass


@pytest.mark.parametrize("wire", ["chat", "decisions", "systemone", "classify"])
async def test_another_model_at_the_endpoint_is_no_number(wire: str) -> None:
    async with serving() as endpoint, started(endpoint, wire=wire) as model:
        endpoint.model = "fake-2"
        call = model.scalar(SHOWN, timeout_s=5) if wire == "classify" else read(model)
        with pytest.raises(ModelChanged, match=r"'fake-2'.*was 'fake-1'"):
            await call
        endpoint.model = "fake-1"
        await (model.scalar(SHOWN, timeout_s=5) if wire == "classify" else read(model))


@pytest.mark.parametrize("wire", ["chat", "decisions", "systemone", "classify"])
async def test_an_answer_of_no_named_model_is_no_number_where_others_had_a_name(wire: str) -> None:
    """As of a balancer with another server behind it."""
    unnamed: Any = None
    async with serving() as endpoint, started(endpoint, wire=wire) as model:
        for name in (unnamed, "", 7):
            endpoint.model = name
            call = model.scalar(SHOWN, timeout_s=5) if wire == "classify" else read(model)
            with pytest.raises(ModelChanged, match=r"'no name', was 'fake-1'"):
                await call
    async with serving() as endpoint:
        endpoint.model = unnamed
        async with started(endpoint, wire=wire) as model:  # it never names any
            await (model.scalar(SHOWN, timeout_s=5) if wire == "classify" else read(model))
        with pytest.raises(ModelChanged):  # and must
            async with started(endpoint, wire=wire, reports="fake-1"):
                pass


async def test_how_strict_a_change_is_taken() -> None:
    async with serving() as endpoint:
        endpoint.fingerprint = "fp_1"
        async with started(endpoint) as usual, started(endpoint, on_change="strict") as strict:
            assert (usual.identity, strict.identity) == ("fake-1", "fake-1")
            assert strict.facts.fingerprint == "fake-1 fp_1"
            endpoint.fingerprint = "fp_2"
            await read(usual)
            with pytest.raises(ModelChanged):
                await read(strict)
        async with started(endpoint, on_change="tell") as model:
            endpoint.model = "fake-2"
            await read(model)
            assert not model.identity
            assert model.take_figures()["judge_model_changes"] == 1
        with pytest.raises(ModelChanged):
            async with started(endpoint, reports="fake-1"):
                pass


async def test_an_endpoint_out_of_reach_fails_the_start() -> None:
    async with serving() as endpoint:
        endpoint.breaks = lambda text: "http 400"
        with pytest.raises(ValueError, match="cannot be read"):
            async with started(endpoint):
                pass
    options = ModelEndpoint(base_url="http://127.0.0.1:9/v1", name="m", wire="decisions")
    model = EndpointModel("judge", options)
    with pytest.raises(Unavailable):
        await model.start()
    await model.close()


async def test_text_is_asked_for_with_and_without_a_schema() -> None:
    async with serving() as endpoint, started(endpoint) as model:
        for schema in (None, {"type": "object"}):
            said = await model.text(
                SHOWN, sampling=Sampling(max_tokens=9, seed=1), schema=schema, timeout_s=5
            )
            assert said.finish_reason == "stop"
            assert said.usage.calls == 1
            body = endpoint.bodies[-1]
            assert (body["max_completion_tokens"], body["seed"]) == (9, 1)
            assert ("response_format" in body) is (schema is not None)
    async with serving() as endpoint, started(endpoint, structured=False) as model:
        await model.text(SHOWN, sampling=Sampling(), schema={"type": "object"}, timeout_s=5)
        assert "JSON schema" in endpoint.bodies[-1]["messages"][-1]["content"]
        assert "response_format" not in endpoint.bodies[-1]


async def test_fields_of_the_configuration_go_along_and_override_nothing() -> None:
    request = {"chat_template_kwargs": {"enable_thinking": False}, "model": "other"}
    async with serving() as endpoint, started(endpoint, request=request) as model:
        await read(model)
        body = endpoint.bodies[-1]
        assert body["chat_template_kwargs"] == {"enable_thinking": False}
        assert body["model"] == "m"


async def test_images_and_sounds_reach_the_endpoint_as_data() -> None:
    uri, sound = "data:image/png;base64,AAAA", {"data": "AAAA", "format": "wav"}
    parts = [
        {"type": "text", "text": "Look."},
        {"type": "image_url", "image_url": {"url": uri}},
        {"type": "input_audio", "input_audio": sound},
    ]
    shown = [{"role": "user", "content": parts}]
    async with serving() as endpoint:
        async with started(endpoint) as model:
            await model.labels(shown, PREDICATE, sampling=Sampling(), timeout_s=5)
            content = endpoint.bodies[-1]["messages"][0]["content"]
            assert content[:3] == parts
            assert content[3]["text"].startswith("\n\nIs it good?")
        async with started(endpoint, wire="systemone") as model:
            await model.labels(shown, PREDICATE, sampling=Sampling(), timeout_s=5)
            assert endpoint.bodies[-1]["images"] == [uri]
            assert endpoint.bodies[-1]["audio"] == ["data:audio/wav;base64,AAAA"]
        async with started(endpoint, wire="decisions") as model:
            with pytest.raises(InvalidInput, match="input_audio"):
                await model.labels(shown, PREDICATE, sampling=Sampling(), timeout_s=5)
            seen = [{"role": "user", "content": parts[:2]}]
            await model.labels(seen, PREDICATE, sampling=Sampling(), timeout_s=5)
            image = {"type": "input_image", "image_url": uri}
            assert endpoint.bodies[-1]["input"][0]["content"][1] == image


async def test_all_callers_together_keep_the_limit() -> None:
    # 3,000 a minute let through 50 at once and 49.2 more each second: never more in any minute.
    async with serving() as endpoint, started(endpoint, requests_per_minute=3_000) as model:
        endpoint.per_minute = 3_000
        endpoint.times_s.clear()
        begin_s, answered = time.monotonic(), 0

        async def client() -> None:
            nonlocal answered
            while time.monotonic() < begin_s + 2.5:
                await read(model)
                answered += 1

        await asyncio.gather(*(client() for _ in range(32)))
        took_s = time.monotonic() - begin_s
    assert endpoint.refused == 0
    assert answered > 60, "the limit is used, not only kept"
    assert len(endpoint.times_s) <= 50 + 49.2 * took_s


@pytest.mark.parametrize(
    "settings",
    [
        {"models": {"*": "x"}},
        {"wire": "decisions", "labels_by": "text"},
        {"wire": "smoke"},
        {"base_url": "ftp://x"},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ModelEndpoint.model_validate({"base_url": "http://x/v1", "name": "m", **settings})


async def test_a_model_that_did_not_start_says_so() -> None:
    model = EndpointModel("judge", ModelEndpoint(base_url="http://127.0.0.1:9/v1", name="m"))
    with pytest.raises(RewardFault, match="not started"):
        await read(model)
    await model.close()
