"""The names of tags that a response is structured by, as in ``<think>…</think>``."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) != len(names):
        raise ValueError("a tag is named twice")
    return names


TagNames = Annotated[
    tuple[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.:-]{0,63}$")], ...],
    Field(min_length=1, max_length=16),
    AfterValidator(_distinct),
]
"""Names of tags, each once, in the order in which they must stand."""
