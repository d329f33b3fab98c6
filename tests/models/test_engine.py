"""Numbers of an engine that are none: never a reading, never a model that serves."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from rewardplane.models.engine import EngineFailed, EngineModel
from rewardplane.models.prompts import Prompt, Prompter
from rewardplane.models.self_test import self_test
from rewardplane.models.vllm_engine import _priority, chosen, engine_arguments
from rewardplane.replica.places import URGENCY
from rewardplane.rewards.judging.questions import predicate
from rewardplane.rewards.models.model import LabelReading
from rewardplane.rewards.models.model_facts import ModelFacts
from rewardplane.rewards.models.question import Sampling
from rewardplane.rewards.types import InvalidInput, InvalidResult, JudgeUnreadable, Unavailable

from .weights.tiny import config


class Prompts:
    """A prompter of one token a word, without a tokenizer."""

    bos, max_tokens, template_digest = None, 100, "t"

    def encode(self, messages: Any, *, asks: bool) -> list[int]:
        return [len(word) for message in messages for word in message["content"].split()]

    def prompt(self, messages: Any, *, asks: bool, room: int = 0) -> Prompt:
        return Prompt(self.encode(messages, asks=asks))

    def prompts(self, wanted: Sequence[Any]) -> list[Prompt]:
        return [self.prompt(one.messages, asks=one.asks) for one in wanted]

    def label_ids(self, messages: Any, labels: Sequence[str]) -> list[int]:
        return [*range(len(labels))]


class Says:
    """An engine that says the same of everything."""

    facts = ModelFacts("says", dtype="float32", read="logits", tells_label_mass=True)
    broken = ""

    def __init__(self, *numbers: float) -> None:
        self.numbers = numbers

    async def label_logprobs(
        self, ids: Sequence[int], label_ids: Sequence[int], media: Any = None
    ) -> list[float]:
        return [self.numbers[at % len(self.numbers)] for at in label_ids]

    async def close(self) -> None:
        pass


def model(*numbers: float) -> EngineModel:
    return EngineModel("m", "chat", cast("Any", Says(*numbers)), cast("Any", Prompts()))


async def read(made: EngineModel) -> Any:
    shown = [{"role": "user", "content": "x"}]
    try:
        return await made.labels(shown, predicate("?"), sampling=Sampling(), timeout_s=9)
    finally:
        await made.close()


@pytest.mark.parametrize(
    "numbers", [(math.nan, -1.0), (math.inf, -1.0), (-1.0, 12.5), (900.0, 901.0), (-0.1, -0.1)]
)
async def test_what_is_no_log_probability_is_no_reading(numbers: tuple[float, ...]) -> None:
    with pytest.raises(InvalidResult):
        await read(model(*numbers))


async def test_log_probabilities_are_a_reading() -> None:
    found = await read(model(math.log(0.6), math.log(0.2)))
    assert found.probs == pytest.approx({"Yes": 0.75, "No": 0.25})
    assert found.label_mass == pytest.approx(0.8)
    found = await read(model(0.0, -math.inf))
    assert (found.probs, found.label_mass) == ({"Yes": 1.0, "No": 0.0}, 1.0)
    with pytest.raises(JudgeUnreadable):
        await read(model(-math.inf, -math.inf))


@pytest.mark.parametrize("numbers", [(math.nan, math.nan), (-math.inf, -math.inf)])
async def test_a_model_that_says_no_numbers_does_not_serve(
    numbers: tuple[float, ...], tmp_path: Path
) -> None:
    made = model(*numbers)
    checks = await self_test(config(tmp_path, head="chat"), made)
    assert [check.name for check in checks if check.fault] == ["finite numbers"]
    await made.close()
    made = model(-1.0, -1.0)
    assert not any(c.fault for c in await self_test(config(tmp_path, head="chat"), made))
    await made.close()


def test_of_several_outputs_one_is_to_be_chosen() -> None:
    assert chosen([0.5], None) == 0.5
    assert chosen([0.5, 0.7], 1) == 0.7
    with pytest.raises(EngineFailed, match="2 outputs; say which one"):
        chosen([0.5, 0.7], None)
    for label in (-1, 2):
        with pytest.raises(EngineFailed, match="want 0 to 1"):
            chosen([0.5, 0.7], label)


def test_labels_are_read_by_log_probabilities_alone(tmp_path: Path) -> None:
    made = config(tmp_path, runs="vllm", head="chat", engine={"logprobs_mode": "raw_logits"})
    with pytest.raises(EngineFailed, match="raw_logprobs"):
        engine_arguments(made, 100)


def test_deadlines_are_in_order_however_long_the_machine_is_up() -> None:
    year_ns = 365 * 86_400 * 10**9
    found: list[int] = []
    for deadline_ns in (year_ns, year_ns + 10**9):
        URGENCY.set((deadline_ns, 0))
        found.append(_priority())
    assert found[0] < found[1]


class Letters:
    """A tokenizer of one token a letter, in the shape of transformers'."""

    bos_token_id, chat_template = None, "t"

    def __call__(self, text: str | list[str], **_: Any) -> dict[str, Any]:
        ids = [[*map(ord, one)] for one in ([text] if isinstance(text, str) else text)]
        return {"input_ids": ids[0] if isinstance(text, str) else ids}

    def apply_chat_template(self, messages: Any, **_: Any) -> str:
        return "".join(message["content"] for message in messages)

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(map(chr, ids))


