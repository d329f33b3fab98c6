"""Equal questions are asked once: while one is under way, and, if so configured, ever after."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter, OrderedDict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from rewardplane.rewards.models.model import (
    Completion,
    Head,
    LabelQuestion,
    LabelReading,
    Model,
    Scalar,
)
from rewardplane.rewards.models.model_facts import ModelFacts
from rewardplane.rewards.models.question import Sampling
from rewardplane.rewards.text.chat import Message
from rewardplane.rewards.types import Unavailable

MAX_KEPT = 65_536
"""Answers that are kept, the ones used last."""

TALLY: ContextVar[Counter[str] | None] = ContextVar("tally", default=None)
"""Where what a reward takes of models is counted: figures by name."""


@dataclass(slots=True, eq=False)
class _Flight:
    task: asyncio.Task[Any]
    waiters: int = 0


class Shared:
    """A `Model` in front of another. `keeps`: scalars and label readings are kept as well."""

    def __init__(self, model: Model, *, keeps: bool) -> None:
        self._model = model
        self._keeps = keeps
        self._flights: dict[bytes, _Flight] = {}
        self._kept: OrderedDict[bytes, Any] = OrderedDict()

    @property
    def name(self) -> str:
        """As `Model.name`."""
        return self._model.name

    @property
    def head(self) -> Head:
        """As `Model.head`."""
        return self._model.head

    @property
    def facts(self) -> ModelFacts:
        """As `Model.facts`."""
        return self._model.facts

    async def scalar(self, messages: Sequence[Message], *, timeout_s: float) -> Scalar:
        """As `Model.scalar`."""
        key = _key("scalar", messages)

        def ask() -> Coroutine[Any, Any, Scalar]:
            return self._model.scalar(messages, timeout_s=timeout_s)

        answer, fresh = await self._ask(key, ask, timeout_s, keeps=self._keeps)
        self._count(answer.prompt_tokens, 0, fresh=fresh)
        return answer

    async def labels(
        self,
        messages: Sequence[Message],
        question: LabelQuestion,
        *,
        sampling: Sampling,
        timeout_s: float,
    ) -> LabelReading:
        """As `Model.labels`."""
        asked = [question.kind, question.instructions, [_label(x) for x in question.labels]]
        key = _key("labels", messages, asked, _sampling(sampling))

        def ask() -> Coroutine[Any, Any, LabelReading]:
            return self._model.labels(messages, question, sampling=sampling, timeout_s=timeout_s)

        answer, fresh = await self._ask(key, ask, timeout_s, keeps=self._keeps)
        self._count(answer.usage.prompt_tokens, answer.usage.completion_tokens, fresh=fresh)
        return answer

    async def text(
        self,
        messages: Sequence[Message],
        *,
        sampling: Sampling,
        schema: Mapping[str, Any] | None,
        timeout_s: float,
    ) -> Completion:
        """As `Model.text`; only what is not drawn at random is shared."""

        def ask() -> Coroutine[Any, Any, Completion]:
            return self._model.text(messages, sampling=sampling, schema=schema, timeout_s=timeout_s)

        fixed = sampling.temperature == 0 or sampling.seed is not None
        key = _key("text", messages, _sampling(sampling), schema) if fixed else b""
        answer, fresh = await self._ask(key, ask, timeout_s, keeps=False)
        self._count(answer.usage.prompt_tokens, answer.usage.completion_tokens, fresh=fresh)
        return answer

    async def _ask(
        self,
        key: bytes,
        ask: Callable[[], Coroutine[Any, Any, Any]],
        timeout_s: float,
        *,
        keeps: bool,
    ) -> tuple[Any, bool]:
        """The answer, and whether it was asked for now."""
        if keeps and key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key], False
        flight = self._flights.get(key) if key else None
        fresh = flight is None
        if flight is None:
            flight = _Flight(asyncio.get_running_loop().create_task(ask()))
            if key:
                self._flights[key] = flight
                flight.task.add_done_callback(lambda _: self._land(key, flight))
        flight.waiters += 1
        try:
            async with asyncio.timeout(timeout_s):
                answer = await asyncio.shield(flight.task)
        except TimeoutError:
            raise Unavailable(f"model {self.name!r} did not answer in {timeout_s:g} s") from None
        finally:
            flight.waiters -= 1
            if not flight.waiters and not flight.task.done():
                # Nobody waits for it any more; who asks the same now asks anew.
                self._land(key, flight)
                flight.task.cancel()
        if keeps:
            self._kept[key] = answer
            if len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)
        return answer, fresh

    def _land(self, key: bytes, flight: _Flight) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]

    def _count(self, prompt_tokens: int, completion_tokens: int, *, fresh: bool) -> None:
        tally = TALLY.get()
        if tally is None:
            return
        if not fresh:
            tally[f"model_shared.{self.name}"] += 1
            return
        tally[f"model_calls.{self.name}"] += 1
        tally[f"model_prompt_tokens.{self.name}"] += prompt_tokens
        tally[f"model_completion_tokens.{self.name}"] += completion_tokens


def _label(label: Any) -> list[Any]:
    return [label.text, label.value, label.meaning]


def _sampling(sampling: Sampling) -> list[Any]:
    return [
        sampling.temperature,
        sampling.top_p,
        sampling.max_tokens,
        sampling.seed,
        sampling.reasoning_effort,
        dict(sampling.extra),
    ]


def _key(*asked: Any) -> bytes:
    data = json.dumps(asked, sort_keys=True, default=str, ensure_ascii=False)
    return hashlib.blake2b(data.encode("utf-8", "surrogatepass"), digest_size=16).digest()
