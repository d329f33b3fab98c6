"""The items of a rubric: from a configuration, or from a reference of each example."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, cast

from pydantic import BaseModel, ConfigDict, Field

from ..types import InvalidReference

MAX_ITEMS = 64

_TEXT = ("ask", "criterion", "description")
_WEIGHT = ("weight", "points")
_KNOWN = {*_TEXT, *_WEIGHT, "gate", "name", "title", "tags"}


class Criterion(BaseModel):
    """A question of Yes or No, and what Yes is worth."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,63}$")]
    """The name of its component."""
    ask: Annotated[str, Field(min_length=1, max_length=20_000)]
    """The question."""
    weight: Annotated[float, Field(allow_inf_nan=False)] = 1.0
    """What Yes is worth; negative for what should not be."""
    gate: Annotated[float, Field(gt=0, le=1)] | None = None
    """Where Yes is less likely, the whole gets the rubric's `gated_reward`."""


def criteria_of(value: Any, key: str) -> list[Criterion]:
    """The items that the reference `key` holds.

    A list, or JSON text of one: of questions, or of objects with the question under `ask`,
    `criterion` or `description`, and optionally `weight` or `points`, `gate`, `name`.

    Raises:
        InvalidReference: it holds no such list, or nothing that a response could earn.
    """
    where = f"reference {key!r}"
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise InvalidReference(f"{where} is no JSON: want a list of criteria") from None
    if not isinstance(value, list) or not value:
        raise InvalidReference(f"{where}: want a list of criteria, at least one")
    given = cast("Sequence[Any]", value)
    if len(given) > MAX_ITEMS:
        raise InvalidReference(f"{where} has {len(given)} criteria, want at most {MAX_ITEMS}")
    found = [_criterion(one, index, where) for index, one in enumerate(given)]
    if all(one.weight <= 0 for one in found):
        raise InvalidReference(f"{where}: no criterion has a weight above 0")
    return found


def _criterion(given: Any, index: int, where: str) -> Criterion:
    at = f"{where}[{index}]"
    if isinstance(given, str):
        given = {"ask": given}
    if not isinstance(given, dict):
        raise InvalidReference(f"{at}: want a question, or an object with `ask`")
    fields = cast("Mapping[str, Any]", given)
    unknown = [str(name)[:40] for name in fields if name not in _KNOWN]
    if unknown:
        raise InvalidReference(f"{at}: unknown {unknown[0]!r}; want {', '.join(sorted(_KNOWN))}")
    text = next((fields[name] for name in _TEXT if name in fields), None)
    if not isinstance(text, str) or not text.strip() or len(text) > 20_000:
        raise InvalidReference(f"{at}: want a question under `ask`")
    weight = next((fields[name] for name in _WEIGHT if name in fields), 1.0)
    gate = fields.get("gate")
    if not _is_number(weight):
        raise InvalidReference(f"{at}.weight: want a finite number")
    if gate is not None and (not _is_number(gate) or not 0 < gate <= 1):
        raise InvalidReference(f"{at}.gate: want a number above 0, at most 1")
    return Criterion(name=f"item_{index}", ask=text, weight=float(weight), gate=gate)


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False
