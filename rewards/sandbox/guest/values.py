"""Plain Python values as JSON, so that they cross between a test and the program it tests.

None, bool, int, float, complex, str, bytes, list, tuple, set, frozenset and dict; an object of a
class derived from one, which may behave as it likes, is told as what it holds. Both ends run it, in
sandboxes of their own; what is read are plain values again, whatever wrote them.
"""

from __future__ import annotations

import base64
import json
from typing import Any, cast

MAX_DEPTH = 60
_NAMED_FLOATS = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}


class Unplain(TypeError):
    """A value is of no plain type, or nested too deep."""


def dump(value: Any) -> str:
    """The value as JSON. Raises Unplain."""
    return json.dumps(_packed(value, 0), allow_nan=False)


def load(text: str | bytes, depth: int = MAX_DEPTH + 1) -> Any:
    """The value of `dump`. Raises ValueError for anything else, or nested deeper than `depth`."""
    try:
        return _unpacked(json.loads(text), depth)
    except (TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
        raise ValueError(f"no plain value: {error}") from None


def _packed(value: Any, depth: int) -> Any:
    kind = _plain_kind(cast("type[Any]", type(value)))
    if value is None or kind is bool:
        return value
    if kind is str:
        return str.__str__(value)
    if kind is int:
        value = int.__int__(value)
        # Beyond 4,300 digits Python's decimal conversion refuses.
        return value if -(2**63) <= value < 2**63 else {"i": hex(value)}
    if kind is float:
        value = float.__float__(value)
        return value if value - value == 0.0 else {"f": repr(value)}
    if kind is complex:
        value = complex.__complex__(value)
        return {"c": [_packed(value.real, depth), _packed(value.imag, depth)]}
    if kind is bytes:
        value = bytes.__getitem__(value, slice(None))
        return {"b": base64.b64encode(value).decode()}
    if depth >= MAX_DEPTH:
        raise Unplain("nested too deep")
    if kind is list:
        return [_packed(item, depth + 1) for item in cast("Any", list).__iter__(value)]
    if kind is dict:
        items = cast("Any", dict).items(value)
        return {"d": [[_packed(k, depth + 1), _packed(v, depth + 1)] for k, v in items]}
    if kind in _TAGS:
        return {_TAGS[kind]: [_packed(item, depth + 1) for item in kind.__iter__(value)]}
    raise Unplain(f"{kind.__name__} is no plain value")


def _plain_kind(kind: type[Any]) -> type[Any]:
    """The plain type itself, or the one that it is derived from: a Counter is a dict.

    What is told of such an object is what it holds, by the plain type's own methods.
    """
    if kind in _KINDS:
        return kind
    return next((base for base in kind.__mro__ if base in _KINDS), kind)


_TAGS: dict[type, str] = {tuple: "t", set: "s", frozenset: "z"}

_KINDS: frozenset[type] = frozenset(
    (bool, int, float, complex, str, bytes, list, tuple, set, frozenset, dict)
)


def _unpacked(packed: Any, depth: int) -> Any:
    if depth == 0:
        raise KeyError("nested too deep")
    depth -= 1
    if isinstance(packed, list):
        return [_unpacked(item, depth) for item in cast("list[Any]", packed)]
    if not isinstance(packed, dict):
        return packed
    tag: Any
    inner: Any
    ((tag, inner),) = cast("dict[Any, Any]", packed).items()
    match tag:
        case "i":
            return int(inner, 16)
        case "f":
            return _NAMED_FLOATS[inner]
        case "c":
            real, imag = (_unpacked(item, depth) for item in inner)
            return complex(real, imag)
        case "b":
            return base64.b64decode(inner, validate=True)
        case "t":
            return tuple([_unpacked(item, depth) for item in inner])
        case "s":
            return {_unpacked(item, depth) for item in inner}
        case "z":
            return frozenset([_unpacked(item, depth) for item in inner])
        case "d":
            return {_unpacked(k, depth): _unpacked(v, depth) for k, v in inner}
        case _:
            raise KeyError(tag)
