"""What a reward function may return, and how it becomes a score. Every value is checked here."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, cast

from .types import MAX_DETAILS_CHARS, MAX_SCORE_ANSWER_CHARS, InvalidResult, Score

NO_COMPONENTS: Mapping[str, float] = {}
"""Shared by all scores without components; nobody writes to it."""

_NO_STEPS: tuple[float, ...] = ()

MAX_EXPLANATION_CHARS = 10_000


def score_of(result: Score | Mapping[str, Any], names: Sequence[str]) -> Score:
    """A score or a mapping as a sound score with exactly the components `names`.

    Components, reward and step rewards are finite floats; the explanation and the answer are text
    that UTF-8 can hold, cut at `MAX_EXPLANATION_CHARS` and `MAX_SCORE_ANSWER_CHARS`.

    Raises:
        InvalidResult: it is no such score.
    """
    if type(result) is Score:
        parts = result.components
        if (
            type(result.reward) is float
            and math.isfinite(result.reward)
            and result.step_rewards is _NO_STEPS
            and type(result.explanation) is str
            and not result.explanation
            and not result.details_json
            and type(answer := result.answer) is str
            and answer.isascii()
            and len(answer) <= MAX_SCORE_ANSWER_CHARS
            and _is_dict(parts)
            and len(parts) == len(names)
        ):
            for name in names:
                value = parts.get(name)
                if type(value) is not float or not math.isfinite(value):
                    break
            else:
                return result
    if isinstance(result, Score):
        reward = number(result.reward, "reward")
        if not isinstance(result.explanation, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidResult(f"the explanation is {shown(result.explanation)}, want text")
        if not isinstance(result.answer, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidResult(f"the answer is {shown(result.answer)}, want text")
        steps = tuple(number(step, "step reward") for step in result.step_rewards)
        explanation = plain(result.explanation, MAX_EXPLANATION_CHARS)
        answer = plain(result.answer, MAX_SCORE_ANSWER_CHARS)
        details = _details(result.details_json)
        components = _components(result.components, names)
        return Score(reward, components, explanation, steps, answer, details)
    if "score" not in result:
        raise InvalidResult('returned a dict without "score"')
    parts = {key: value for key, value in result.items() if key != "score"}
    return Score(number(result["score"], "reward"), _components(parts, names), "", ())


def number(value: object, what: str) -> float:
    """A finite float from a float, int, bool, Decimal, Fraction, or a scalar of numpy or torch.

    Raises:
        InvalidResult: it is no number, not finite, or too large for a float.
    """
    kind = type(value)
    if kind is float:
        converted = cast("float", value)
    else:
        if kind is not int and kind is not bool and not _is_number(value):
            raise InvalidResult(f"the {what} is {shown(value)}, which is no number")
        try:
            converted = float(cast("Any", value))
        except BaseException as error:  # noqa: BLE001 - a foreign object's own code
            raise InvalidResult(
                f"the {what} is a {kind.__name__} that is no float: {type(error).__name__}"
            ) from None
    if not math.isfinite(converted):
        raise InvalidResult(f"the {what} is {converted}")
    return converted


def shown(value: object) -> str:
    """The value for a message: its type and the beginning of its text."""
    if isinstance(value, int):
        return f"int of {value.bit_length()} bits" if value.bit_length() > 200 else f"int {value:d}"
    try:
        return f"{type(value).__name__} {plain(repr(value), 80)}"
    except BaseException:  # noqa: BLE001 - a foreign object's own code
        return "an object that cannot be shown"


def plain(text: str, max_chars: int) -> str:
    """Text that UTF-8 can hold, of at most `max_chars`: protobuf refuses a lone surrogate."""
    text = text[:max_chars]
    if type(text) is str and text.isascii():
        return text
    return text.encode("utf-8", "replace").decode()


def _details(document: object) -> str:
    if not isinstance(document, str):
        raise InvalidResult(f"the details are {shown(document)}, want text that is JSON")
    if len(document) > MAX_DETAILS_CHARS:
        raise InvalidResult(f"details of {len(document)} characters; at most {MAX_DETAILS_CHARS}")
    return document if document.isascii() else plain(document, MAX_DETAILS_CHARS)


def _is_number(value: object) -> bool:
    if isinstance(value, str | bytes | bytearray):
        return False
    if isinstance(value, numbers.Number):
        return isinstance(value, numbers.Real | Decimal)
    return getattr(value, "shape", None) == () and hasattr(value, "__float__")


def _is_dict(value: Mapping[str, float]) -> bool:
    return type(value) is dict  # a subclass has code of its own


def _components(given: Mapping[str, Any], names: Sequence[str]) -> dict[str, float]:
    unknown = [shown(name) for name in given if name not in names]
    missing = [name for name in names if name not in given]
    if unknown or missing:
        raise InvalidResult(
            f"components must be exactly {list(names)}"
            + (f"; unknown: {', '.join(unknown[:8])} (declare them: components)" if unknown else "")
            + (f"; missing: {missing}" if missing else "")
        )
    return {name: number(given[name], f"component {name!r}") for name in names}
