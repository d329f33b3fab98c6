"""What a message of ProtoJSON is to pydantic: names in either spelling, null, numbers as text."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator
from pydantic.alias_generators import to_camel, to_snake

from ...result import shown
from ...text.protojson import int64_of, number_of


class ProtoMessage(BaseModel):
    """A message. Keys may be camelCase or snake_case, in any mixture; null is not set.

    What nobody knows is kept in `model_extra`.
    """

    model_config = ConfigDict(frozen=True, extra="allow", alias_generator=to_camel)

    @model_validator(mode="before")
    @classmethod
    def _spelled_alike(cls, document: object) -> object:
        if not isinstance(document, dict):
            raise ValueError(f"want an object, not {shown(document)}")  # noqa: TRY004 - pydantic's
        known = spellings(cls)
        found: dict[str, Any] = {}
        written: dict[str, str] = {}
        for key, value in cast("dict[Any, Any]", document).items():
            name = known.get(key, str(key))
            if name in written:
                raise ValueError(f"{str(key)[:80]!r} stands twice, as {written[name]!r} too")
            written[name] = str(key)
            if value is not None or key not in known:
                found[name] = value
        return found


@cache
def spellings(cls: type[BaseModel]) -> Mapping[str, str]:
    """The JSON name of each field by both of its spellings."""
    names = [field.alias or name for name, field in cls.model_fields.items()]
    return {spelling: name for name in names for spelling in (name, to_snake(name))}


def _float(value: object) -> float:
    number = number_of(value)
    if number is None:
        raise ValueError(f"want a number, not {shown(value)}")
    return number


def _int(value: object) -> int:
    number = int64_of(value)
    if number is None:
        raise ValueError(f"want an integer, not {shown(value)}")
    return number


Float = Annotated[float, BeforeValidator(_float)]
"""A double; it need not be finite."""
Int = Annotated[int, BeforeValidator(_int)]
"""An int32 or int64."""


class Names(enum.StrEnum):
    """An enum: its members are read by name, in any case."""

    @classmethod
    def _missing_(cls, value: object) -> Names | None:
        folded = value.upper() if isinstance(value, str) else ""
        return next((member for member in cls if member.value == folded), None)
