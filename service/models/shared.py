"""Equal questions are asked once: while one is under way, and, if so configured, ever after."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from rewardplane.rewards.deadline import left_s
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
from rewardplane.rewards.types import RateLimited, RewardFault, Unavailable, Usage

from .batcher import settle

MAX_KEPT = 65_536
"""Answers that are kept, the ones used last."""
MAX_KEPT_BYTES = 64 * 2**20
"""What these may take together: a reading may have a judge's reasons."""
ANSWER_BYTES, LABEL_BYTES = 512, 96
"""About what an answer takes with its key, and each label of a reading."""

TALLY: ContextVar[Counter[str] | None] = ContextVar("tally", default=None)
"""Where what a reward takes of models is counted: figures by name."""


@dataclass(slots=True, eq=False)
class _Flight:
    task: asyncio.Task[Any]
    waiting: dict[asyncio.Future[Any], None] = field(default_factory=dict[Any, None])
    """Who waits, in order: who came first is told first, and asks first where it is to be again."""
    told: bool = False

    def is_first(self) -> bool:
        """Whether nobody was told yet: who asked first may have gone before the answer came."""
        first, self.told = not self.told, True
        return first


class Shared:
    """A `Model` in front of another. `keeps`: scalars and label readings are kept as well."""

    def __init__(self, model: Model, *, keeps: bool) -> None:
        self._model = model
        self._keeps = keeps
        self._flights: dict[bytes, _Flight] = {}
        self._kept: OrderedDict[bytes, Scalar | LabelReading] = OrderedDict()
        self.kept_bytes = 0
        counted = ("shared", "calls", "prompt_tokens", "completion_tokens")
        self._figures = [f"model_{what}.{model.name}" for what in counted]

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
        # What was asked once was paid for once.
        return answer if fresh else replace(answer, usage=Usage())

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
        # What was asked once was paid for once.
        return answer if fresh else replace(answer, usage=Usage())

    async def _ask(
        self,
        key: bytes,
        ask: Callable[[], Coroutine[Any, Any, Any]],
        timeout_s: float,
        *,
        keeps: bool,
    ) -> tuple[Any, bool]:
        """The answer, and whether this is the first to be told it, and pays for it."""
        if keeps and key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key], False
        until_s = time.monotonic() + timeout_s
        while True:
            flight, fresh = self._flight(key, ask)
            try:
                answer = await self._landed(flight, key, timeout_s)
                break
            except (Unavailable, RateLimited) as fault:
                # Whoever asked first may have had less time, and this one has some left.
                timeout_s = until_s - time.monotonic()
                if fresh or timeout_s <= 0:
                    raise self._told(fault, flight) from None
            except RewardFault as fault:
                raise self._told(fault, flight) from None
        if keeps:
            self._keep(key, answer)
        return answer, flight.is_first()

    def _keep(self, key: bytes, answer: Scalar | LabelReading) -> None:
        if key in self._kept:  # of another one who asked the same
            return
        self._kept[key] = answer
        self.kept_bytes += _bytes_of(answer)
        while len(self._kept) > MAX_KEPT or self.kept_bytes > MAX_KEPT_BYTES:
            self.kept_bytes -= _bytes_of(self._kept.popitem(last=False)[1])

    def _told(self, fault: RewardFault, flight: _Flight) -> RewardFault:
        """The fault, for one of all who asked: what it took is counted, and told, once."""
        if not flight.is_first():
            kind = type(fault)
            again = kind.__new__(kind, *fault.args)
            again.usage = None
            return again
        if fault.usage is not None and fault.usage.calls:
            self._count(fault.usage.prompt_tokens, fault.usage.completion_tokens, fresh=True)
        return fault

    def _flight(
        self, key: bytes, ask: Callable[[], Coroutine[Any, Any, Any]]
    ) -> tuple[_Flight, bool]:
        """The question under way that is equal to this one, else a new one, and whether it is."""
        flight = self._flights.get(key) if key else None
        if flight is not None:
            return flight, False
        flight = _Flight(asyncio.get_running_loop().create_task(_contained(ask())))
        if key:
            self._flights[key] = flight
        flight.task.add_done_callback(partial(self._land, key, flight))
        return flight, True

    async def _landed(self, flight: _Flight, key: bytes, timeout_s: float) -> Any:
        loop = asyncio.get_running_loop()
        landed: asyncio.Future[Any] = loop.create_future()
        flight.waiting[landed] = None
        limit: asyncio.TimerHandle | None = None
        if timeout_s < left_s():  # else the item has no more time itself, and ends by that
            late = Unavailable(f"model {self.name!r} did not answer in {timeout_s:g} s")
            limit = loop.call_later(timeout_s, settle, [landed], [late])
        try:
            return await landed
        finally:
            if limit is not None:
                limit.cancel()
            del flight.waiting[landed]
            if not flight.waiting and not flight.task.done():
                # Nobody waits for it any more; who asks the same now asks anew.
                self._forget(key, flight)
                flight.task.cancel()

    def _land(self, key: bytes, flight: _Flight, task: asyncio.Task[Any]) -> None:
        """Tells all who wait, none of whom takes the others' answer with it when it goes."""
        self._forget(key, flight)
        if task.cancelled():
            answer = RuntimeError("the model cancelled the question")
        else:
            fault = task.exception()
            answer = task.result() if fault is None else fault
        settle(flight.waiting, [answer] * len(flight.waiting))

    def _forget(self, key: bytes, flight: _Flight) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]

    def _count(self, prompt_tokens: int, completion_tokens: int, *, fresh: bool) -> None:
        tally = TALLY.get()
        if tally is None:
            return
        shared, calls, prompts, completions = self._figures
        if not fresh:
            tally[shared] += 1
            return
        tally[calls] += 1
        tally[prompts] += prompt_tokens
        tally[completions] += completion_tokens


async def _contained(answer: Coroutine[Any, Any, Any]) -> Any:
    """The answer. What would end the event loop, and all that others ask, ends this question."""
    try:
        return await answer
    except (SystemExit, KeyboardInterrupt) as error:
        raise RuntimeError(f"the model raised {error!r}") from None


def _bytes_of(answer: Scalar | LabelReading) -> int:
    if isinstance(answer, Scalar):
        return ANSWER_BYTES
    return ANSWER_BYTES + LABEL_BYTES * len(answer.probs) + 4 * len(answer.text)


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
    return hashlib.blake2b(repr(asked).encode(), digest_size=16).digest()
