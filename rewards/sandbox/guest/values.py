"""Python values as JSON, so that they cross between a test and the program it tests.

None, bool, int, float, complex, str, bytes, list, tuple, set, frozenset, dict, range, deque,
Fraction, Decimal, dates and times without a zone, and arrays of numpy cross as they are; an object
of a class derived from one, which may behave as it likes, is told as what it holds. An iterator
crosses as what it gives, up to `MAX_ITEMS`. Objects of classes that both sides have cross by their
attributes; others only where `Packer.hold` knows a name for them. Both ends run this, in sandboxes
of their own; what is read are plain values again, whatever wrote them.
"""

from __future__ import annotations

import base64
import importlib
import itertools
import json
import sys
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, cast

MAX_DEPTH = 60
MAX_ITEMS = 10_000
"""Of an iterator: one that gives more, maybe for ever, is cut, and says so to who reads on."""
_NAMED_FLOATS = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}
_NONE: dict[Any, Any] = {}
_VIEWS: tuple[type[Any], ...] = (type(_NONE.keys()), type(_NONE.values()), type(_NONE.items()))


class Unplain(TypeError):
    """A value is of no plain type, or nested too deep."""


class TooMany(RuntimeError):
    """An iterator that crossed was read beyond what crosses."""


def dump(value: Any) -> str:
    """The value as JSON. Raises Unplain."""
    return Packer().dump(value)


def load(text: str | bytes, depth: int = MAX_DEPTH + 1) -> Any:
    """The value of `dump`. Raises ValueError for anything else, or nested deeper than `depth`."""
    return Unpacker().load(text, depth)


class Packer:
    """Writes values. `shared`: names of classes that both sides have.

    `hold` makes JSON that names an object which stays where it is, or raises Unplain.
    """

    def __init__(
        self, shared: Collection[str] = (), hold: Callable[[Any], Any] | None = None
    ) -> None:
        self._shared = shared
        self._hold = hold
        self._numbers: dict[int, int] = {}
        self._queue: list[Any] = []

    def dump(self, value: Any) -> str:
        """The value as JSON. Raises Unplain."""
        self._numbers.clear()
        self._queue.clear()
        root = self._packed(value, 0)
        objects: list[Any] = []
        for held in self._queue:  # grows while its attributes are packed: no recursion
            its = cast("dict[str, Any]", vars(held))
            attributes = [[name, self._packed(v, 0)] for name, v in its.items()]
            objects.append([cast("type[Any]", type(held)).__name__, attributes])
        return json.dumps({"O": [objects, root]} if objects else root, allow_nan=False)

    def _packed(self, value: Any, depth: int) -> Any:
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
            return {"c": [self._packed(value.real, depth), self._packed(value.imag, depth)]}
        if kind is bytes:
            value = bytes.__getitem__(value, slice(None))
            return {"b": base64.b64encode(value).decode()}
        if depth >= MAX_DEPTH:
            raise Unplain("nested too deep")
        if kind is list:
            items = cast("Any", list).__iter__(value)
            return [self._packed(item, depth + 1) for item in items]
        if kind is dict:
            pairs = cast("Any", dict).items(value)
            return {
                "d": [[self._packed(k, depth + 1), self._packed(v, depth + 1)] for k, v in pairs]
            }
        if kind in _TAGS:
            return {_TAGS[kind]: [self._packed(item, depth + 1) for item in kind.__iter__(value)]}
        return self._rarer(value, kind, depth)

    def _rarer(self, value: Any, kind: type[Any], depth: int) -> Any:
        if kind is range:
            return {"r": [self._packed(n, depth) for n in (value.start, value.stop, value.step)]}
        if kind is Fraction:
            return {"F": [self._packed(n, depth) for n in (value.numerator, value.denominator)]}
        if kind is Decimal:
            return {"D": str(value)}
        if kind in _TIMES and getattr(value, "tzinfo", None) is None:
            return {"w": [kind.__name__, _time_parts(kind, value)]}
        if kind in _VIEWS:
            return [self._packed(item, depth + 1) for item in value]
        if kind.__module__ == "numpy":
            return self._of_numpy(value, depth)
        name = kind.__name__
        if name in self._shared and hasattr(value, "__dict__"):
            number = self._numbers.get(id(value))
            if number is None:
                number = self._numbers[id(value)] = len(self._queue)
                self._queue.append(value)
            return {"@": number}
        if isinstance(value, Iterator) and kind.__module__ in ("builtins", "itertools"):
            items = cast("Iterator[Any]", value)
            few = list(itertools.islice(items, MAX_ITEMS + 1))
            return {"g": [self._packed(item, depth + 1) for item in few]}
        if self._hold is not None:
            return self._hold(value)
        raise Unplain(f"{name} is no plain value")

    def _of_numpy(self, value: Any, depth: int) -> Any:
        if hasattr(value, "ndim") and value.ndim:
            return {"n": self._packed(value.tolist(), depth)}
        plain = value.item() if hasattr(value, "item") else value
        if type(plain) in _KINDS:
            return self._packed(plain, depth)
        raise Unplain(f"{type(value).__name__} of numpy is no plain value")


