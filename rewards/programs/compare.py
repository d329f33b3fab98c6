"""What a program wrote or returned, against what is expected. Runs no code of the program."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

from ..json_text import is_equal


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


def same_value(expected: Any, value: Any, tolerance: float) -> bool:
    """Whether two values are the same as JSON: 1 is 1.0, true is not 1, a tuple is a list.

    With a `tolerance` numbers need be within it only, relative or absolute. NaN is never the same.
    """
    value = _as_json(value)
    if not tolerance:
        return is_equal(expected, value)
    return _close(expected, value, tolerance)


def _as_json(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_as_json(item) for item in cast("Sequence[Any]", value)]
    if isinstance(value, dict):
        # JSON has text for keys; json.dumps writes these so.
        items = cast("dict[Any, Any]", value).items()
        return {k if isinstance(k, str) else _key(k): _as_json(v) for k, v in items}
    # What JSON has no word for is equal to nothing.
    return value if value is None or isinstance(value, bool | int | float | str) else object()


def _key(key: Any) -> Any:
    if isinstance(key, bool):
        return "true" if key else "false"
    if key is None:
        return "null"
    return str(key) if isinstance(key, int | float) else key


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
