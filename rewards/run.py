"""The one place that calls reward functions: whatever this foreign code does is an outcome.

Time is not watched here: a function that hangs is killed with its process, by the process's owner.
"""

from __future__ import annotations

import asyncio
import inspect
import math
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Protocol, cast

from .deadline import ends_in
from .result import NO_COMPONENTS, number, plain, score_of, shown
from .reward import Item, Result, Reward, Unit
from .types import (
    MAX_MESSAGE_CHARS,
    Example,
    InvalidResult,
    Outcome,
    Reason,
    Response,
    RewardFault,
    Score,
    ScoreError,
    Usage,
)

_MAX = sys.float_info.max


class Cell(Protocol):
    """A number at index 0 that others may see or set."""

    def __getitem__(self, index: int, /) -> int: ...
    def __setitem__(self, index: int, value: int, /) -> None: ...


class Column(Protocol):
    """Numbers by index, such as an array or a view of memory."""

    def __setitem__(self, index: int, value: float, /) -> None: ...


_NOWHERE: Cell = [0]
_GO_ON: Cell = [0]


@dataclass(slots=True, frozen=True)
class Clip:
    """The range that rewards are clipped to, both ends included."""

    low: float = -math.inf
    high: float = math.inf


def run_item(reward: Reward, item: Item, clip: Clip) -> Outcome:
    """The outcome of one item under a reward of `Unit.ITEM` that is not async. Raises nothing."""
    try:
        result: Any = reward.score(item[0], item[1])
        if (
            type(result) is float
            and clip.low <= result <= clip.high
            and -_MAX <= result <= _MAX
            and not reward.component_names
        ):
            return Score(result, NO_COMPONENTS, "", ())
        return _outcome(reward.component_names, result, clip)
    except BaseException as error:  # noqa: BLE001 - foreign code: SystemExit and such are its own
        return _fault(error)


def run_each(
    reward: Reward,
    example: Example,
    responses: Sequence[Response],
    clip: Clip,
    rewards: Column,
    first: int,
    other: Callable[[int, Outcome], bool],
    cursor: Cell = _NOWHERE,
    stop: Cell = _GO_ON,
    forked: Cell = _GO_ON,
) -> int:
    """As `run_item` for each response, for items so cheap that a `Score` each would double them.

    A score that is nothing but a reward goes to `rewards`, from index `first` on. All else goes to
    `other` with its index, before the next item starts; it returns whether to go on. `cursor` gets
    the index + 1 of each item as it starts; none starts any more once `stop` or `forked` is set.

    Returns:
        The index after the last item that ran.
    """
    score, plain = reward.score, not reward.component_names
    low, high = max(clip.low, -_MAX), min(clip.high, _MAX)
    index = first
    for response in responses:
        if stop[0] or forked[0]:
            return index
        cursor[0] = index + 1
        try:
            result: Any = score(example, response)
            if type(result) is float and plain and low <= result <= high:
                rewards[index] = result
                index += 1
                continue
            outcome = _outcome(reward.component_names, result, clip)
        except BaseException as error:  # noqa: BLE001 - as in run_item
            outcome = _fault(error)
        index += 1
        if not other(index - 1, outcome):
            return index
    return index


def run_items(reward: Reward, items: Sequence[Item], clip: Clip) -> list[Outcome]:
    """The outcomes of one call with many items, in their order. Raises nothing.

    Of a whole group, an item that could not be read has its error in place of its response: it is
    left out of the call and gets this error.
    """
    if reward.whole_group and any(isinstance(item[1], ScoreError) for item in items):
        return _in_place(items, run_items(reward, _readable(items), clip))
    try:
        results = cast("Sequence[Result]", reward.score_items(items))
        return _outcomes(reward.component_names, results, len(items), clip)
    except BaseException as error:  # noqa: BLE001 - as above
        return [_fault(error)] * len(items)


async def run_items_async(
    reward: Reward, items: Sequence[Item], clip: Clip, timeout_s: float
) -> list[Outcome]:
    """The outcomes of one call of an async reward, in the order of the items.

    Under `Unit.ITEM` there is exactly one item. All items are TIMED_OUT when the call outlasts
    `timeout_s`, even where it swallows its cancellation. Raises nothing but CancelledError, and
    that only when the caller cancels. Of a whole group, as in `run_items`.
    """
    if reward.whole_group and any(isinstance(item[1], ScoreError) for item in items):
        readable = await run_items_async(reward, _readable(items), clip, timeout_s)
        return _in_place(items, readable)
    limit = asyncio.timeout(timeout_s)
    ends_in(timeout_s)
    outcomes: list[Outcome] = []
    try:
        async with limit:
            if reward.unit is Unit.ITEM:
                result = await cast("Any", reward.score(*items[0]))
                outcomes = [_outcome(reward.component_names, result, clip)]
            else:
                results = await cast("Any", reward.score_items(items))
                outcomes = _outcomes(reward.component_names, results, len(items), clip)
    except BaseException as error:
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise
        outcomes = [_fault(error)] * len(items)
    if limit.expired():
        return [timed_out(timeout_s)] * len(items)
    return outcomes


