"""One sample under one grader: each member's value or fault, and the reward of them."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from ...code.snippet_runner import SnippetRunner
from ...models.question import (
    Answer,
    JudgeBackend,
    Message,
    Option,
    Question,
    Sampling,
    State,
    Usage,
)
from ...result import number
from ...text.formula import FormulaError
from ...types import InvalidReference, InvalidResult, JudgeUnreadable, RewardFault
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

Embed = Callable[[Sequence[str]], Awaitable[Sequence[Sequence[float]]]]


class FormulaFault(InvalidResult):
    """The formula has no finite value for these members."""


@dataclass(slots=True, frozen=True)
class Means:
    """What graders reach out to; None where there is none. `runners` are by member's name."""

    judge: JudgeBackend | None = None
    embed: Embed | None = None
    runners: Mapping[str, SnippetRunner] = field(default_factory=dict[str, SnippetRunner])
    judge_timeout_s: float = 60.0
    python_timeout_s: float = 120.0


@dataclass(slots=True, frozen=True)
class Graded:
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
class Grading:
    """A whole grader: `total` with each of its members by name."""

    total: Graded
    members: Mapping[str, Graded]


def is_pure(grader: Any) -> bool:
    """Whether it needs no judge, no embeddings and no sandbox: `grade_pure` does then."""
    return all(_is_pure(member) for member in members(grader).values())


def grade_pure(grader: Any, variables: Mapping[str, Any]) -> Grading:
    """As `grade`, without waiting for anything."""
    begin_s = time.monotonic()
    graded = {name: _pure_member(one, variables) for name, one in members(grader).items()}
    return _grading(grader, graded, begin_s)


async def grade(grader: Any, variables: Mapping[str, Any], means: Means) -> Grading:
    """Grades one sample; `variables` is ``{"sample", "item"}`` as `arguments.for_grade` gives it.

    The members run side by side, and a fault of one leaves the others their values. Raises nothing
    but what is no `RewardFault`.
    """
    begin_s = time.monotonic()
    named = members(grader)
    each = await asyncio.gather(*(_member(n, g, variables, means) for n, g in named.items()))
    return _grading(grader, dict(zip(named, each, strict=True)), begin_s)


def _grading(grader: Any, graded: Mapping[str, Graded], begin_s: float) -> Grading:
    if isinstance(grader, Multi):
        return Grading(_combined(grader, graded, time.monotonic() - begin_s), graded)
    return Grading(next(iter(graded.values())), graded)


def _combined(grader: Multi, graded: Mapping[str, Graded], took_s: float) -> Graded:
    usage = sum((member.usage for member in graded.values()), Usage())
    for name, member in graded.items():
        if member.fault is not None:
            fault = type(member.fault)(f"{name}: {member.fault}")
            return Graded(None, fault, usage=usage, took_s=took_s)
    values = {name: cast("float", member.value) for name, member in graded.items()}
    told = [f"{name}: {m.explanation}" for name, m in graded.items() if m.explanation]
    unparsed = next((m.unparsed for m in graded.values() if m.unparsed), "")
    try:
        value = grader.formula.value(values)
    except FormulaError as error:
        return Graded(None, FormulaFault(f"calculate_output: {error}"), usage=usage, took_s=took_s)
    return Graded(value, None, unparsed, "\n".join(told), usage=usage, took_s=took_s)


def _is_pure(grader: Any) -> bool:
    if isinstance(grader, TextSimilarity):
        return grader.evaluation_metric != "cosine"
    return isinstance(grader, StringCheck)


def _pure_member(grader: Any, variables: Mapping[str, Any]) -> Graded:
    begin_s = time.monotonic()
    try:
        text, reference = filled(grader.input, variables), filled(grader.reference, variables)
        if isinstance(grader, StringCheck):
            graded = Graded(_compared(grader.operation, text, reference))
        else:
            graded = Graded(similarity(grader.evaluation_metric, text, reference))
    except RewardFault as fault:
        graded = _failed(grader, fault)
    return replace(graded, took_s=time.monotonic() - begin_s)


async def _member(name: str, grader: Any, variables: Mapping[str, Any], means: Means) -> Graded:
    if _is_pure(grader):
        return _pure_member(grader, variables)
    begin_s = time.monotonic()
    try:
        graded = await _asked(name, grader, variables, means)
    except RewardFault as fault:
        graded = _failed(grader, fault)
    model = grader.model if isinstance(grader, ScoreModel | LabelModel) else ""
    return replace(graded, model=model, took_s=time.monotonic() - begin_s)


def _failed(grader: Any, fault: RewardFault) -> Graded:
    if not isinstance(fault, UnparsedSample):
        return Graded(None, fault)
    low = grader.range[0] if isinstance(grader, ScoreModel) else 0.0
    return Graded(low, None, str(fault), str(fault))


async def _asked(name: str, grader: Any, variables: Mapping[str, Any], means: Means) -> Graded:
    if isinstance(grader, TextSimilarity):
        text, reference = filled(grader.input, variables), filled(grader.reference, variables)
        return Graded(await _cosine(text, reference, cast("Embed", means.embed)))
    if isinstance(grader, PythonGrader):
        sample, item = variables["sample"], variables["item"]
        value = await means.runners[name].grade(sample, item, means.python_timeout_s)
        return Graded(number(value, "grade"))
    answer = await _judged(grader, variables, means)
    return Graded(answer.value, explanation=answer.explanation, usage=answer.usage)


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


async def _cosine(text: str, reference: str, embed: Embed) -> float:
    one, other = await embed((text, reference))
    lengths = math.hypot(*one) * math.hypot(*other)
    if len(one) != len(other) or not lengths or not math.isfinite(lengths):
        raise JudgeUnreadable("the embeddings have different sizes, or none")
    return sum(a * b for a, b in zip(one, other, strict=True)) / lengths


async def _judged(
    grader: ScoreModel | LabelModel, variables: Mapping[str, Any], means: Means
) -> Answer:
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
        question = Question("result", "score", low=low, high=high)
    else:
        passing = {*grader.passing_labels}
        options = tuple(Option(label, float(label in passing)) for label in grader.labels)
        question = Question("result", "choice", options=options)
    judge = cast("JudgeBackend", means.judge)
    state = State(grader.model, messages, sampling)
    return (await judge.decide(state, (question,), means.judge_timeout_s))["result"]


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