def test_an_answer_that_leaves_no_room_is_told_as_such() -> None:
    shown = [{"role": "user", "content": "x" * 10}]
    for cuts in (False, True):
        prompter = Prompter(Letters(), 20, cuts=cuts)
        assert len(prompter.prompt(shown, asks=True, room=10).ids) == 10
        with pytest.raises(InvalidInput, match="20 with the conversation; lower max_tokens"):
            prompter.prompt(shown, asks=True, room=20)


def test_what_follows_the_users_last_turn_is_never_cut() -> None:
    shown = [{"role": "user", "content": "p" * 30}, {"role": "assistant", "content": "r" * 15}]
    made = Prompter(Letters(), 20, cuts=True).prompt(shown, asks=False)
    assert Letters().decode(made.ids) == "p" * 5 + "r" * 15
    assert made.cut_tokens == 25
    with pytest.raises(InvalidInput, match="not enough"):
        Prompter(Letters(), 14, cuts=True).prompt(shown, asks=False)
    question = [{"role": "system", "content": "s" * 30}, {"role": "user", "content": "q" * 15}]
    made = Prompter(Letters(), 20, cuts=True).prompt(question, asks=True)
    assert Letters().decode(made.ids) == "s" * 5 + "q" * 15


class Slow(Prompts):
    """Takes its time."""

    def prompts(self, wanted: Sequence[Any]) -> list[Prompt]:
        time.sleep(0.1)
        return super().prompts(wanted)


@pytest.mark.parametrize("ticks", [0, 1, 2])
async def test_a_model_that_is_closed_answers_at_once(ticks: int) -> None:
    shown = [{"role": "user", "content": "a b"}]
    closed = EngineModel("m", "chat", cast("Any", Says(-1.0)), cast("Any", Slow()))
    options: Any = {"sampling": Sampling(), "timeout_s": 60}
    asks = [asyncio.create_task(closed.labels(shown, predicate("?"), **options)) for _ in range(40)]
    for _ in range(ticks):
        await asyncio.sleep(0)
    await closed.close()
    async with asyncio.timeout(5):
        told = await asyncio.gather(*asks, return_exceptions=True)
        assert {type(one) for one in told} <= {Unavailable, LabelReading}
        assert isinstance(told[-1], Unavailable)
        with pytest.raises(Unavailable, match="the model was stopped"):
            await closed.labels(shown, predicate("?"), **options)
