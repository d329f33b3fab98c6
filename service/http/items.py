"""JSON bodies as examples: chat messages, labels and columns, as several peers send them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import cast

from rewardplane.rewards.types import Content, Example, Part
from rewardplane.wire.errors import InvalidRequest

_TEXT_PARTS = frozenset({"text", "input_text", "output_text"})


def example_of(turns: Sequence[Content], columns: Mapping[str, object]) -> Example:
    """An example; a first turn of the system is its instruction, a column that is null is none."""
    system = turns[0] if turns and turns[0].role == "system" else None
    return Example(
        turns if system is None else turns[1:],
        {name: value for name, value in columns.items() if isinstance(value, str)},
        {
            name: json.dumps(value, ensure_ascii=False)
            for name, value in columns.items()
            if value is not None and not isinstance(value, str)
        },
        system,
    )


def labelled(label: object, gold: str) -> Mapping[str, object]:
    """The columns that a label stands for: an object is columns, all else the one named `gold`."""
    return cast("dict[str, object]", label) if isinstance(label, dict) else {gold: label}


def turns_of(prompt: object, what: str = "prompt") -> tuple[Content, ...]:
    """The turns of a text or of chat messages.

    Raises:
        InvalidRequest: it is neither.
    """
    if isinstance(prompt, str):
        return (Content("user", (Part(prompt),)),)
    if not isinstance(prompt, list):
        raise InvalidRequest(f"{what}: want a text or a list of messages")
    turns: list[Content] = []
    for i, message in enumerate(cast("list[object]", prompt)):
        fields = cast("dict[str, object]", message) if isinstance(message, dict) else {}
        role, content = fields.get("role"), _text(fields.get("content"))
        if not isinstance(role, str) or content is None:
            raise InvalidRequest(f"{what}[{i}]: want a message with role and content, both texts")
        turns.append(Content("model" if role == "assistant" else role, (Part(content),)))
    return tuple(turns)


def texts_of(fields: Mapping[str, object], name: str) -> list[str]:
    """The list of texts under a name.

    Raises:
        InvalidRequest: it is none.
    """
    value = fields.get(name)
    if not isinstance(value, list):
        raise InvalidRequest(f"{name}: want a list of texts")
    texts = [text for text in cast("list[object]", value) if isinstance(text, str)]
    if len(texts) != len(cast("list[object]", value)):
        raise InvalidRequest(f"{name}: want a list of texts")
    return texts


def _text(content: object) -> str | None:
    """The text of a message, which may stand in parts; None: it is something else."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    texts: list[str] = []
    for part in cast("list[object]", content):
        fields = cast("dict[str, object]", part) if isinstance(part, dict) else {}
        text = fields.get("text")
        if fields.get("type") not in _TEXT_PARTS or not isinstance(text, str):
            return None
        texts.append(text)
    return "".join(texts)