def _readable(items: Sequence[Item]) -> list[Item]:
    return [item for item in items if not isinstance(item[1], ScoreError)]


def _in_place(items: Sequence[Item], outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The outcomes of the readable items, with the errors of the others between them."""
    left = iter(outcomes)
    return [item[1] if isinstance(item[1], ScoreError) else next(left) for item in items]


def timed_out(timeout_s: float) -> ScoreError:
    """The outcome of an item that executed longer than it may."""
    return ScoreError(Reason.TIMED_OUT, f"executed longer than {timeout_s:g} s and was killed")


_SCORES: tuple[type, ...] = (Score, Mapping)
_NO_LISTS: tuple[type, ...] = (str, bytes, Mapping, Set)


def _outcomes(names: Sequence[str], results: object, count: int, clip: Clip) -> list[Outcome]:
    if isinstance(results, _NO_LISTS) or not hasattr(results, "__len__"):
        _close(results)
        raise InvalidResult(f"returned {shown(results)}, want a list of {count}")
    given = list(islice(cast("Sequence[Result]", results), count + 1))
    if len(given) != count:
        told = len(cast("Sequence[Result]", results))
        raise InvalidResult(f"returned {told} results for {count} responses")
    return [_guarded(names, result, clip) for result in given]


def _guarded(names: Sequence[str], result: object, clip: Clip) -> Outcome:
    try:
        return _outcome(names, result, clip)
    except BaseException as error:  # noqa: BLE001 - a result may be an object with code of its own
        return _fault(error)


def _outcome(names: Sequence[str], result: object, clip: Clip) -> Outcome:
    """The result as an outcome.

    Raises:
        InvalidResult: it is no result.
        BaseException: whatever a foreign object's own code raises.
    """
    kind = type(result)
    if kind is Score or kind is dict or isinstance(result, _SCORES):
        score = score_of(cast("Score | Mapping[str, Any]", result), names)
    elif isinstance(result, RewardFault):
        raise result
    elif result is None:
        return ScoreError(Reason.NOT_APPLICABLE, "the reward returned None")
    elif isinstance(result, RewardFault):
        raise result
    else:
        if inspect.iscoroutine(result):
            _close(result)
            raise InvalidResult("returned a coroutine; declare the function with `async def`")
        score = Score(number(result, "reward"), NO_COMPONENTS, "", ())
        if names:
            raise InvalidResult(f'returned no components: want {{"score": x}} and {list(names)}')
    value = score.reward
    if clip.low <= value <= clip.high:
        return score
    value = min(max(value, clip.low), clip.high)
    return replace(score, reward=value)


def _close(result: object) -> None:
    if inspect.iscoroutine(result):
        result.close()


def _fault(error: BaseException) -> ScoreError:
    kind = type(error)
    if issubclass(kind, MemoryError):
        return ScoreError(Reason.OUT_OF_MEMORY, "the reward function ran out of memory")
    if issubclass(kind, RecursionError):
        return ScoreError(Reason.RAISED, "RecursionError: maximum recursion depth exceeded")
    reason, text, at = Reason.RAISED, "an exception that cannot be shown", ""
    usage: Usage | None = None
    try:
        text = str(kind.__name__)
        if issubclass(kind, RewardFault):
            if isinstance(kind.reason, Reason):  # pyright: ignore[reportUnnecessaryIsInstance]
                reason = kind.reason
            text = str(error) or text
            spent = cast("RewardFault", error).usage
            usage = spent if type(spent) is Usage else None
        else:
            frames = traceback.extract_tb(error.__traceback__, limit=-3)
            at = " < ".join(f"{f.filename}:{f.lineno} {f.name}" for f in reversed(frames))
            text = f"{text}: {error} ({at})"
    except BaseException:  # noqa: BLE001 - an exception's own __str__ may raise
        text = f"{text} ({at})"
    spent_any = usage is not None and usage.calls > 0
    return ScoreError(reason, plain(text, MAX_MESSAGE_CHARS), usage if spent_any else None)
