"""A served model as a `Judge`: verdicts in words, under a schema, with one repair.

For what asks by names of a foreign contract (autoraters, graders), and for models whose labels
cannot be read otherwise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from ..text.chat import Message
from ..types import JudgeRefused, JudgeUnreadable, RewardFault, Usage
from .asking import asked
from .completion import JudgeCutOff, shown
from .decision import Decision, Refused, Unreadable, decision_of, schema_of
from .model import LabelQuestion, LabelReading, Model, ModelNeed
from .question import Ask, Judgement, Option, Question, Sampling
from .repair import complaint, judgement_of

_SHOWN_CHARS = 200


class ModelJudge:
    """The `Judge` that asks one model, by whatever name it is asked for. It closes nothing."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._figures: dict[str, float] = {}

    async def decide(
        self, asks: Sequence[Ask], timeout_s: float
    ) -> Sequence[Judgement | RewardFault]:
        """As `Judge.decide`."""
        until_s = asyncio.get_running_loop().time() + timeout_s
        return await asyncio.gather(*(self._judgement(ask, until_s) for ask in asks))

    def take_figures(self) -> dict[str, float]:
        """As `Judge.take_figures`; calls and tokens are the model's own."""
        taken, self._figures = self._figures, {}
        return taken

    async def close(self) -> None:
        """Nothing: the model is not its own."""

    async def _judgement(self, ask: Ask, until_s: float) -> Judgement | RewardFault:
        spent: list[Usage] = []
        try:
            decision = await self._decision(ask, until_s, spent)
        except RewardFault as fault:
            if fault.usage is not None:
                spent.append(fault.usage)
            fault.usage = sum(spent, Usage())
            return fault
        judgement = judgement_of(ask.question, decision, sum(spent, Usage()))
        if judgement.unclipped is not None:
            self._count("judge_clipped")
        return judgement

    async def _decision(self, ask: Ask, until_s: float, spent: list[Usage]) -> Decision:
        first = await self._complete(ask, ask.messages, until_s, spent)
        try:
            return decision_of(ask.question, first, ask.messages)
        except Refused as error:
            self._count("judge_refusals")
            raise JudgeRefused(str(error)) from None
        except Unreadable as error:
            fault = str(error)
        self._count("judge_repairs")
        messages = [*ask.messages, *complaint(ask.question, first, fault)]
        second = await self._complete(ask, messages, until_s, spent)
        try:
            return decision_of(ask.question, second, ask.messages)
        except Refused as error:
            self._count("judge_refusals")
            raise JudgeRefused(str(error)) from None
        except Unreadable as error:
            self._count("judge_unreadable")
            raise JudgeUnreadable(f"no verdict in two answers; in the second: {error}") from None

    async def _complete(
        self, ask: Ask, messages: Sequence[Message], until_s: float, spent: list[Usage]
    ) -> str:
        schema = None if ask.question.kind == "text" else schema_of(ask.question)
        left_s = until_s - asyncio.get_running_loop().time()
        said = await self._model.text(
            messages, sampling=ask.sampling, schema=schema, timeout_s=left_s
        )
        spent.append(said.usage)
        if said.finish_reason == "length":
            self._count("judge_unreadable")
            raise JudgeCutOff(f": …{said.text[-_SHOWN_CHARS:]}")
        if said.finish_reason != "stop":
            self._count("judge_unreadable")
            how = shown(str(said.finish_reason))
            raise JudgeUnreadable(f"the judge's answer ended by {how!r}, not by itself")
        return said.text

    def _count(self, name: str) -> None:
        self._figures[name] = self._figures.get(name, 0.0) + 1


def need_of(asked: Iterable[str], *, optional: bool) -> ModelNeed | None:
    """The model of the configuration that foreign names mean: all the same one, else none.

    By the full name or, of ``projects/…/models/NAME``, by what follows the last slash.
    """
    names = {*asked}
    if len(names) != 1:
        return None
    (name,) = names
    both = dict.fromkeys((name, name.rsplit("/", 1)[-1]))
    return ModelNeed(tuple(both), "chat", optional, "`judge` with its base_url")


async def labels_by_text(
    model: Model,
    messages: Sequence[Message],
    question: LabelQuestion,
    sampling: Sampling,
    timeout_s: float,
) -> LabelReading:
    """The label that the model names after its reasons, with probability 1.

    Raises:
        RewardFault: as `Model.text`; `JudgeUnreadable` where it names none in two answers.
    """
    options = tuple(Option(label.text, label.value) for label in question.labels)
    shown = asked(messages, question, reasons=True)
    ask = Ask(model.name, shown, Question("choice", options), sampling)
    (answer,) = await ModelJudge(model).decide([ask], timeout_s)
    if isinstance(answer, RewardFault):
        raise answer
    probs = {label.text: float(label.text == answer.label) for label in question.labels}
    return LabelReading(probs, None, "text", answer.usage, text=answer.explanation)
