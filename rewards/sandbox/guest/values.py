"""Plain Python values as JSON, so that they cross between a test and the program it tests.

None, bool, int, float, complex, str, bytes, list, tuple, set, frozenset and dict, each by its exact
type: an object of a class derived from one may be anything. Both ends run it, in sandboxes of their
own; what is read are plain values again, whatever wrote them.
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


def load(text: str | bytes) -> Any:
    """The value of `dump`. Raises ValueError for anything else."""
    try:
        return _unpacked(json.loads(text))
    except (TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"no plain value: {error}") from None


def _packed(value: Any, depth: int) -> Any:
    kind = cast("type[Any]", type(value))
    if value is None or kind is bool or kind is str:
        return value
    if kind is int:
        # Beyond 4,300 digits Python's decimal conversion refuses.
        return value if -(2**63) <= value < 2**63 else {"i": hex(value)}
    if kind is float:
        return value if value - value == 0.0 else {"f": repr(value)}
    if kind is complex:
        return {"c": [_packed(value.real, depth), _packed(value.imag, depth)]}
    if kind is bytes:
        return {"b": base64.b64encode(value).decode()}
    if depth >= MAX_DEPTH:
        raise Unplain("nested too deep")
    if kind is list:
        return [_packed(item, depth + 1) for item in value]
    if kind is dict:
        pairs = [[_packed(k, depth + 1), _packed(v, depth + 1)] for k, v in value.items()]
        return {"d": pairs}
    if kind in _TAGS:
        return {_TAGS[kind]: [_packed(item, depth + 1) for item in value]}
    raise Unplain(f"{kind.__name__} is no plain value")


_TAGS: dict[type, str] = {tuple: "t", set: "s", frozenset: "z"}


def _unpacked(packed: Any) -> Any:
    if isinstance(packed, list):
        return [_unpacked(item) for item in cast("list[Any]", packed)]
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
            real, imag = map(_unpacked, inner)
            return complex(real, imag)
        case "b":
            return base64.b64decode(inner, validate=True)
        case "t":
            return tuple(map(_unpacked, inner))
        case "s":
            return set(map(_unpacked, inner))
        case "z":
            return frozenset(map(_unpacked, inner))
        case "d":
            return {_unpacked(k): _unpacked(v) for k, v in inner}
        case _:
            raise KeyError(tag)
