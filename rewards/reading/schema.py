"""JSON schemas whose check is bounded in time. Importing this loads jsonschema.

Patterns are RE2's, which takes linear time on every text; Python's take exponential time on some.
Branches of a schema that refers to itself (``anyOf`` of two arrays) take exponential time in the
depth of the document with every validator tried, jsonschema-rs among them, so that the CPU time of
a check is limited where that can happen.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, cast

from jsonschema import exceptions, validators
from referencing import Registry
from referencing.exceptions import Unresolvable

from ..text.pattern import compiled
from .limit import Overrun, cpu_limit

LIMIT_S = 1.0
"""The CPU time that one check may take."""
_SHORT_CHARS = 4_000
_MAX_MESSAGE_CHARS = 300
_untyped: Any = validators
_PROBES: tuple[Any, ...] = ({}, [], "", 0, None)


class Schema:
    """A schema that was checked, ready to check documents."""

    def __init__(self, document: str) -> None:
        """Takes a schema as JSON.

        Raises:
            ValueError: it is no JSON schema that can be used here.
        """
        try:
            schema = json.loads(document)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"the schema is no JSON: {error}") from None
        if not isinstance(schema, dict | bool):
            raise ValueError("the schema must be an object")  # noqa: TRY004 - JSON, no Python type
        if '"unevaluatedProperties"' in document and '"patternProperties"' in document:
            raise ValueError("unevaluatedProperties beside patternProperties is not supported")
        kind: Any = _untyped.validator_for(schema, default=_untyped.Draft202012Validator)
        self._refers = '"$ref"' in document or '"$dynamicRef"' in document
        try:
            with cpu_limit(LIMIT_S):
                kind.check_schema(schema)
                # With a registry of its own nothing is fetched: a schema must not open addresses.
                self._validator = _linear(kind)(
                    _without_dialect(schema), registry=cast("Any", Registry)()
                )
                for probe in _PROBES:
                    self._validator.is_valid(probe)
            for pattern in _patterns(schema):
                _compiled(pattern)
        except exceptions.SchemaError as error:
            raise ValueError(f"not a JSON schema: {error.message[:_MAX_MESSAGE_CHARS]}") from None
        except Unresolvable as error:
            raise ValueError(f"the schema refers to {error.ref!r}, which is not in it") from None
        except RecursionError:
            raise ValueError("the schema refers to itself without end") from None
        except Overrun:
            raise ValueError("the schema takes too long to check") from None

    def fault(self, document: Any, chars: int) -> str:
        """The first fault of a document, written in `chars` characters; "" where it is valid.

        Raises:
            ValueError: the schema refers to what is not in it.
        """
        try:
            if not self._refers and chars <= _SHORT_CHARS:
                return self._first(document)
            with cpu_limit(LIMIT_S):
                return self._first(document)
        except Overrun:
            return f"the check takes more than {LIMIT_S:g} s"
        except RecursionError:
            return "nested too deep for the schema"
        except Unresolvable as error:
            raise ValueError(f"the schema refers to {error.ref!r}, which is not in it") from None

    def _first(self, document: Any) -> str:
        fault = next(iter(self._validator.iter_errors(document)), None)
        if fault is None:
            return ""
        return f"{fault.json_path}: {fault.message}"[:_MAX_MESSAGE_CHARS]


def _compiled(pattern: str) -> Any:
    try:
        return compiled(pattern, captures=False)
    except ValueError as error:
        raise ValueError(f"the pattern {pattern[:80]!r} is {error}") from None


def _is_found(pattern: str, text: str) -> bool:
    return _compiled(pattern).search(text.encode("utf-8", "replace")) is not None


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[Any]:
    del schema
    if validator.is_type(instance, "string") and not _is_found(pattern, instance):
        yield exceptions.ValidationError(f"{instance[:80]!r} does not match {pattern!r}")


def _pattern_properties(validator: Any, patterns: Any, instance: Any, schema: Any) -> Iterator[Any]:
    del schema
    if not validator.is_type(instance, "object"):
        return
    for pattern, subschema in patterns.items():
        for key, value in instance.items():
            if _is_found(pattern, key):
                yield from validator.descend(value, subschema, path=key, schema_path=pattern)


def _additional_properties(
    validator: Any, allowed: Any, instance: Any, schema: Any
) -> Iterator[Any]:
    if not validator.is_type(instance, "object"):
        return
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for key, value in instance.items():
        if key in known or any(_is_found(pattern, key) for pattern in patterns):
            continue
        if validator.is_type(allowed, "object"):
            yield from validator.descend(value, allowed, path=key)
        elif not allowed:
            yield exceptions.ValidationError(
                f"Additional properties are not allowed ({key[:80]!r} was unexpected)"
            )


@lru_cache(maxsize=16)
def _linear(kind: Any) -> Any:
    return _untyped.extend(
        kind,
        {
            "pattern": _pattern,
            "patternProperties": _pattern_properties,
            "additionalProperties": _additional_properties,
        },
    )


def _without_dialect(schema: Any) -> Any:
    """The schema without ``$schema``, by which the library would choose its own class again."""
    if isinstance(schema, dict):
        found = cast("dict[str, Any]", schema)
        return {
            key: value if key in ("const", "enum") else _without_dialect(value)
            for key, value in found.items()
            if not (key == "$schema" and isinstance(value, str))
        }
    if isinstance(schema, list):
        return [_without_dialect(value) for value in cast("list[Any]", schema)]
    return schema


def _patterns(schema: Any) -> Iterator[str]:
    if isinstance(schema, list):
        for value in cast("list[Any]", schema):
            yield from _patterns(value)
    elif isinstance(schema, dict):
        found = cast("Mapping[str, Any]", schema)
        if isinstance(pattern := found.get("pattern"), str):
            yield pattern
        if isinstance(patterns := found.get("patternProperties"), dict):
            yield from cast("dict[str, Any]", patterns)
        for key, value in found.items():
            if key not in ("const", "enum"):
                yield from _patterns(value)
