"""The response is JSON that a schema describes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, cast

from jsonschema import exceptions, validators
from pydantic import AfterValidator, Field, model_validator
from referencing import Registry
from referencing.exceptions import Unresolvable

from ..reading.gold import ReferenceKey
from ..reading.json_text import NoJson, read_json
from ..reward import kind
from ..types import Example, InvalidReference, Response, Score, reference
from ..verdict import AnswerVerdict

_MAX_EXPLANATION_CHARS = 300


@lru_cache(maxsize=256)
def _validator(document: str) -> Any:
    """A validator for a schema, given as JSON.

    Raises:
        ValueError: it is no JSON schema that can be used here.
    """
    try:
        schema = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the schema is no JSON: {error}") from None
    if not isinstance(schema, dict | bool):
        raise ValueError("the schema must be an object")  # noqa: TRY004 - JSON, no Python type
    untyped: Any = validators
    empty_registry = cast("Any", Registry)()
    probes: tuple[Any, ...] = ({}, [], "", 0, None)
    kind_of_schema: Any = untyped.validator_for(schema, default=untyped.Draft202012Validator)
    try:
        kind_of_schema.check_schema(schema)
        # With a registry of its own nothing is fetched: a schema must not open addresses.
        validator = kind_of_schema(schema, registry=empty_registry)
        for probe in probes:
            validator.is_valid(probe)
    except exceptions.SchemaError as error:
        raise ValueError(f"not a JSON schema: {error.message[:_MAX_EXPLANATION_CHARS]}") from None
    except Unresolvable as error:
        raise ValueError(f"the schema refers to {error.ref!r}, which is not in it") from None
    except RecursionError:
        raise ValueError("the schema refers to itself without end") from None
    return validator


def _checked(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    _validator(_document(schema))
    return schema


def _document(schema: Mapping[str, Any]) -> str:
    try:
        return json.dumps(schema, sort_keys=True, allow_nan=False)
    except TypeError as error:
        raise ValueError(f"the schema is no JSON: {error}") from None


@kind("json_schema")
class JsonSchema(AnswerVerdict):
    """Right where the response is a JSON document that is valid under a schema.

    Drafts 3 to 2020-12, by the schema's ``$schema``; 2020-12 where it has none. ``format`` is not
    checked, and ``$ref`` reaches within the schema only. A response that is no JSON is wrong, with
    `parsed` 0; the explanation says where one that is not valid fails.
    """

    libraries = ("jsonschema",)

    schema_given: Annotated[
        Mapping[str, Any] | None, Field(alias="schema"), AfterValidator(lambda s: s and _checked(s))
    ] = None
    """In the configuration `schema`: the same for every response."""
    reference: ReferenceKey | None = None
    """The JSON reference that holds the schema. One that is no schema is INVALID_REFERENCE."""
    allow_fence: bool = False
    """The response may be one Markdown code block."""

    @model_validator(mode="after")
    def _one_source(self) -> JsonSchema:
        if (self.schema_given is None) == (self.reference is None):
            raise ValueError("want either `schema` or `reference`")
        return self

    @property
    def reference_keys(self) -> tuple[str, ...]:
        """The schema's, where it is a reference."""
        return (self.reference,) if self.reference is not None else ()

    def score(self, example: Example, response: Response) -> Score:
        """The reward for right or for wrong, and where it is wrong the first fault."""
        validator = self._validator_for(example, response)
        try:
            document = read_json(response.text, fenced=self.allow_fence)
        except NoJson as error:
            return self.judged(None, f"no JSON: {error}"[:_MAX_EXPLANATION_CHARS])
        try:
            fault = next(iter(validator.iter_errors(document)), None)
        except Unresolvable as error:
            raise InvalidReference(
                f"the schema refers to {error.ref!r}, which is not in it"
            ) from None
        if fault is None:
            return self.judged(True)
        return self.judged(False, f"{fault.json_path}: {fault.message}"[:_MAX_EXPLANATION_CHARS])

    def _validator_for(self, example: Example, response: Response) -> Any:
        if self.schema_given is not None:
            return _validator(_document(self.schema_given))
        key = self.reference or ""
        schema = reference(example, response, key)
        try:
            if isinstance(schema, dict):
                return _validator(_document(cast("dict[str, Any]", schema)))
            return _validator(str(schema))
        except ValueError as error:
            raise InvalidReference(f"reference {key!r}: {error}") from None
