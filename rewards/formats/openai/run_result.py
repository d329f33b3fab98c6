"""What `POST /v1/fine_tuning/alpha/graders/run` answers, field by field.

Sources: PyPI's `openai` 3.54, `types/fine_tuning/alpha/grader_run_response.py`; the fields named
`…_details` and the one for the limit of tokens were seen in live answers only.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from ...models.completion import JudgeCutOff
from ...types import JudgeRefused, JudgeUnreadable, RewardFault, SandboxFault, Usage
from .grading import FormulaFault, Grade, Grades
from .schema import LabelModel, PythonGrader, ScoreModel, members
from .variables import InvalidVariable


@dataclass(slots=True)
class RunErrors:
    """What went wrong; each flag with its details where the contract has any."""

    formula_parse_error: bool = False
    sample_parse_error: bool = False
    sample_parse_error_details: str | None = None
    truncated_observation_error: bool = False
    unresponsive_reward_error: bool = False
    invalid_variable_error: bool = False
    invalid_variable_error_details: str | None = None
    other_error: bool = False
    python_grader_server_error: bool = False
    python_grader_server_error_type: str | None = None
    python_grader_runtime_error: bool = False
    python_grader_runtime_error_details: str | None = None
    model_grader_server_error: bool = False
    model_grader_server_error_details: str | None = None
    model_grader_refusal_error: bool = False
    model_grader_refusal_error_details: str | None = None
    model_grader_parse_error: bool = False
    model_grader_parse_error_details: str | None = None
    model_grader_exceeded_max_tokens_error: bool = False
    endpoint_grader_internal_error: bool = False
    endpoint_grader_internal_error_details: str | None = None
    endpoint_grader_server_error: bool = False
    endpoint_grader_server_error_details: str | None = None
    endpoint_grader_safety_check_error: bool = False

    @property
    def any(self) -> bool:
        """Whether a flag is set."""
        return any(getattr(self, one.name) is True for one in fields(self))


@dataclass(slots=True)
class RunMetadata:
    """About the run. `execution_time` is in seconds; `scores` are by member's name."""

    name: str
    type: str
    execution_time: float
    scores: dict[str, float | None]
    errors: RunErrors
    token_usage: dict[str, int] | None = None
    sampled_model_name: str | None = None


@dataclass(slots=True)
class RunResult:
    """The answer. `reward` is None where there is no valid grade; see `as_dict`."""

    reward: float | None
    sub_rewards: dict[str, float | None]
    metadata: RunMetadata
    model_grader_token_usage_per_model: dict[str, dict[str, int]] = field(
        default_factory=dict[str, dict[str, int]]
    )

    def as_dict(self, *, invalid_as_zero: bool = False) -> dict[str, Any]:
        """As JSON. `invalid_as_zero`: a grade that is none is 0, as at OpenAI, else null."""
        rendered = asdict(self)
        if invalid_as_zero:
            holders = [rendered["sub_rewards"], rendered["metadata"]["scores"]]
            for holder in holders:
                holder.update({k: 0.0 for k, v in holder.items() if v is None})
            rendered["reward"] = rendered["reward"] if rendered["reward"] is not None else 0.0
        return rendered


def run_result(grader: Any, grades: Grades) -> RunResult:
    """The answer for the grades of a sample."""
    errors = RunErrors()
    named = members(grader)
    for name, grade in grades.members.items():
        _flag(errors, named[name], grade)
    if isinstance(grades.total.fault, FormulaFault):
        errors.formula_parse_error = True
    values = {name: grade.value for name, grade in grades.members.items()}
    per_model: dict[str, Usage] = {}
    for grade in grades.members.values():
        if grade.model:
            per_model[grade.model] = per_model.get(grade.model, Usage()) + grade.usage
    total = grades.total
    metadata = RunMetadata(
        name=grader.name,
        type=grader.type,
        execution_time=total.took_s,
        scores=values,
        errors=errors,
        token_usage=_tokens(total.usage) if per_model else None,
    )
    used = {model: _tokens(usage) for model, usage in per_model.items()}
    is_multi = grader.type == "multi"
    return RunResult(total.value, values if is_multi else {}, metadata, used)


def _flag(errors: RunErrors, grader: Any, grade: Grade) -> None:
    fault = grade.fault
    if grade.unparsed:
        errors.sample_parse_error, errors.sample_parse_error_details = True, grade.unparsed
    if fault is None:
        return
    told = str(fault)
    if isinstance(fault, InvalidVariable):
        errors.invalid_variable_error, errors.invalid_variable_error_details = True, told
    elif isinstance(grader, PythonGrader):
        if isinstance(fault, SandboxFault):
            errors.python_grader_server_error = True
            errors.python_grader_server_error_type = fault.reason.name.lower()
        else:
            errors.python_grader_runtime_error = True
            errors.python_grader_runtime_error_details = told
    elif isinstance(grader, ScoreModel | LabelModel):
        _flag_judge(errors, fault, told)
    else:
        errors.other_error = True


def _flag_judge(errors: RunErrors, fault: RewardFault, told: str) -> None:
    if isinstance(fault, JudgeRefused):
        errors.model_grader_refusal_error = True
        errors.model_grader_refusal_error_details = told
    elif isinstance(fault, JudgeCutOff):
        errors.model_grader_exceeded_max_tokens_error = True
    elif isinstance(fault, JudgeUnreadable):
        errors.model_grader_parse_error, errors.model_grader_parse_error_details = True, told
    else:
        errors.model_grader_server_error, errors.model_grader_server_error_details = True, told


def _tokens(usage: Usage) -> dict[str, int]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "cached_tokens": usage.cached_tokens,
    }
