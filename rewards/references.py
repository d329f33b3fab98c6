"""The references of an item, as the Python values they were."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import chain, islice
from typing import Any

from .finite_json import finite_json
from .types import Example, InvalidReference, Response

MAX_KEYS_SHOWN = 16


def reference(example: Example, response: Response, key: str) -> Any:
    """The reference `key` as the Python value it was: the response's own first, then the example's.

    Raises:
        InvalidReference: there is none, or its JSON cannot be read.
    """
    for holder in (response, example):
        if key in holder.references:
            return holder.references[key]
        if key in holder.json_references:
            return _document(key, holder.json_references[key], finite_json)
    raise InvalidReference(f"reference {key!r} is missing; there are: {_known(example, response)}")


def references(example: Example, response: Response) -> dict[str, Any]:
    """All references as the Python values they were; the response's own override the example's.

    A column that no reward asks for may hold NaN, as a data frame has for what is missing: it stays
    what it is.

    Raises:
        InvalidReference: the JSON of one cannot be read.
    """
    merged: dict[str, Any] = {}
    for holder in (example, response):
        merged.update(holder.references)
        for key, document in holder.json_references.items():
            merged[key] = _document(key, document, json.loads)
    return merged


def _document(key: str, document: str, read: Callable[[str], Any]) -> Any:
    try:
        return read(document)
    except (ValueError, RecursionError) as error:
        raise InvalidReference(f"reference {key!r} is no JSON: {error}") from None


def _known(example: Example, response: Response) -> str:
    """Names of references that there are; not all: this is told for each item of a batch."""
    maps = response.references, response.json_references, example.references
    some = islice(chain(*maps, example.json_references), 4 * MAX_KEYS_SHOWN)
    keys = list(dict.fromkeys(some))
    shown = ", ".join(sorted(key[:64] for key in keys[:MAX_KEYS_SHOWN]))
    return shown + (", …" if len(keys) > MAX_KEYS_SHOWN else "") if keys else "none"
