"""JSON to the messages of `schema`, as tolerant as Google's own parsers; what is wrong, by path."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from itertools import islice
from typing import Any, NoReturn, TypeVar, cast

from pydantic import ValidationError
from pydantic.alias_generators import to_camel

from ...reading.json_text import is_deep
from .message import ProtoMessage, spellings

MAX_DEPTH = 64
MAX_TOLD = 100

_M = TypeVar("_M", bound=ProtoMessage)


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
        if isinstance(text, bytes):
            text = text.decode(json.detect_encoding(text), "surrogatepass")
        document = _DECODER.decode(text)
    except BadMessage:
        raise
    except RecursionError:
        raise BadMessage(["nested too deep"]) from None
    except ValueError as error:
        raise BadMessage([f"no JSON: {error}"]) from None
    if text.count("[") + text.count("{") > MAX_DEPTH and is_deep(document, MAX_DEPTH):
        raise BadMessage([f"nested more than {MAX_DEPTH} deep"])
    return document


def message_of(message: type[_M], document: object, path: str = "") -> tuple[_M, list[str]]:
    """The message that a JSON document holds, and warnings: fields that nobody knows.

    At most `MAX_TOLD` of either are told.

    Raises:
        BadMessage: a field is not of its type, or stands in both spellings. All faults at once.
    """
    try:
        found = message.model_validate(document)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        raise BadMessage([_told(fault, path) for fault in faults[:MAX_TOLD]]) from None
    return found, list(islice(_unknown(found, path), MAX_TOLD))


def spelled(fields: Mapping[str, Any], name: str) -> Any:
    """The value of a field by its proto name, in either spelling; None where it is not set."""
    value = fields.get(_camel(name))
    return fields.get(name) if value is None else value


def _told(fault: Any, path: str) -> str:
    at = path
    for step in fault["loc"]:
        at = f"{at}[{step}]" if isinstance(step, int) else _join(at, step)
    told = str(fault["msg"]).removeprefix("Value error, ")
    return f"{at}: {told}" if at else told


def _unknown(message: ProtoMessage, path: str) -> Iterator[str]:
    names = sorted({*spellings(type(message)).values()})
    for key in message.model_extra or {}:
        name = key[:80]
        near = get_close_matches(name, names, n=1) or get_close_matches(to_camel(name), names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names) or 'none'}"
        yield f"{_join(path, key)}: unknown field, ignored; {hint}"
    for name, field in type(message).model_fields.items():
        value, at = getattr(message, name), _join(path, field.alias or name)
        if isinstance(value, ProtoMessage):
            yield from _unknown(value, at)
        elif isinstance(value, tuple):
            for index, item in enumerate(cast("Sequence[object]", value)):
                if isinstance(item, ProtoMessage):
                    yield from _unknown(item, f"{at}[{index}]")


def _join(path: str, key: object) -> str:
    name = str(key)[:80]
    return f"{path}.{name}" if path else name


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        key = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise BadMessage([f"{key[:80]!r} stands twice in one object"])
    return found


def _refuse_constant(constant: str) -> NoReturn:
    raise BadMessage([f"{constant} is no JSON"])


_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_refuse_constant)
_camel = lru_cache(maxsize=256)(to_camel)