class Unpacker:
    """Reads values. `shared`: classes that both sides have, by name.

    `hold` makes what stands here for an object that stayed on the other side.
    """

    def __init__(
        self,
        shared: Mapping[str, type] | None = None,
        hold: Callable[[Any], Any] | None = None,
    ) -> None:
        self._shared = shared or {}
        self._hold = hold
        self._objects: list[Any] = []

    def load(self, text: str | bytes, depth: int = MAX_DEPTH + 1) -> Any:
        """The value of `Packer.dump`. Raises ValueError for anything else, or nested deeper."""
        try:
            packed: Any = json.loads(text)
            if isinstance(packed, dict) and "O" in packed:
                objects, root = cast("dict[str, Any]", packed)["O"]
                return self._with_objects(objects, root, depth)
            return self._unpacked(packed, depth)
        except (TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
            raise ValueError(f"no plain value: {error}") from None

    def _with_objects(self, objects: Any, root: Any, depth: int) -> Any:
        classes = [self._shared[name] for name, _attributes in objects]
        self._objects = [object.__new__(each) for each in classes]
        for made, (_name, attributes) in zip(self._objects, objects, strict=True):
            for attribute, value in attributes:
                object.__setattr__(made, attribute, self._unpacked(value, depth))
        return self._unpacked(root, depth)

    def _unpacked(self, packed: Any, depth: int) -> Any:
        if depth == 0:
            raise KeyError("nested too deep")
        depth -= 1
        if isinstance(packed, list):
            return [self._unpacked(item, depth) for item in cast("list[Any]", packed)]
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
                real, imag = (self._unpacked(item, depth) for item in inner)
                return complex(real, imag)
            case "b":
                return base64.b64decode(inner, validate=True)
            case "t":
                return tuple([self._unpacked(item, depth) for item in inner])
            case "s":
                return {self._unpacked(item, depth) for item in inner}
            case "z":
                return frozenset([self._unpacked(item, depth) for item in inner])
            case "d":
                return {self._unpacked(k, depth): self._unpacked(v, depth) for k, v in inner}
            case _:
                return self._rarer(tag, inner, depth)

    def _rarer(self, tag: Any, inner: Any, depth: int) -> Any:
        match tag:
            case "r":
                start, stop, step = (self._unpacked(n, depth) for n in inner)
                return range(start, stop, step)
            case "q":
                return deque([self._unpacked(item, depth) for item in inner])
            case "F":
                above, below = (int(self._unpacked(n, depth)) for n in inner)
                return Fraction(above, below)
            case "D":
                return Decimal(inner)
            case "w":
                name, parts = inner
                return _TIME_KINDS[name](*(int(part) for part in parts))
            case "g":
                return _given([self._unpacked(item, depth) for item in inner])
            case "n":
                items = self._unpacked(inner, depth)
                numpy = sys.modules.get("numpy") or _numpy()
                return items if numpy is None else cast("Any", numpy).array(items)
            case "@":
                return self._objects[inner]
            case _:
                if self._hold is None:
                    raise KeyError(tag)
                return self._hold({tag: inner})


def _given(items: list[Any]) -> Iterator[Any]:
    yield from items[:MAX_ITEMS]
    if len(items) > MAX_ITEMS:
        raise TooMany(f"an iterator of the program gave more than {MAX_ITEMS} values")


def _numpy() -> Any:
    try:
        return importlib.import_module("numpy")
    except ImportError:
        return None


def _plain_kind(kind: type[Any]) -> type[Any]:
    """The plain type itself, or the one that it is derived from: a Counter is a dict.

    What is told of such an object is what it holds, by the plain type's own methods.
    """
    if kind in _KINDS:
        return kind
    return next((base for base in kind.__mro__ if base in _KINDS), kind)


def _time_parts(kind: type[Any], value: Any) -> list[int]:
    return [int(getattr(kind, name).__get__(value)) for name in _TIMES[kind]]


_DAY, _HOUR = ("year", "month", "day"), ("hour", "minute", "second", "microsecond")
_TIMES: dict[type[Any], tuple[str, ...]] = {
    date: _DAY,
    datetime: (*_DAY, *_HOUR),
    time: _HOUR,
    timedelta: ("days", "seconds", "microseconds"),
}
_TIME_KINDS = {kind.__name__: kind for kind in _TIMES}
_TAGS: dict[type, str] = {tuple: "t", set: "s", frozenset: "z", deque: "q"}

_KINDS: frozenset[type] = frozenset(
    (
        *(bool, int, float, complex, str, bytes, list, tuple, set, frozenset, dict),
        *(deque, range, Fraction, Decimal),
        *(date, datetime, time, timedelta),
    )
)
