"""The marks of thoughts: the one list of them, for responses, programs and judges alike.

A thought is what stands between two marks, or before a closing mark whose opening one was the
prompt's. Who reads a text decides which marks count, and what a thought leaves that does not end.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

Mark = tuple[str, str]
"""What opens a thought, and what closes it."""

TRAINED: tuple[Mark, ...] = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
)
"""Those that models are trained on, outside the text that they mean to be read."""

CHANNEL: Mark = ("<|channel|>analysis", "<|channel|>final<|message|>")
"""gpt-oss: all but the final channel is thought."""

PROMPTED: tuple[Mark, ...] = (
    ("<thought>", "</thought>"),
    ("<thoughts>", "</thoughts>"),
    ("<reasoning>", "</reasoning>"),
)
"""Those that prompts ask for: a part of the text, as any other tag."""


def after_thoughts(
    text: str, marks: Iterable[Mark], *, unfinished: Literal["nothing", "before"]
) -> str:
    """What follows the last closing mark, up to where another thought begins.

    `unfinished`: what is left where a thought begins and none was closed before. In time linear in
    the text.
    """
    start = 0
    for _, closing in marks:
        at = text.rfind(closing)
        if at >= 0:
            start = max(start, at + len(closing))
    end = len(text)
    for opening, _ in marks:
        at = text.find(opening, start, end)
        if at >= 0:
            end = at
    if end < len(text) and start == 0 and unfinished == "nothing":
        return ""
    return text[start:end]


def pattern_of(marks: Iterable[Mark]) -> re.Pattern[str]:
    """Finds marks in any case, with blanks before a closing bracket: `opening` or `closing`."""
    openings, closings = zip(*marks, strict=True)
    return re.compile(f"(?P<opening>{_any(openings)})|(?P<closing>{_any(closings)})", re.IGNORECASE)


def _any(marks: Iterable[str]) -> str:
    return "|".join(re.sub(r">$", r"[ \\t]*>", re.escape(mark)) for mark in marks)
