"""Answers of models on transformers are held to their schemas."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from rewardplane.models.loading import load_model
from rewardplane.rewards.models.question import Sampling
from rewardplane.rewards.types import InvalidResult

from .tiny import config

pytest.importorskip("torch", reason="torch is not installed: make test-models")
pytest.importorskip("llguidance", reason="llguidance is not installed: make test-models")

VERDICT = {
    "type": "object",
    "properties": {
        "reasons": {"type": "string", "maxLength": 30},
        "label": {"enum": ["yes", "no"]},
        "marks": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 9}},
    },
    "required": ["reasons", "label"],
    "additionalProperties": False,
}
NUMBER = {
    "type": "object",
    "properties": {"score": {"type": "integer", "minimum": 1, "maximum": 5}},
    "required": ["score"],
    "additionalProperties": False,
}
FLAG = {"type": "boolean"}


@pytest.mark.parametrize("temperature", [0.0, 1.5])
async def test_what_a_model_of_random_weights_writes_fits_its_schema(
    chat_model: Path, temperature: float
) -> None:
    """Several schemas and none at all in one batch."""
    loaded = await load_model(config(chat_model, head="chat", determinism="none"))
    sampling = Sampling(temperature=temperature, max_tokens=200, seed=3)
    schemas: list[Any] = [VERDICT, NUMBER, FLAG, None, NUMBER]

    async def ask(number: int, schema: Any) -> Any:
        shown = [{"role": "user", "content": f"a lazy dog {number}"}]
        return await loaded.model.text(shown, sampling=sampling, schema=schema, timeout_s=60)

    said = await asyncio.gather(*(ask(i, schema) for i, schema in enumerate(schemas)))
    passes = loaded.inner.engine.batcher.passes
    await loaded.close()
    assert passes == 1
    for schema, one in zip(schemas, said, strict=True):
        if schema is None:
            continue
        if one.finish_reason == "length":  # a list without an end
            assert schema is VERDICT
            continue
        jsonschema.validate(json.loads(one.text), schema)
    assert said[1].finish_reason == said[2].finish_reason == said[4].finish_reason == "stop"


async def test_a_schema_that_no_grammar_is_made_of_holds_nothing(chat_model: Path) -> None:
    loaded = await load_model(config(chat_model, head="chat"))
    shown = [{"role": "user", "content": "a lazy dog"}]
    sampling = Sampling(temperature=0.0, max_tokens=5)
    schema = {"type": "string", "pattern": "(?<=a)b"}
    said = await loaded.model.text(shown, sampling=sampling, schema=schema, timeout_s=60)
    await loaded.close()
    assert said.usage.completion_tokens >= 0


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("schema", [NUMBER, FLAG, None])
async def test_of_logits_that_are_none_no_answer_is_drawn(
    chat_model: Path, temperature: float, schema: Any
) -> None:
    """The first token that a schema allows would be one: a verdict, and a number."""
    loaded = await load_model(config(chat_model, head="chat", determinism="none"))
    sampling = Sampling(temperature=temperature, max_tokens=20, seed=3)
    loaded.inner.engine.model.lm_head.weight.data[:] = float("nan")
    for number in range(2):
        shown = [{"role": "user", "content": f"a lazy dog {number}"}]
        with pytest.raises(InvalidResult, match="NaN"):
            await loaded.model.text(shown, sampling=sampling, schema=schema, timeout_s=60)
    await loaded.close()
