"""ProtoJSON to the messages of `schema`, as tolerant as Google's own parsers.

Keys may be camelCase or snake_case, in any mixture; null is not set; enums are read by name in any
case; numbers may be text, also "NaN" and "Infinity". An unknown field is a warning that names the
nearest known one. Source: https://protobuf.dev/programming-guides/json/
"""

from __future__ import annotations

import dataclasses
import enum
import json
import math
import re
import types
import typing
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any, NoReturn, TypeVar, cast

from ...reading.json_text import is_deep
from ...result import shown

MAX_DEPTH = 64

_T = TypeVar("_T")
_INT = re.compile(r"-?[0-9]{1,20}")
_FLOAT = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_INT64 = 2**63


class BadMessage(ValueError):
    """The JSON is no such message; `faults` are all that is wrong, each with its path."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults

    def __reduce__(self) -> tuple[Any, ...]:
        return BadMessage, (self.faults,)


def loads(text: str | bytes) -> Any:
    """The JSON document that the text is; a key that stands twice in an object is refused.

    Raises:
        BadMessage: it is none, or nested more than `MAX_DEPTH` deep.
    """
    try:
        document = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse_constant)
    except BadMessage:
        raise
    except RecursionError:
        raise BadMessage(["nested too deep"]) from None
    except ValueError as error:
        raise BadMessage([f"no JSON: {error}"]) from None
    if is_deep(document, MAX_DEPTH):
        raise BadMessage([f"nested more than {MAX_DEPTH} deep"])
    return document


def read(message: type[_T], document: object, path: str = "") -> tuple[_T, list[str]]:
    """The message that a JSON document holds, and warnings: fields that nobody knows.

    Raises:
        BadMessage: a field is not of its type, or stands in both spellings. All faults at once.
    """
    reader = _Reader()
    value = reader.message(message, document, path)
    if reader.faults:
        raise BadMessage(reader.faults)
    return cast("_T", value), reader.warnings


def read_float(value: object) -> float | None:
    """A number as ProtoJSON writes one, maybe not finite. None: it is none."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return None
    if isinstance(value, str):
        if value in _NOT_FINITE:
            return _NOT_FINITE[value]
        return float(value) if _FLOAT.fullmatch(value) else None
    return None


def read_int(value: object) -> int | None:
    """An int64 as ProtoJSON writes one: a number, or its text. None: it is none."""
    number: int | None = None
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, float):
        number = int(value) if value.is_integer() else None
    elif isinstance(value, str) and _INT.fullmatch(value):
        number = int(value)
    return number if number is not None and -_INT64 <= number < _INT64 else None


def camel(name: str) -> str:
    """The JSON name of a field: ``reward_name`` is ``rewardName``."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def spelled(fields: Mapping[str, Any], name: str) -> Any:
    """The value of a field by its proto name, in either spelling; None where it is not set."""
    value = fields.get(camel(name))
    return fields.get(name) if value is None else value


class _Reader:
    def __init__(self) -> None:
        self.faults: list[str] = []
        self.warnings: list[str] = []

    def message(self, cls: type[Any], document: object, path: str) -> Any:
        if not isinstance(document, dict):
            return self._fault(path, f"want an object, not {shown(document)}")
        types_by_name = _fields(cls)
        spellings = {s: name for name in types_by_name for s in (name, camel(name))}
        given: dict[str, Any] = {}
        written: dict[str, str] = {}
        for key, raw in cast("dict[Any, Any]", document).items():
            name = spellings.get(key)
            at = _join(path, key)
            if name is None:
                self.warnings.append(_unknown(at, str(key), [camel(n) for n in types_by_name]))
            elif name in written:
                self._fault(at, f"stands twice, as {written[name]!r} too")
            else:
                written[name] = key
                if raw is not None:
                    given[name] = self._value(types_by_name[name], raw, at)
        return cls(**given)

    def _value(self, kind: Any, raw: object, path: str) -> Any:
        if kind is Any:
            return raw
        if kind is str:
            return (
                raw if isinstance(raw, str) else self._fault(path, f"want text, not {shown(raw)}")
            )
        if kind is bool:
            return (
                raw
                if isinstance(raw, bool)
                else self._fault(path, f"want a bool, not {shown(raw)}")
            )
        if kind is float:
            number = read_float(raw)
            return (
                self._fault(path, f"want a number, not {shown(raw)}") if number is None else number
            )
        if kind is int:
            whole = read_int(raw)
            return (
                self._fault(path, f"want an integer, not {shown(raw)}") if whole is None else whole
            )
        if isinstance(kind, enum.EnumType):
            return self._member(kind, raw, path)
        if typing.get_origin(kind) is tuple:
            if not isinstance(raw, list):
                return self._fault(path, f"want a list, not {shown(raw)}")
            inner = typing.get_args(kind)[0]
            return tuple(
                self._value(inner, item, f"{path}[{i}]")
                for i, item in enumerate(cast("list[Any]", raw))
            )
        if typing.get_origin(kind) is Mapping:
            if not isinstance(raw, dict):
                return self._fault(path, f"want an object, not {shown(raw)}")
            return cast("dict[str, Any]", raw)
        return self.message(kind, raw, path)

    def _member(self, kind: Any, raw: object, path: str) -> Any:
        names = {member.name.casefold(): member for member in kind}
        found = names.get(raw.casefold()) if isinstance(raw, str) else None
        if found is None:
            known = ", ".join(member.name for member in kind)
            return self._fault(path, f"want one of {known}, not {shown(raw)}")
        return found

    def _fault(self, path: str, told: str) -> None:
        self.faults.append(f"{path}: {told}" if path else told)


@cache
def _fields(cls: type[Any]) -> Mapping[str, Any]:
    """The fields of a message with their types, where `None` may stand without it."""
    hints = typing.get_type_hints(cls)
    return {f.name: _without_none(hints[f.name]) for f in dataclasses.fields(cls)}


def _without_none(kind: Any) -> Any:
    if isinstance(kind, types.UnionType):
        return next(k for k in typing.get_args(kind) if k is not types.NoneType)
    return kind


def _unknown(path: str, key: str, known: list[str]) -> str:
    near = get_close_matches(key, known, n=1) or get_close_matches(camel(key), known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known) or 'none'}"
    return f"{path}: unknown field, ignored; {hint}"


def _join(path: str, key: object) -> str:
    name = str(key)[:80]
    return f"{path}.{name}" if path else name


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise BadMessage([f"{key[:80]!r} stands twice in one object"])
        found[key] = value
    return found


def _refuse_constant(constant: str) -> NoReturn:
    raise BadMessage([f"{constant} is no JSON"])
