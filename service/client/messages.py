"""From chat messages, as OpenAI and Hugging Face write them, to turns."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from rewardplane.rewards.types import Content, FunctionCall, FunctionResponse, Part

Message = Mapping[str, Any]

_ROLES = {"assistant": "model"}


def turns(messages: Sequence[Message]) -> tuple[Content, ...]:
    """One turn per message. "assistant" becomes "model".

    Of content in parts the texts are taken; media stay behind. `reasoning_content` becomes a
    thought, `tool_calls` function calls, the content of a "tool" message a function's response
    `{"result": text}`.

    Raises:
        TypeError: something is no message.
    """
    return tuple(_turn(message) for message in messages)


def prompt(messages: Sequence[Message]) -> tuple[Content | None, tuple[Content, ...]]:
    """The system instruction, where the messages begin with one, and the turns after it.

    Raises:
        TypeError: something is no message.
    """
    all_turns = turns(messages)
    if all_turns and all_turns[0].role == "system":
        return all_turns[0], all_turns[1:]
    return None, all_turns


def _turn(message: object) -> Content:
    shown = str(message)[:80]
    fields: Message = cast("Message", message) if isinstance(message, Mapping) else {}
    if "role" not in fields:
        raise TypeError(f"want a message with role and content, not {shown!r}")
    role = str(fields["role"])
    texts = _texts(fields.get("content"))
    parts: list[Part] = []
    if thought := fields.get("reasoning_content"):
        parts.append(Part(str(thought), thought=True))
    if role == "tool":
        name, call_id = str(fields.get("name") or ""), str(fields.get("tool_call_id") or "")
        parts.append(Part(FunctionResponse(name, {"result": "".join(texts)}, call_id)))
    else:
        parts += [Part(text) for text in texts]
    parts += [Part(_call(call)) for call in fields.get("tool_calls") or ()]
    return Content(_ROLES.get(role, role), tuple(parts))


def _texts(content: object) -> list[str]:
    if content is None:
        return []
    if isinstance(content, str):
        return [content]
    if not isinstance(content, Sequence):
        raise TypeError(f"a message's content is {type(content).__name__}, want text or parts")
    parts = cast("Sequence[Message | str]", content)
    return [
        part if isinstance(part, str) else str(part["text"])
        for part in parts
        if isinstance(part, str) or part.get("type", "text") == "text"
    ]


def _call(call: Message) -> FunctionCall:
    function = cast("Message", call.get("function") or call)
    args: object = function.get("arguments") or {}
    if isinstance(args, str):
        try:
            args = json.loads(args)
        except ValueError:
            # A model's own words: whatever they are, the reward is to see them.
            args = {"arguments": args}
    if not isinstance(args, Mapping):
        args = {"arguments": args}
    known = cast("Mapping[str, Any]", args)
    return FunctionCall(str(function.get("name") or ""), known, str(call.get("id") or ""))
