"""What a program wrote or returned, against what is expected. Runs no code of the program."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, cast

from ..reading.json_text import is_equal
from ..sandbox.guest.values import MAX_DEPTH


def same_output(expected: str, output: str, tolerance: float) -> bool:
    """Whether two outputs are the same: line by line, without white space at the ends of lines.

    Blank lines at the end do not count. With a `tolerance` two lines are also the same where their
    words are, numbers among them within it, relative or absolute.
    """
    wanted, got = _lines(expected), _lines(output)
    if wanted == got:
        return True
    if not tolerance or len(wanted) != len(got):
        return False
    return all(_near(w.split(), g.split(), tolerance) for w, g in zip(wanted, got, strict=True))


def same_value(expected: Any, told: str, tolerance: float) -> bool:
    """Whether what a program told of a value is the same as JSON.

    `told` is as `sandbox.guest.values.dump` writes it. 1 is 1.0, true is not 1, a tuple is a list.
    With a `tolerance` numbers need be within it only, relative or absolute. NaN is never the same.
    """
    try:
        value = _as_json(json.loads(told), MAX_DEPTH)
    except (ValueError, TypeError, KeyError, RecursionError):
        return False
    if not tolerance:
        return is_equal(expected, value)
    return _close(expected, value, tolerance)


def _as_json(packed: Any, depth: int) -> Any:
    """The JSON value of a packed one. What JSON has no word for is equal to nothing.

    No set or dict is built of what the program chose to hash alike: keys are text here, whose
    hashes it does not know.
    """
    if depth == 0:
        raise ValueError("nested too deep")
    if isinstance(packed, list):
        return [_as_json(item, depth - 1) for item in cast("list[Any]", packed)]
    if not isinstance(packed, dict):
        return packed
    tag: Any
    inner: Any
    ((tag, inner),) = cast("dict[Any, Any]", packed).items()
    match tag:
        case "t":
            return [_as_json(item, depth - 1) for item in inner]
        case "d":
            return {_key(key): _as_json(value, depth - 1) for key, value in inner}
        case "i":
            return int(inner, 16)
        case _:
            return object()


def _key(key: Any) -> str:
    """A key as json.dumps writes it."""
    match key:
        case str():
            return key
        case bool():
            return "true" if key else "false"
        case None:
            return "null"
        case int() | float():
            return str(key)
        case _:
            raise TypeError("no key of JSON")


def _close(expected: Any, value: Any, tolerance: float) -> bool:
    if isinstance(expected, list) and isinstance(value, list):
        wanted, got = cast("list[Any]", expected), cast("list[Any]", value)
        return len(wanted) == len(got) and all(
            _close(w, g, tolerance) for w, g in zip(wanted, got, strict=True)
        )
    if isinstance(expected, dict) and isinstance(value, dict):
        wants, has = cast("dict[str, Any]", expected), cast("dict[str, Any]", value)
        return wants.keys() == has.keys() and all(
            _close(wants[k], has[k], tolerance) for k in wants
        )
    if _is_number(expected) and _is_number(value):
        return _is_close(cast("float", expected), cast("float", value), tolerance)
    return is_equal(expected, value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_close(one: float, other: float, tolerance: float) -> bool:
    try:
        return math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance)
    except OverflowError:  # an int beyond what a float holds
        return one == other


def _lines(text: str) -> list[str]:
    lines = [line.rstrip() for line in text.replace("\r\n", "\n").split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _near(wanted: Sequence[str], got: Sequence[str], tolerance: float) -> bool:
    return len(wanted) == len(got) and all(
        w == g or _near_words(w, g, tolerance) for w, g in zip(wanted, got, strict=True)
    )


def _near_words(wanted: str, got: str, tolerance: float) -> bool:
    try:
        return _is_close(float(wanted), float(got), tolerance)
    except ValueError:
        return False
