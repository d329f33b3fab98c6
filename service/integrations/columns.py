"""Rows, as frameworks that score one response a call have them, and the columns made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast


def mapping(value: object) -> Mapping[str, Any]:
    """The value where it is a mapping, else an empty one."""
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def gold_columns(label: object, gold: str) -> Mapping[str, Any]:
    """The columns that a label stands for: itself by the name `gold`, or those of a mapping."""
    return cast("Mapping[str, Any]", label) if isinstance(label, Mapping) else {gold: label}


def by_column(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The rows as columns, each with one value per row; None where a row has none."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}
