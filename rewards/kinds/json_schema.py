"""The response is JSON that a schema describes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, cast

from pydantic import AfterValidator, Field, model_validator

from ..reading.gold import ReferenceKey
from ..reading.json_text import NoJson, read_json
from ..reading.schema import Schema
from ..references import reference
from ..reward import kind
from ..types import (
    MAX_SCORE_ANSWER_CHARS,
    Example,
    InvalidReference,
    Response,
    Score,
)
from ..verdict import ReadsAnswer

_MAX_EXPLANATION_CHARS = 300


@lru_cache(maxsize=256)
def _read(document: str) -> Schema:
    return Schema(document)


def _checked(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    _read(_document(schema))
    return schema


def _document(schema: Mapping[str, Any]) -> str:
    try:
        return json.dumps(schema, sort_keys=True, allow_nan=False)
    except TypeError as error:
        raise ValueError(f"the schema is no JSON: {error}") from None


@kind("json_schema")
class JsonSchema(ReadsAnswer):
    """Right where the response is a JSON document that is valid under a schema.

    Drafts 3 to 2020-12, by the schema's ``$schema``; 2020-12 where it has none. ``format`` is not
    checked, ``$ref`` reaches within the schema only, and patterns are RE2's. A response that is no
    JSON, or has a key twice in an object, is wrong, with `parsed` 0; the explanation says where one
    that is not valid fails. One whose check takes more than a second of CPU time is wrong.
    """

    libraries = ("jsonschema", "google-re2")

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
        schema = self._schema_for(example, response)
        text = self.text_of(response)
        try:
            document = read_json(text, fenced=self.allow_fence)
        except NoJson as error:
            return self.judged(None, "", f"no JSON: {error}"[:_MAX_EXPLANATION_CHARS])
        try:
            fault = schema.fault(document, len(text))
        except ValueError as error:
            raise InvalidReference(str(error)) from None
        return self.judged(not fault, text.strip()[:MAX_SCORE_ANSWER_CHARS], fault)

    def _schema_for(self, example: Example, response: Response) -> Schema:
        if self.schema_given is not None:
            return _read(_document(self.schema_given))
        key = self.reference or ""
        schema = reference(example, response, key)
        try:
            if isinstance(schema, dict):
                return _read(_document(cast("dict[str, Any]", schema)))
            return _read(str(schema))
        except ValueError as error:
            raise InvalidReference(f"reference {key!r}: {error}") from None
