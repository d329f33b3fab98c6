"""Rewards that ask a model of the configuration for the probabilities of labels."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from ..deadline import left_s
from ..formats.member_fault import member_fault
from ..models.distribution import check_whole
from ..models.model import LabelQuestion, LabelReading, Model, ModelNeed
from ..models.model_judge import labels_by_text
from ..models.question import Sampling
from ..reading.span import LookIn
from ..reward import Reward
from ..text.chat import Message
from ..types import JudgementRecord, JudgeUnreadable, Reason, RewardFault, Usage
from .questions import value_of

LABEL_MASS = "label_mass"
CUT_TOKENS = "cut_tokens"
MAX_WAIT_S = 3_600.0
AT_ONCE = 256
"""Questions of one call that are under way together."""
_NO_TEXT = ("decisions", "systemone")
_T = TypeVar("_T")


class SamplingOptions(BaseModel):
    """How a judge writes its reasons. Has no effect where labels are read without any."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    temperature: Annotated[float, Field(ge=0, le=10)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = 2_048
    seed: int | None = None
    reasoning_effort: Annotated[str, Field(min_length=1, max_length=32)] | None = None


class AsksModel(Reward):
    """A reward whose questions one model answers with a distribution over labels.

    Component `label_mass`, unless `min_label_mass` is null: the least share that the labels had of
    all that the judge might have said. Component `cut_tokens`: how many tokens of the prompt the
    model cut to have room, 0 where it cuts none.
    """

    model: Annotated[str, Field(min_length=1, max_length=128)]
    """The name of a model under `models:`."""
    min_label_mass: Annotated[float, Field(gt=0, le=1)] | None = 0.5
    """An answer whose labels have less is JUDGE_UNREADABLE. A model that tells none is refused,
    unless this is null."""
    read: Literal["auto", "text"] = "auto"
    """`auto`: as the model can be read best. `text`: the judge writes its reasons and then its
    answer, which gets probability 1."""
    look_in: LookIn = "answer"
    """What `response` shows: `answer`, what follows the thoughts; `all`, the whole text."""
    sampling: SamplingOptions = SamplingOptions()
    """How the judge writes its reasons, where it writes any."""

    _model: Model | None = PrivateAttr(default=None)

    @property
    def needs_model(self) -> ModelNeed:
        """Its model, which must have a chat head."""
        return ModelNeed((self.model,), "chat")

    @property
    def is_async(self) -> bool:
        """It waits for answers."""
        return True

    @property
    def deterministic(self) -> bool:
        """Numbers of engines depend on what else is in their batch."""
        return False

    @property
    def defaults(self) -> Mapping[str, Any]:
        """Time for a model that is busy with others, and many calls side by side."""
        return {"timeout_s": 120.0, "concurrency": 256}

    @property
    def read_components(self) -> tuple[str, ...]:
        """The names of the components that tell of the reading."""
        return (CUT_TOKENS,) if self.min_label_mass is None else (LABEL_MASS, CUT_TOKENS)

    def bind(self, model: Model) -> None:
        """As `Reward.bind`."""
        facts = model.facts
        if model.head != "chat":
            raise ValueError(f"model {model.name!r} is a reward model: use kind `reward_model`")
        if self.read == "text" and facts.read in _NO_TEXT:
            raise ValueError(f"model {model.name!r} says no text ({facts.read}): use `read: auto`")
        if self.min_label_mass is not None and (self.read == "text" or not facts.tells_label_mass):
            read = "text" if self.read == "text" else facts.read
            raise ValueError(
                f"the labels of model {model.name!r} are read by `{read}`, which tells no label"
                " mass: set `min_label_mass: null` to do without it"
            )
        self._model = model

    async def answer(
        self, messages: Sequence[Message], question: LabelQuestion
    ) -> tuple[JudgementRecord, int]:
        """The model's answer, and how many tokens were cut to get it.

        Raises:
            RewardFault: there is none.
        """
        model = self._model
        if model is None:
            raise RuntimeError(f"{self.kind} was given no model")
        ask = model.labels if self.read == "auto" else _by_text(model)
        sampling = Sampling(**self.sampling.model_dump())
        found = await ask(
            messages, question, sampling=sampling, timeout_s=min(left_s(), MAX_WAIT_S)
        )
        check_whole(found.probs, [label.text for label in question.labels], found.label_mass)
        self._check_mass(found)
        value = value_of(question, found.probs)
        record = JudgementRecord(
            question.instructions,
            value,
            dict(found.probs),
            found.label_mass,
            found.read,
            found.usage,
            found.text,
        )
        return record, found.cut_tokens

    async def answers(
        self, asks: Iterable[tuple[Sequence[Message], LabelQuestion]]
    ) -> list[tuple[JudgementRecord, int] | RewardFault]:
        """The answers of many questions, in their order; a fault leaves the others.

        `AT_ONCE` are asked side by side, and `asks` is read no faster than that.
        """
        found: dict[int, tuple[JudgementRecord, int] | RewardFault] = {}
        todo = enumerate(asks)

        async def ask_on(index: int, ask: tuple[Sequence[Message], LabelQuestion]) -> None:
            found[index] = await settled(self.answer(*ask))
            for later, one in todo:
                found[later] = await settled(self.answer(*one))

        await asyncio.gather(*(ask_on(*first) for first in [*islice(todo, AT_ONCE)]))
        return [found[index] for index in range(len(found))]

    def read_values(self, records: Sequence[JudgementRecord], cut_tokens: int) -> dict[str, float]:
        """The values of `read_components`."""
        values = {CUT_TOKENS: float(cut_tokens)}
        if self.min_label_mass is not None:
            known = [one.label_mass for one in records if one.label_mass is not None]
            values[LABEL_MASS] = min(known, default=1.0)
        return values

    def _check_mass(self, found: LabelReading) -> None:
        least = self.min_label_mass
        if least is None:
            return
        if found.label_mass is None:
            why = f"the judge's answer ({found.read}) tells no label mass"
        elif found.label_mass < least:
            why = (
                f"of what the judge would say, {', '.join(found.probs)} are {found.label_mass:.3g},"
                f" want {least:g} (min_label_mass)"
            )
        else:
            return
        fault = JudgeUnreadable(why)
        fault.usage = found.usage
        raise fault


async def settled(awaited: Awaitable[_T]) -> _T | RewardFault:
    """What is awaited, or its fault. Whatever else a model raises is a fault of this one too."""
    try:
        return await awaited
    except RewardFault as fault:
        return fault
    except MemoryError as error:
        return member_fault(Reason.OUT_OF_MEMORY, str(error) or "out of memory", None)
    except Exception as error:  # noqa: BLE001 - other questions have their answers
        return member_fault(Reason.RAISED, f"{type(error).__name__}: {error}", None)


def spent(answers: Sequence[tuple[JudgementRecord, int] | RewardFault]) -> Usage:
    """What answers and faults took together."""
    usages = [a.usage or Usage() if isinstance(a, RewardFault) else a[0].usage for a in answers]
    return sum(usages, Usage())


def told(record: JudgementRecord) -> str:
    """A judgement in words: ``Yes 0.93, No 0.07``, with the judge's reasons where it gave any."""
    shares = ", ".join(f"{label} {share:.3g}" for label, share in record.probs.items())
    return f"{shares}\n{record.text}" if record.text else shares


def _by_text(model: Model) -> Any:
    async def ask(
        messages: Sequence[Message],
        question: LabelQuestion,
        *,
        sampling: Sampling,
        timeout_s: float,
    ) -> LabelReading:
        return await labels_by_text(model, messages, question, sampling, timeout_s)

    return ask
