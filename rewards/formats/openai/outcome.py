"""A call of `/run` as an item, and its outcome as the answer: for a run through the lanes.

What goes through the lanes comes back as an outcome, which says less than a `Grades`: of a `multi`
that failed only the member that did, by the name before its message.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ...models.completion import JudgeCutOff
from ...types import (
    Example,
    JudgeRefused,
    JudgeUnreadable,
    Outcome,
    Reason,
    Response,
    RewardFault,
    SandboxFault,
    Score,
    ScoreError,
    Usage,
)
from .grading import FormulaFault, Grade, Grades
from .run_result import RunResult, run_result
from .schema import LabelModel, Multi, ScoreModel, members
from .variables import InvalidVariable

TOKENS = ("judge_prompt_tokens", "judge_completion_tokens")
"""The components that tell what the judges took."""

_FAULTS: Mapping[Reason, type[RewardFault]] = {
    Reason.JUDGE_REFUSED: JudgeRefused,
    Reason.JUDGE_UNREADABLE: JudgeUnreadable,
    Reason.SANDBOX_FAULT: SandboxFault,
}


def item_of(model_sample: str, item: Mapping[str, Any]) -> tuple[Example, Response]:
    """The example and the response that a call of `/run` is about.

    Raises:
        ValueError: the item holds what is no JSON.
    """
    texts = {key: value for key, value in item.items() if isinstance(value, str)}
    others = {
        key: json.dumps(value, ensure_ascii=False, allow_nan=False)
        for key, value in item.items()
        if key not in texts
    }
    return Example(references=texts, json_references=others), Response(model_sample)


def run_result_of(grader: Any, outcome: Outcome, took_s: float) -> RunResult:
    """What `/run` answers for the outcome of such an item; `took_s` is its execution time."""
    named = members(grader)
    if isinstance(outcome, Score):
        return run_result(grader, _scored(grader, outcome, took_s))
    name, message = next(iter(named)), outcome.message
    grades = dict.fromkeys(named, Grade(None))
    if isinstance(grader, Multi):
        name, _, rest = message.partition(": ")
        message = rest if name in named else message
    fault = _fault(outcome, message)
    if name in named:
        model = getattr(named[name], "model", "")
        grades[name] = Grade(None, fault, model=model, usage=outcome.usage or Usage())
    result = run_result(grader, Grades(Grade(None, fault, took_s=took_s), grades))
    if not result.metadata.errors.any:
        result.metadata.errors.other_error = True
    return result


def _scored(grader: Any, score: Score, took_s: float) -> Grades:
    usage = Usage(*(int(score.components.get(name, 0)) for name in TOKENS))
    grades: dict[str, Grade] = {}
    unspent = usage
    for name, member in members(grader).items():
        value, told = score.reward, score.explanation
        if isinstance(grader, Multi):
            value, told = score.components[name], _told_by(name, told)
        unparsed = told if told.startswith("{{sample") else ""
        if isinstance(member, ScoreModel | LabelModel):
            # Tokens are told for all judges together: they are put down to the first.
            grades[name] = Grade(value, None, unparsed, told, member.model, unspent)
            unspent = Usage()
        else:
            grades[name] = Grade(value, None, unparsed, told)
    return Grades(Grade(score.reward, usage=usage, took_s=took_s), grades)


def _told_by(name: str, explanation: str) -> str:
    lines = explanation.splitlines()
    return next((line[len(name) + 2 :] for line in lines if line.startswith(f"{name}: ")), "")


def _fault(error: ScoreError, message: str) -> RewardFault:
    kind = _FAULTS.get(error.reason, RewardFault)
    for one in (JudgeCutOff, InvalidVariable, FormulaFault):
        if error.reason is one.reason and message.startswith(one.opening):
            message, kind = message.removeprefix(one.opening), one
    fault = kind(message)
    fault.usage = error.usage
    return fault
