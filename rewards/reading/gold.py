"""The gold of an item: a reference as text, a list of acceptable ones, or as JSON."""

from __future__ import annotations

import json
from typing import Annotated, Any, cast

from pydantic import Field

from ..finite_json import finite_json
from ..references import reference
from ..types import Example, InvalidReference, Response

ReferenceKey = Annotated[str, Field(min_length=1, max_length=128)]
"""The name of a reference."""

MAX_GOLDS = 256
UNUSUAL = frozenset(("", "[", " ", "\t", "\n", "\r", "\v", "\f", "\u00a0", "\u2003", "\u3000"))
"""What a gold that needs no second look does not begin with: a list, white space, nothing."""


def text_gold(example: Example, response: Response, key: str) -> str:
    """The reference `key` as text: a string as it is, a number as its JSON writes it.

    Raises:
        InvalidReference: it is missing, blank, or neither text nor a number.
    """
    document, is_text = _held(example, response, key)
    text = document if is_text else _as_text(key, _value(key, document), document)
    if not text or text.isspace():
        raise InvalidReference(f"reference {key!r} is blank")
    return text


def text_golds(example: Example, response: Response, key: str) -> tuple[str, ...]:
    """The acceptable golds that the reference `key` gives: one, or each of a list of them.

    A list is JSON, as a JSON reference or as text, of strings and numbers.

    Raises:
        InvalidReference: it is missing, blank, an empty list, or neither text nor numbers.
    """
    if not response.references and not response.json_references:
        text = example.references.get(key)
        if text is not None and text[:1] not in UNUSUAL:
            return (text,)
    document, is_text = _held(example, response, key)
    if not document.lstrip().startswith("["):
        return (text_gold(example, response, key),)
    try:
        value = json.loads(
            document, parse_float=_Written, parse_int=_Written, parse_constant=_refuse
        )
    except (ValueError, RecursionError) as error:
        if is_text:  # an interval
            return (document,)
        raise InvalidReference(f"reference {key!r} is no JSON: {error}") from None
    golds = cast("list[Any]", value)
    if is_text and not all(type(gold) is str for gold in golds):
        return (document,)  # "[1, 2]" is an interval
    if not 0 < len(golds) <= MAX_GOLDS:
        raise InvalidReference(f"reference {key!r} is a list of {len(golds)} golds")
    return tuple(_as_text(key, gold, str(gold)) for gold in golds)


def json_gold(example: Example, response: Response, key: str) -> tuple[Any, bool]:
    """The reference `key` as a JSON value, and whether it was given as text.

    Raises:
        InvalidReference: it is missing, blank, or its JSON cannot be read.
    """
    document, is_text = _held(example, response, key)
    value = document if is_text else _value(key, document)
    if isinstance(value, str) and (not value or value.isspace()):
        raise InvalidReference(f"reference {key!r} is empty")
    return value, is_text


class _Written(str):
    """A number of a JSON document, as it is written there."""

    __slots__ = ()


def _held(example: Example, response: Response, key: str) -> tuple[str, bool]:
    """The text of the reference, and whether it is text rather than JSON; the response's first."""
    for holder in (response, example):
        if key in holder.references:
            return holder.references[key], True
        if key in holder.json_references:
            return holder.json_references[key], False
    reference(example, response, key)  # raises, and says what there is
    raise InvalidReference(f"reference {key!r} is missing")


def _value(key: str, document: str) -> Any:
    try:
        return finite_json(document)
    except (ValueError, RecursionError) as error:
        raise InvalidReference(f"reference {key!r} is no JSON: {error}") from None


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _as_text(key: str, value: Any, written: str) -> str:
    if isinstance(value, str):
        if not value or value.isspace():
            raise InvalidReference(f"reference {key!r} is blank")
        return str(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return written.strip()
    raise InvalidReference(f"reference {key!r} is {_NAMES[type(value)]}, want text or a number")


_NAMES: dict[type, str] = {
    bool: "true or false",
    type(None): "null",
    list: "a list",
    dict: "an object",
}
