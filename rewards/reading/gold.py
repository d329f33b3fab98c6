"""The gold of an item: a reference as text."""

from __future__ import annotations

import json
from typing import Annotated

from pydantic import Field

from ..types import Example, InvalidReference, Response, reference

ReferenceKey = Annotated[str, Field(min_length=1, max_length=128)]
"""The name of a reference."""


def text_gold(example: Example, response: Response, key: str) -> str:
    """The reference `key` as text: a string as it is, a number as its JSON writes it.

    Raises:
        InvalidReference: it is missing, blank, or neither text nor a number.
    """
    if key in response.references:
        text = response.references[key]
    elif key in response.json_references:
        text = _as_text(key, response.json_references[key])
    elif key in example.references:
        text = example.references[key]
    elif key in example.json_references:
        text = _as_text(key, example.json_references[key])
    else:
        text = str(reference(example, response, key))
    if not text or text.isspace():
        raise InvalidReference(f"reference {key!r} is blank")
    return text


def _as_text(key: str, document: str) -> str:
    try:
        value = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise InvalidReference(f"reference {key!r} is no JSON: {error}") from None
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return document.strip()
    raise InvalidReference(f"reference {key!r} is {_NAMES[type(value)]}, want text or a number")


_NAMES: dict[type, str] = {
    bool: "true or false",
    type(None): "null",
    list: "a list",
    dict: "an object",
}
