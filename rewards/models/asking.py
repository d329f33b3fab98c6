"""A question with labels as the end of a conversation: in words, after all that is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from ..text.chat import Message
from .model import LabelQuestion


def asked(
    messages: Sequence[Message], question: LabelQuestion, *, reasons: bool = False
) -> list[Message]:
    """The messages with the question at their end, so that the answer is one of its labels.

    What is shown stays the beginning, so that questions about the same text share it in a cache.
    `reasons`: the label may stand among other words.
    """
    return with_text(messages, in_words(question, reasons=reasons))


def in_words(question: LabelQuestion, *, reasons: bool = False) -> str:
    """The question, its labels with their meanings, and how to answer."""
    labels = [label.text for label in question.labels]
    lines = [question.instructions]
    lines += [f"{label.text}: {label.meaning}" for label in question.labels if label.meaning]
    if question.kind == "score" and not any(label.meaning for label in question.labels):
        lines.append(f"The scale goes from {labels[0]} (the lowest) to {labels[-1]} (the highest).")
    choice = f"{', '.join(labels[:-1])} or {labels[-1]}"
    closing = "The result is {}." if reasons else "Answer with {} and nothing else."
    lines.append(closing.format(choice))
    return "\n".join(lines)


def with_text(messages: Sequence[Message], text: str) -> list[Message]:
    """The messages with the text after them: many chat templates refuse two turns of one role."""
    last: Message = messages[-1] if messages else dict[str, Any]()
    content: Any = last.get("content")
    if last.get("role") == "user" and isinstance(content, str):
        return [*messages[:-1], {**last, "content": f"{content}\n\n{text}"}]
    if last.get("role") == "user" and isinstance(content, list):
        parts = [*cast("list[Any]", content), {"type": "text", "text": f"\n\n{text}"}]
        return [*messages[:-1], {**last, "content": parts}]
    return [*messages, {"role": "user", "content": text}]
