"""A chat completion off the wire: what the judge said, or why it said nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from ..result import plain
from ..types import JudgeRefused, JudgeUnreadable

SHOWN_CHARS = 200
"""How much of a judge's text a message shows."""
_WHOLE = {"", "stop", "eos", "eos_token", "stop_sequence", "end_turn", "complete", "completed"}
"""How endpoints say that an answer ended by itself; of others it is not sure that it is whole."""
_CUT = {"length", "max_tokens", "max_output_tokens", "model_length"}
_FILTERED = (
    *("content_filter", "refusal", "safety", "blocklist", "prohibited_content", "recitation"),
    *("spii", "guardrail", "sensitive"),
)


class JudgeCutOff(JudgeUnreadable):
    """The judge reached its limit of tokens before it was done."""

    opening = "the judge ran out of tokens"
    """How its messages begin."""

    def __init__(self, tail: str) -> None:
        super().__init__(f"{self.opening}{tail}")


def text_of(reply: Mapping[str, Any], *, may_be_cut: bool = False) -> str:
    """The text of a completion's first choice. It may be empty and, if so wanted, cut off.

    An answer that ended otherwise than by itself (an abort, an error, a call of a tool) is none: of
    half an answer a number could be read.

    Raises:
        JudgeRefused: the model refused, or a filter took its words.
        JudgeCutOff: it ran out of tokens.
        JudgeUnreadable: this is no chat completion, or no whole one.
    """
    choices = reply.get("choices")
    choice = cast("list[Any]", choices)[0] if isinstance(choices, list) and choices else None
    message = cast("dict[str, Any]", choice).get("message") if isinstance(choice, dict) else None
    if not isinstance(message, dict):
        raise JudgeUnreadable(f"the judge's reply has no choices[0].message: {shown(str(reply))}")
    said = cast("dict[str, Any]", message)
    finish = _finish(cast("dict[str, Any]", choice))
    refusal = said.get("refusal")
    if refusal:
        raise JudgeRefused(f"the judge refused: {shown(str(refusal))}")
    if finish.startswith(_FILTERED):
        raise JudgeRefused(f"the judge's answer was filtered (finish_reason {finish!r})")
    text, refusal = _joined(said.get("content"))
    if refusal:
        raise JudgeRefused(f"the judge refused: {shown(refusal)}")
    if finish in _CUT and not may_be_cut:
        raise JudgeCutOff(f": …{shown(text[-SHOWN_CHARS:])}")
    if finish not in _WHOLE and finish not in _CUT:
        raise JudgeUnreadable(f"the judge's answer ended by {shown(finish)!r}, not by itself")
    return text


def is_cut(reply: Mapping[str, Any]) -> bool:
    """Whether a completion, which `text_of` took, ran out of tokens."""
    return _finish(reply["choices"][0]) in _CUT


def _finish(choice: Mapping[str, Any]) -> str:
    finish = choice.get("finish_reason")
    return "" if finish is None else str(finish).strip().lower()


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
