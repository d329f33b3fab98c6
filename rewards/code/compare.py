"""What a program wrote or returned, against what is expected. Runs no code of the program."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any, Literal, cast

from ..reading.json_text import is_equal
from ..sandbox.guest.values import MAX_DEPTH

Comparison = Literal["floats", "tokens", "tokens_icase", "lines", "exact"]
"""How outputs are compared.

floats        as tokens; one that is expected with a point or an exponent need be near only
tokens        what stands between white space, in its order: lines do not matter
tokens_icase  the same, whatever the case of letters
lines         line by line, without white space at line ends and blank lines at the end
exact         as written, but for white space at the end of all
"""
_REAL = re.compile(r"[+-]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][+-]?[0-9]{1,3})?", re.ASCII)
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", re.ASCII)
_MAX_RANGE = 1_000_000


def same_output(expected: str, output: str, comparison: Comparison, tolerance: float) -> bool:
    """Whether two outputs are the same. `tolerance`: of floats, relative or absolute."""
    if expected == output:
        return True
    match comparison:
        case "exact":
            return expected.rstrip() == output.rstrip()
        case "lines":
            return _lines(expected) == _lines(output)
        case "tokens":
            return expected.split() == output.split()
        case "tokens_icase":
            return expected.casefold().split() == output.casefold().split()
        case "floats":
            wanted, got = expected.split(), output.split()
            return len(wanted) == len(got) and all(
                w == g or _near_words(w, g, tolerance) for w, g in zip(wanted, got, strict=True)
            )


def same_value(expected: Any, told: str, tolerance: float) -> bool:
    """Whether what a program told of a value is the same as JSON.

    `told` is as `sandbox.guest.values.dump` writes it. 1 is 1.0, true is not 1, a tuple, a deque, a
    range and an iterator are lists. Where a float is expected a number need be within `tolerance`
    only, relative or absolute. NaN is never the same.
    """
    try:
        value = _as_json(json.loads(told), MAX_DEPTH)
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError, ZeroDivisionError):
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
        case "t" | "q" | "g":
            return [_as_json(item, depth - 1) for item in inner]
        case "n":
            return _as_json(inner, depth - 1)
        case "r":
            numbers = range(*(_as_json(n, 1) for n in inner))
            return list(numbers) if len(numbers) <= _MAX_RANGE else object()
        case "F":
            numerator, denominator = (_as_json(n, 2) for n in inner)
            return numerator / denominator
        case "D":
            return float(inner)
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
    if isinstance(expected, float) and isinstance(value, int | float):
        return not isinstance(value, bool) and _is_close(expected, value, tolerance)
    return is_equal(expected, value)


def _is_close(one: float, other: float, tolerance: float) -> bool:
    try:
        return math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance)
    except OverflowError:  # an int beyond what a float holds
        return one == other


def _lines(text: str) -> Sequence[str]:
    lines = [line.rstrip() for line in text.replace("\r\n", "\n").split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _near_words(wanted: str, got: str, tolerance: float) -> bool:
    """Only where a real number is expected: 1000000007 is not near 1000000000."""
    if _REAL.fullmatch(wanted) is None or _NUMBER.fullmatch(got) is None:
        return False
    return _is_close(float(wanted), float(got), tolerance)
