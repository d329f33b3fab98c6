"""JSON in the text of a response, read strictly."""

from __future__ import annotations

import json
from typing import Any, NoReturn, cast

from .fence import unfenced

MAX_DEPTH = 64
"""A document that is nested deeper is not read: what looks at it recurses."""


class NoJson(ValueError):
    """The text is no JSON document."""


def _refuse(constant: str) -> NoReturn:
    raise NoJson(f"{constant} is no JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        # The last would win here and the first elsewhere: what is meant is not known.
        seen: set[str] = set()
        key = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise NoJson(f"the key {key[:80]!r} stands twice in an object")
    return found


_DECODER = json.JSONDecoder(parse_constant=_refuse, object_pairs_hook=_object)


def read_json(text: str, *, fenced: bool = False) -> Any:
    """The JSON document that the text is, but for white space around it.

    `fenced`: a text that is one Markdown code block as a whole is read without its fence. NaN and
    Infinity, a key that stands twice, integers beyond what Python converts, and nesting beyond
    `MAX_DEPTH` are refused.

    Raises:
        NoJson: it is none.
    """
    text = text.strip()
    if fenced:
        text = unfenced(text)
    try:
        document = _DECODER.decode(text)
    except RecursionError:
        raise NoJson("nested too deep") from None
    except ValueError as error:
        raise NoJson(str(error)) from None
    if text.count("[") + text.count("{") > MAX_DEPTH and is_deep(document, MAX_DEPTH):
        raise NoJson("nested too deep")
    return document


def is_deep(document: Any, depth: int) -> bool:
    """Whether the document is nested deeper than `depth`; without recursion."""
    level: list[Any] = [document]
    for _ in range(depth):
        inner: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                inner += cast("dict[str, Any]", value).values()
            elif isinstance(value, list):
                inner += cast("list[Any]", value)
        level = inner
    return any(isinstance(value, dict | list) for value in level)


def is_equal(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same: 1 is 1.0, but true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        ones, others = cast("dict[str, Any]", one), cast("dict[str, Any]", other)
        return ones.keys() == others.keys() and all(is_equal(ones[k], others[k]) for k in ones)
    if isinstance(one, list) and isinstance(other, list):
        items, other_items = cast("list[Any]", one), cast("list[Any]", other)
        return len(items) == len(other_items) and all(map(is_equal, items, other_items))
    return bool(one == other)
