"""The one place that calls reward functions, which are foreign code: whatever they do is an outcome.

Time is not watched here: a function that hangs is killed with its process, by the process's owner.
"""

from __future__ import annotations

import asyncio
import math
import numbers
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from .base import Item, Result, Reward, Unit
from .types import (
    MAX_MESSAGE_CHARS,
    InvalidResult,
    NotApplicable,
    Outcome,
    Reason,
    RewardFault,
    Score,
    ScoreError,
)


@dataclass(slots=True, frozen=True)
class Clip:
    """The range that rewards are clipped to, both ends included."""

    low: float = -math.inf
    high: float = math.inf


def run_item(reward: Reward, item: Item, clip: Clip) -> Outcome:
    """The outcome of one item under a reward of `Unit.ITEM` that is not async. Raises nothing."""
    try:
        return _checked(reward, reward.score(*item), clip)  # type: ignore[arg-type]
    except BaseException as error:  # noqa: BLE001 - foreign code: SystemExit and such are its own
        return _fault(error)


def run_items(reward: Reward, items: Sequence[Item], clip: Clip) -> list[Outcome]:
    """The outcomes of one call with many items, in their order. Raises nothing."""
    try:
        results = reward.score_items(items)
        return _checked_all(reward, cast("Sequence[Result]", results), items, clip)
    except BaseException as error:  # noqa: BLE001
        return [_fault(error)] * len(items)


async def run_items_async(
    reward: Reward, items: Sequence[Item], clip: Clip, timeout_s: float
) -> list[Outcome]:
    """The outcomes of one call of an async reward, in the order of the items.

    Raises nothing but CancelledError, and that only when the caller cancels.
    """
    try:
        async with asyncio.timeout(timeout_s) as limit:
            if reward.unit is Unit.ITEM:
                one = cast("Any", reward.score(*items[0]))
                return [_checked(reward, await one, clip)]
            results = await cast("Any", reward.score_items(items))
            return _checked_all(reward, results, items, clip)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        return [_fault(error)] * len(items)
    except TimeoutError as error:
        if limit.expired():
            return [timed_out(timeout_s)] * len(items)
        return [_fault(error)] * len(items)
    except BaseException as error:  # noqa: BLE001
        return [_fault(error)] * len(items)


def timed_out(timeout_s: float) -> ScoreError:
    """The outcome of an item that executed longer than it may."""
    return ScoreError(Reason.TIMED_OUT, f"executed longer than {timeout_s:g} s and was killed")


def _checked_all(
    reward: Reward, results: Sequence[Result], items: Sequence[Item], clip: Clip
) -> list[Outcome]:
    if isinstance(results, str | bytes | Mapping) or not hasattr(results, "__len__"):
        raise InvalidResult(f"returned {type(results).__name__}, want a list of {len(items)}")
    if len(results) != len(items):
        raise InvalidResult(f"returned {len(results)} results for {len(items)} responses")
    return [_outcome(reward, result, clip) for result in results]


def _outcome(reward: Reward, result: Result, clip: Clip) -> Outcome:
    try:
        return _checked(reward, result, clip)
    except BaseException as error:  # noqa: BLE001 - a result may be an object with code of its own
        return _fault(error)


def _checked(reward: Reward, result: Result, clip: Clip) -> Score:
    """The result as a score.

    Raises:
        InvalidResult: it is none.
        NotApplicable: it is None.
    """
    names = reward.component_names
    if type(result) is Score:
        score = result
    elif isinstance(result, numbers.Real) or _is_scalar(result):
        score = Score(_finite(result, "reward"))
    elif result is None:
        raise NotApplicable("the reward returned None")
    elif isinstance(result, Mapping):
        if "score" not in result:
            raise InvalidResult('returned a dict without "score"')
        parts = {
            str(k): _finite(v, f"component {k!r}") for k, v in result.items() if k != "score"
        }
        score = Score(_finite(result["score"], "reward"), parts)
    else:
        raise InvalidResult(f"returned {_shown(result)}, which is no number")
    if len(score.components) != len(names) or any(n not in score.components for n in names):
        raise InvalidResult(_component_fault(names, score.components))
    value = score.reward
    if clip.low <= value <= clip.high:
        return score
    if not math.isfinite(value):
        raise InvalidResult(f"the reward is {value}")
    return replace(score, reward=min(max(value, clip.low), clip.high))


def _component_fault(names: Sequence[str], given: Mapping[str, float]) -> str:
    unknown = [n for n in given if n not in names]
    missing = [n for n in names if n not in given]
    return (
        f"components must be exactly {list(names)}"
        + (f"; unknown: {unknown} (declare them under `components:`)" if unknown else "")
        + (f"; missing: {missing}" if missing else "")
    )


def _is_scalar(value: object) -> bool:
    """A zero-dimensional array of numpy, torch and the like."""
    return hasattr(value, "__float__") and getattr(value, "shape", None) == ()


def _finite(value: object, what: str) -> float:
    if not (isinstance(value, numbers.Real) or _is_scalar(value)):
        raise InvalidResult(f"the {what} is {_shown(value)}, which is no number")
    number = float(cast("Any", value))
    if not math.isfinite(number):
        raise InvalidResult(f"the {what} is {number}")
    return number


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except BaseException:  # noqa: BLE001 - foreign code again
        text = "…"
    return f"{type(value).__name__} {text[:80]}"


def _fault(error: BaseException) -> ScoreError:
    if isinstance(error, RewardFault):
        return ScoreError(error.reason, str(error)[:MAX_MESSAGE_CHARS])
    if isinstance(error, MemoryError):
        return ScoreError(Reason.OUT_OF_MEMORY, "the reward function ran out of memory")
    if isinstance(error, RecursionError):
        return ScoreError(Reason.RAISED, "RecursionError: maximum recursion depth exceeded")
    try:
        frames = traceback.extract_tb(error.__traceback__)[-3:]
        at = " < ".join(f"{f.filename}:{f.lineno} {f.name}" for f in reversed(frames))
        text = f"{type(error).__name__}: {error}"
    except BaseException:  # noqa: BLE001 - an exception's own __str__ may raise
        at, text = "", type(error).__name__
    return ScoreError(Reason.RAISED, f"{text} ({at})"[:MAX_MESSAGE_CHARS])
