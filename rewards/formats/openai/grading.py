"""One sample under one grader: each member's value or fault, and the reward of them."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, cast

from ...code.snippet_runner import SnippetRunner
from ...models.question import Ask, Judge, Option, Question, Sampling
from ...result import number
from ...text.bounds import Interval, lowest
from ...text.chat import Message
from ...text.formula import FormulaError
from ...types import InvalidReference, InvalidResult, JudgeUnreadable, RewardFault, Usage
from ..member_fault import member_fault
from .schema import (
    InputMessage,
    LabelModel,
    Multi,
    PythonGrader,
    ScoreModel,
    StringCheck,
    TextSimilarity,
    members,
)
from .similarity import similarity
from .variables import UnparsedSample, filled

EMBEDDING_MODEL = "text-embedding-3-large"


class FormulaFault(InvalidResult):
    """The formula has no finite value for these members."""

    opening = "calculate_output: "
    """How its messages begin."""

    def __init__(self, why: str) -> None:
        super().__init__(f"{self.opening}{why}")


class Embedder(Protocol):
    """What embeds texts."""

    async def embed(self, model: str, texts: Sequence[str], timeout_s: float) -> list[list[float]]:
        """The embeddings of the texts, in their order."""
        ...


@dataclass(slots=True, frozen=True)
class Services:
    """What graders reach out to. `runners` are by member's name."""

    judge: Judge | None = None
    embedder: Embedder | None = None
    runners: Mapping[str, SnippetRunner] = field(default_factory=dict[str, SnippetRunner])
    judge_timeout_s: float = 60.0
    python_timeout_s: float = 120.0


@dataclass(slots=True, frozen=True)
class Grade:
    """What became of one grader: a value or a fault, never both.

    `unparsed` says why the sample got the lowest value without being looked at; "" as a rule.
    """

    value: float | None
    fault: RewardFault | None = None
    unparsed: str = ""
    explanation: str = ""
    model: str = ""
    usage: Usage = field(default_factory=Usage)
    took_s: float = 0.0


@dataclass(slots=True, frozen=True)
class Grades:
    """A whole grader: `total` with each of its members by name."""

    total: Grade
    members: Mapping[str, Grade]


def is_pure(grader: Any) -> bool:
    """Whether it needs no judge, no embeddings and no sandbox: `grade_pure` does then."""
    return all(_is_pure(member) for member in members(grader).values())


def grade_pure(grader: Any, variables: Mapping[str, Any]) -> Grades:
    """As `grade`, without waiting for anything."""
    begin_s = time.monotonic()
    grades = {name: _pure_member(one, variables) for name, one in members(grader).items()}
    return _grades(grader, grades, begin_s)


async def grade(grader: Any, variables: Mapping[str, Any], services: Services) -> Grades:
    """Grades one sample; `variables` is ``{"sample", "item"}`` as `arguments.for_grade` gives it.

    The members run side by side, and a fault of one leaves the others their values. Raises nothing
    but what is no `RewardFault`.
    """
    begin_s = time.monotonic()
    named = members(grader)
    each = await asyncio.gather(*(_member(n, g, variables, services) for n, g in named.items()))
    return _grades(grader, dict(zip(named, each, strict=True)), begin_s)


def _grades(grader: Any, grades: Mapping[str, Grade], begin_s: float) -> Grades:
    if isinstance(grader, Multi):
        return Grades(_combined(grader, grades, time.monotonic() - begin_s), grades)
    return Grades(next(iter(grades.values())), grades)


def _combined(grader: Multi, grades: Mapping[str, Grade], took_s: float) -> Grade:
    usage = sum((member.usage for member in grades.values()), Usage())
    for name, member in grades.items():
        if member.fault is not None:
            fault = member_fault(member.fault.reason, f"{name}: {member.fault}", usage)
            return Grade(None, fault, usage=usage, took_s=took_s)
    values = {name: cast("float", member.value) for name, member in grades.items()}
    told = [f"{name}: {m.explanation}" for name, m in grades.items() if m.explanation]
    unparsed = next((m.unparsed for m in grades.values() if m.unparsed), "")
    try:
        if unparsed:
            # Under a minus or a division the lowest value of a member is not the lowest reward.
            ranges = {name: range_of(one, values[name]) for name, one in grader.graders.items()}
            value = lowest(grader.formula, ranges)
        else:
            value = grader.formula.value(values)
    except FormulaError as error:
        fault = FormulaFault(str(error))
        fault.usage = usage
        return Grade(None, fault, usage=usage, took_s=took_s)
    return Grade(value, None, unparsed, "\n".join(told), usage=usage, took_s=took_s)


def range_of(grader: Any, value: float) -> Interval:
    """The values that a single grader may give; of a python grader, only the one it gave."""
    if isinstance(grader, ScoreModel):
        return grader.range
    if isinstance(grader, PythonGrader):
        return value, value
    if isinstance(grader, TextSimilarity) and grader.evaluation_metric == "cosine":
        return -1.0, 1.0
    return 0.0, 1.0


