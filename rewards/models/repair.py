"""A verdict in words: how it is asked for, complained of, and made a judgement."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..text.chat import Message
from ..types import Usage
from .decision import Decision, schema_of
from .question import Judgement, Question

_REPEATED_CHARS = 4_000
"""How much of an answer that cannot be read the judge is shown again."""


def in_words(schema: Mapping[str, Any]) -> str:
    """What a judge is told that cannot be held to a schema."""
    return f"Answer with one JSON object alone, valid under this JSON schema:\n{json.dumps(schema)}"


def complaint(question: Question, text: str, fault: str) -> list[Message]:
    """The turns that follow on an answer that cannot be read."""
    want = "Answer again." if question.kind == "text" else in_words(schema_of(question))
    # An empty turn of the assistant is refused by many endpoints.
    said = text[:_REPEATED_CHARS] or "(nothing)"
    return [
        {"role": "assistant", "content": said},
        {"role": "user", "content": f"Your answer cannot be read: {fault}. {want}"},
    ]


def judgement_of(question: Question, decision: Decision, usage: Usage) -> Judgement:
    """What a decision is worth; a number is clipped to the question's range."""
    value, unclipped, why = decision.value, None, decision.explanation
    if decision.label is not None:
        value = next(o.value for o in question.options if o.label == decision.label)
    elif value is not None and not question.low <= value <= question.high:
        unclipped, value = value, min(max(value, question.low), question.high)
        told = f"the judge gave {unclipped:g}, clipped to [{question.low:g}, {question.high:g}]"
        why = f"{why}\n{told}" if why else told
    return Judgement(value, decision.text, unclipped, why, usage, decision.label or "")
