"""What an engine of this process can do, and the `Model` that rewards get of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from rewardplane.rewards.models.asking import asked
from rewardplane.rewards.models.model import Completion, Head, LabelQuestion, LabelReading, Scalar
from rewardplane.rewards.models.model_facts import ModelFacts
from rewardplane.rewards.models.question import Sampling
from rewardplane.rewards.models.thoughts import without_thoughts
from rewardplane.rewards.text.chat import Message
from rewardplane.rewards.types import InvalidResult, JudgeUnreadable, Usage

from .prompts import Prompter
from .tokenising import Tokeniser

MAX_NONSENSE = 10
"""So many answers in a row that are no numbers: the engine is broken."""
MAX_ANSWER_TOKENS = 1_024
MOST_MASS = 1.01
"""What labels may have together; more is rounding no longer, but numbers that are no shares."""


Media = Mapping[str, Any]
"""Tensors by the names that the model's `forward` has for them."""


class EngineFailed(Exception):
    """A model cannot be served; the message says why."""


class Engine(Protocol):
    """Token ids in, numbers or tokens out. Each raises MemoryError where memory does not suffice.

    Whoever is cancelled while it waits leaves nothing that runs. `media` is what the model gets
    beside the ids (`Prompt.media`); only an engine whose prompter makes any is given any.
    """

    @property
    def facts(self) -> ModelFacts:
        """What it serves."""
        ...

    @property
    def broken(self) -> str:
        """Why it will never answer again; empty while it works."""
        ...

    async def start(self) -> None:
        """Loads the weights. Raises `EngineFailed` or what the libraries raise."""
        ...

    async def close(self) -> None:
        """Frees what it holds."""
        ...

    async def score(self, ids: Sequence[int], media: Media | None = None) -> float:
        """The scalar head's number at the last token, no activation."""
        ...

    async def label_logprobs(
        self, ids: Sequence[int], label_ids: Sequence[int], media: Media | None = None
    ) -> list[float]:
        """The log-probability of each label as the next token, over the whole vocabulary."""
        ...

    async def generate(
        self,
        ids: Sequence[int],
        sampling: Sampling,
        schema: Mapping[str, Any] | None,
        media: Media | None = None,
    ) -> tuple[list[int], str]:
        """The tokens that follow, without the end token, and why they end ("stop", "length")."""
        ...


class EngineModel:
    """A `Model` on an engine of this process."""

    def __init__(self, name: str, head: Head, engine: Engine, prompter: Prompter) -> None:
        self._name = name
        self._head: Head = head
        self.engine = engine
        self.prompter = prompter
        self._tokeniser = Tokeniser(prompter)
        self._label_ids: dict[tuple[str, ...], list[int]] = {}
        self._nonsense = 0

    @property
    def name(self) -> str:
        """As `Model.name`."""
        return self._name

    @property
    def head(self) -> Head:
        """As `Model.head`."""
        return self._head

    @property
    def facts(self) -> ModelFacts:
        """As `Model.facts`."""
        return replace(self.engine.facts, template_digest=self.prompter.template_digest)

    @property
    def broken(self) -> str:
        """Why it is to be replaced; empty while it works."""
        if self._nonsense >= MAX_NONSENSE:
            return f"{self._nonsense} answers in a row were no numbers"
        return self.engine.broken

    @property
    def dead(self) -> str:
        """Why what is in it now will never be answered; empty while it lives."""
        return self.engine.broken

    async def close(self) -> None:
        """Ends the engine."""
        await self.engine.close()
        self._tokeniser.close()

    async def scalar(self, messages: Sequence[Message], *, timeout_s: float) -> Scalar:
        """As `Model.scalar`."""
        del timeout_s
        prompt = await self._tokeniser.prompt(messages, asks=False)
        value = await self.engine.score(prompt.ids, prompt.media)
        self._check_number(value, "the model's number is")
        return Scalar(value, len(prompt.ids), prompt.cut_tokens)

    async def labels(
        self,
        messages: Sequence[Message],
        question: LabelQuestion,
        *,
        sampling: Sampling,
        timeout_s: float,
    ) -> LabelReading:
        """As `Model.labels`: exact, from the logits after the rendered prompt."""
        del sampling, timeout_s
        whole = asked(messages, question)
        texts = tuple(label.text for label in question.labels)
        prompt = await self._tokeniser.prompt(whole, asks=True, room=1)
        label_ids = self._label_ids.get(texts)
        if label_ids is None:
            # They follow the end of the rendered prompt, which is the same for all prompts.
            find = partial(self.prompter.label_ids, whole, texts)
            label_ids = self._label_ids[texts] = await self._tokeniser.run(find)
        logprobs = await self.engine.label_logprobs(prompt.ids, label_ids, prompt.media)
        # As logits or scores they would have other shares and, of one step, no upper end.
        mass = math.fsum(math.exp(min(x, 1.0)) for x in logprobs)
        self._check_number(math.inf if mass > MOST_MASS else mass, "the labels' probability is")
        if mass <= 0.0:
            raise JudgeUnreadable(f"the judge gives none of {list(texts)} any probability")
        top = max(logprobs)
        odds = [math.exp(x - top) for x in logprobs]
        probs = {text: x / sum(odds) for text, x in zip(texts, odds, strict=True)}
        usage = Usage(len(prompt.ids), 1, 0, 1)
        read = self.facts.read
        return LabelReading(probs, min(mass, 1.0), read, usage, prompt.cut_tokens)

    async def text(
        self,
        messages: Sequence[Message],
        *,
        sampling: Sampling,
        schema: Mapping[str, Any] | None,
        timeout_s: float,
    ) -> Completion:
        """As `Model.text`."""
        del timeout_s
        room = sampling.max_tokens or min(MAX_ANSWER_TOKENS, self.prompter.max_tokens // 4)
        prompt = await self._tokeniser.prompt(messages, asks=True, room=room)
        # What was kept free for the answer is what it may have: there is no more.
        bounded = replace(sampling, max_tokens=room)
        ids, reason = await self.engine.generate(prompt.ids, bounded, schema, prompt.media)
        decode = partial(self.prompter.tokenizer.decode, ids, skip_special_tokens=True)
        text: str = await self._tokeniser.run(decode)
        usage = Usage(len(prompt.ids), len(ids), 0, 1)
        # Where an answer to a schema begins is for its reader: a tag in its texts is data.
        return Completion(text if schema is not None else without_thoughts(text), reason, usage)

    def _check_number(self, value: float, what: str) -> None:
        if math.isfinite(value):
            self._nonsense = 0
            return
        self._nonsense += 1
        raise InvalidResult(f"{what} {value}")