def _is_pure(grader: Any) -> bool:
    if isinstance(grader, TextSimilarity):
        return grader.evaluation_metric != "cosine"
    return isinstance(grader, StringCheck)


def _pure_member(grader: Any, variables: Mapping[str, Any]) -> Grade:
    begin_s = time.monotonic()
    try:
        text, reference = filled(grader.input, variables), filled(grader.reference, variables)
        if isinstance(grader, StringCheck):
            made = Grade(_compared(grader.operation, text, reference))
        else:
            made = Grade(similarity(grader.evaluation_metric, text, reference))
    except RewardFault as fault:
        made = _failed(grader, fault)
    return replace(made, took_s=time.monotonic() - begin_s)


async def _member(
    name: str, grader: Any, variables: Mapping[str, Any], services: Services
) -> Grade:
    if _is_pure(grader):
        return _pure_member(grader, variables)
    begin_s = time.monotonic()
    try:
        made = await _asked(name, grader, variables, services)
    except RewardFault as fault:
        made = _failed(grader, fault)
    model = grader.model if isinstance(grader, ScoreModel | LabelModel) else ""
    return replace(made, model=model, took_s=time.monotonic() - begin_s)


def _failed(grader: Any, fault: RewardFault) -> Grade:
    if isinstance(fault, UnparsedSample):
        return Grade(range_of(grader, 0.0)[0], None, str(fault), str(fault))
    return Grade(None, fault, usage=fault.usage or Usage())


async def _asked(name: str, grader: Any, variables: Mapping[str, Any], services: Services) -> Grade:
    if isinstance(grader, PythonGrader):
        sample, item = variables["sample"], variables["item"]
        value = await services.runners[name].call([sample, item], services.python_timeout_s)
        return Grade(number(value, "grade"))
    if isinstance(grader, TextSimilarity):
        text, reference = filled(grader.input, variables), filled(grader.reference, variables)
        embedder = cast("Embedder", services.embedder)
        return Grade(await _cosine(text, reference, embedder, services.judge_timeout_s))
    judge = cast("Judge", services.judge)
    (answer,) = await judge.decide([_ask(grader, variables)], services.judge_timeout_s)
    if isinstance(answer, RewardFault):
        raise answer
    return Grade(answer.value, explanation=answer.explanation, usage=answer.usage)


def _compared(operation: str, text: str, reference: str) -> float:
    if operation == "eq":
        holds = text == reference
    elif operation in ("ne", "neq"):
        holds = text != reference
    elif not reference:
        raise InvalidReference(f"the reference of `{operation}` is empty: any text contains it")
    elif operation == "like":
        holds = reference in text
    else:
        holds = reference.casefold() in text.casefold()
    return float(holds)


async def _cosine(text: str, reference: str, embedder: Embedder, timeout_s: float) -> float:
    if not reference.strip():
        raise InvalidReference("the reference has no words to compare with")
    if not text.strip():
        raise UnparsedSample("the text to compare is empty")
    one, other = await embedder.embed(EMBEDDING_MODEL, (text, reference), timeout_s)
    lengths = math.hypot(*one) * math.hypot(*other)
    if len(one) != len(other) or not lengths or not math.isfinite(lengths):
        raise JudgeUnreadable("the embeddings have different sizes, or none")
    cosine = sum(a * b for a, b in zip(one, other, strict=True)) / lengths
    return max(-1.0, min(1.0, cosine))


def _ask(grader: ScoreModel | LabelModel, variables: Mapping[str, Any]) -> Ask:
    params = grader.sampling_params
    sampling = Sampling(
        temperature=params.temperature,
        top_p=params.top_p,
        max_tokens=params.max_completions_tokens or params.max_completion_tokens,
        seed=params.seed,
        reasoning_effort=params.reasoning_effort,
    )
    messages = [_message(message, variables) for message in grader.input]
    if isinstance(grader, ScoreModel):
        low, high = grader.range
        question = Question("score", low=low, high=high)
    else:
        passing = {*grader.passing_labels}
        options = tuple(Option(label, float(label in passing)) for label in grader.labels)
        question = Question("choice", options)
    return Ask(grader.model, messages, question, sampling)


def _message(message: InputMessage, variables: Mapping[str, Any]) -> Message:
    # Few models but OpenAI's know the role of a developer.
    role = "system" if message.role == "developer" else message.role
    if isinstance(message.content, str):
        return {"role": role, "content": filled(message.content, variables)}
    return {"role": role, "content": [_part(part, variables) for part in message.parts]}


def _part(part: Any, variables: Mapping[str, Any]) -> Message:
    if isinstance(part, str):
        return {"type": "text", "text": filled(part, variables)}
    if part.type == "input_image":
        image = {"url": filled(part.image_url, variables)}
        detail = {} if part.detail is None else {"detail": part.detail}
        return {"type": "image_url", "image_url": {**image, **detail}}
    if part.type == "input_audio":
        data = filled(part.input_audio.data, variables)
        return {
            "type": "input_audio",
            "input_audio": {"data": data, "format": part.input_audio.format},
        }
    return {"type": "text", "text": filled(part.text, variables)}
