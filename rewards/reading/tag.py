"""Tags that a response is structured by, as in ``<think>…</think>``: their names, their blocks."""

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


def last_block(text: str, name: str) -> str | None:
    """What stands in the last closed block of that name that is not blank; None without a block.

    A block that is opened and never closed counts where no other is closed: a sampler that stops at
    the closing tag leaves it out. Where all closed blocks are blank it is blank.
    """
    opening, closing = f"<{name}>", f"</{name}>"
    left, blank = len(text), False
    for _ in range(_MAX_BLOCKS):
        close = text.rfind(closing, 0, left)
        start = text.rfind(opening, 0, close) if close >= 0 else -1
        if start < 0:
            break
        inner = text[start + len(opening) : text.find(closing, start)]
        if inner and not inner.isspace():
            return inner
        left, blank = start, True
    if blank:
        return ""
    start = text.rfind(opening)
    return text[start + len(opening) :] if start >= 0 else None


_MAX_BLOCKS = 16


def is_blank(text: str, start: int, end: int) -> bool:
    """Whether there is nothing but white space between two places."""
    return start >= end or text[start:end].isspace()
