"""A chat completion off the wire: what the judge said, or why it said nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from ..result import plain
from ..types import JudgeRefused, JudgeUnreadable

SHOWN_CHARS = 200
"""How much of a judge's text a message shows."""


class JudgeCutOff(JudgeUnreadable):
    """The judge reached its limit of tokens before it was done."""

    opening = "the judge ran out of tokens"
    """How its messages begin."""

    def __init__(self, tail: str) -> None:
        super().__init__(f"{self.opening}{tail}")


def text_of(reply: Mapping[str, Any], *, may_be_cut: bool = False) -> str:
    """The text of a completion's first choice. It may be empty and, if so wanted, cut off.

    Raises:
        JudgeRefused: the model refused, or a filter took its words.
        JudgeCutOff: it ran out of tokens.
        JudgeUnreadable: this is no chat completion.
    """
    choices = reply.get("choices")
    choice = cast("list[Any]", choices)[0] if isinstance(choices, list) and choices else None
    message = cast("dict[str, Any]", choice).get("message") if isinstance(choice, dict) else None
    if not isinstance(message, dict):
        raise JudgeUnreadable(f"the judge's reply has no choices[0].message: {shown(str(reply))}")
    said = cast("dict[str, Any]", message)
    finish = cast("dict[str, Any]", choice).get("finish_reason")
    refusal = said.get("refusal")
    if refusal:
        raise JudgeRefused(f"the judge refused: {shown(str(refusal))}")
    if finish in ("content_filter", "refusal", "safety"):
        raise JudgeRefused(f"the judge's answer was filtered (finish_reason {finish!r})")
    text, refusal = _joined(said.get("content"))
    if refusal:
        raise JudgeRefused(f"the judge refused: {shown(refusal)}")
    if finish == "length" and not may_be_cut:
        raise JudgeCutOff(f": …{shown(text[-SHOWN_CHARS:])}")
    return text


def shown(text: str) -> str:
    """The beginning of a judge's text, for a message."""
    return plain(text.strip(), SHOWN_CHARS)


def _joined(content: object) -> tuple[str, str]:
    """The text of a content, and that of the refusals in it; parts may be thoughts, or media."""
    if isinstance(content, str):
        return content, ""
    parts = cast("list[Any]", content) if isinstance(content, list) else []
    texts: list[str] = []
    refusals: list[str] = []
    for part in parts:
        fields = cast("dict[str, Any]", part) if isinstance(part, dict) else {}
        if fields.get("type") in ("text", "output_text", None) and isinstance(
            fields.get("text"), str
        ):
            texts.append(fields["text"])
        if isinstance(fields.get("refusal"), str):
            refusals.append(fields["refusal"])
    return "".join(texts), "".join(refusals)
