"""From chat messages, as OpenAI and Hugging Face write them, to turns."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from rewardplane.rewards.types import Content, FunctionCall, FunctionResponse, Part

from . import media
from .plain import document

Message = Mapping[str, Any]

_ROLES = {"assistant": "model", "developer": "system", "function": "tool"}
_TEXT_TYPES = frozenset({"text", "input_text", "output_text", "refusal"})
_THOUGHT_TYPES = frozenset({"thinking", "reasoning"})
_MEDIA_TYPES = {
    spelling: kind
    for kind in media.KINDS
    for spelling in (kind, f"{kind}_url", f"input_{kind}", f"{kind}s")
}


def turns(messages: Iterable[object]) -> tuple[Content, ...]:
    """One turn per message. "assistant" becomes "model", "developer" "system".

    Content in parts keeps its texts and its media; a part that only marks a medium's place is left
    out. `reasoning_content` becomes a thought, `tool_calls` function calls, the content of a "tool"
    message a function's response `{"result": text}`.

    Raises:
        TypeError: something is no message, or a part is of a type that cannot be sent.
        ValueError: a medium is no base64.
    """
    return tuple([_turn(message) for message in messages])


def is_content(value: Sequence[object]) -> bool:
    """Whether a list is the content of one message, in parts, and not a list of messages."""
    if not value or not isinstance(value[0], Mapping):
        return False
    first = cast("Message", value[0])
    return "role" not in first and "type" in first


def turn_of(role: str, content: Sequence[object]) -> Content:
    """The turn of a message of which there is only the content, in parts.

    Raises:
        TypeError: a part is of a type that cannot be sent.
        ValueError: a medium is no base64.
    """
    return Content(role, tuple(_parts(content)))


def _turn(message: object) -> Content:
    fields = _fields(message)
    content = fields.get("content")
    role = str(fields["role"])
    # What nearly all turns are, made without detours.
    if isinstance(content, str) and len(fields) == 2 and role != "tool":
        return Content(_ROLES.get(role, role), (Part(content),))
    parts: list[Part] = []
    thought = fields.get("reasoning_content") or fields.get("reasoning") or fields.get("thinking")
    if isinstance(thought, str):
        parts.append(Part(thought, thought=True))
    said = _parts(content)
    role = _ROLES.get(role, role)
    if role == "tool":
        name, call_id = str(fields.get("name") or ""), str(fields.get("tool_call_id") or "")
        text = "".join(part.data for part in said if isinstance(part.data, str))
        parts.append(Part(FunctionResponse(name, {"result": text}, call_id)))
        parts += [part for part in said if not isinstance(part.data, str)]
    else:
        parts += said
    parts += [Part(_call(call)) for call in fields.get("tool_calls") or ()]
    return Content(role, tuple(parts))


def _fields(message: object) -> Message:
    if hasattr(message, "model_dump"):
        message = cast("Any", message).model_dump()
    elif not isinstance(message, Mapping) and hasattr(message, "role"):
        message = {
            name: getattr(message, name)
            for name in (
                "role",
                "content",
                "reasoning_content",
                "tool_calls",
                "name",
                "tool_call_id",
            )
            if hasattr(message, name)
        }
    fields: Message = cast("Message", message) if isinstance(message, Mapping) else {}
    if "role" not in fields:
        shown = str(cast("object", message))[:80]
        raise TypeError(f"want a message with role and content, not {shown!r}")
    return fields


def _parts(content: object) -> list[Part]:
    if content is None:
        return []
    if isinstance(content, str):
        return [Part(content)]
    if isinstance(content, Mapping):
        content = [cast("Message", content)]
    elif hasattr(content, "tolist"):
        content = cast("Any", content).tolist()
    if not isinstance(content, Sequence):
        raise TypeError(f"a message's content is {type(content).__name__}, want text or parts")
    parts: list[Part] = []
    for part in cast("Sequence[object]", content):
        parts += _part(part)
    return parts


def _part(part: object) -> list[Part]:
    if isinstance(part, str):
        return [Part(part)]
    if hasattr(part, "model_dump"):
        part = cast("Any", part).model_dump()
    if not isinstance(part, Mapping):
        raise TypeError(f"a part of a message's content is {type(part).__name__}")
    fields = cast("Message", part)
    kind = str(fields.get("type") or "text")
    if kind in _TEXT_TYPES:
        text = fields.get("text") if kind != "refusal" else fields.get("refusal")
        # Tables of data sets give every part all the keys, None where it has none.
        return [Part(str(text))] if text is not None else []
    if kind in _THOUGHT_TYPES:
        thought = fields.get("thinking") or fields.get("text") or fields.get("reasoning")
        return [Part(str(thought), thought=True)] if thought else []
    if kind in _MEDIA_TYPES:
        found = media.medium(fields, _MEDIA_TYPES[kind])
        return [Part(found)] if found is not None else []
    raise TypeError(f"a part of type {kind!r} of a message's content cannot be sent")


def _call(call: object) -> FunctionCall:
    if hasattr(call, "model_dump"):
        call = cast("Any", call).model_dump()
    if not isinstance(call, Mapping):
        raise TypeError(
            f"a tool call is {type(call).__name__}, want a function's name and arguments"
        )
    fields = cast("Message", call)
    function = cast("Message", fields.get("function") or fields)
    args: object = function.get("arguments") or {}
    if isinstance(args, str):
        try:
            args = json.loads(args)
        except (ValueError, RecursionError):
            # A model's own words: whatever they are, the reward is to see them.
            args = {"arguments": args}
    elif isinstance(args, Mapping):
        # What Python made of it may hold values of other libraries.
        args = json.loads(document(dict(cast("Message", args))))
    if not isinstance(args, Mapping):
        args = {"arguments": args}
    known = cast("Mapping[str, Any]", args)
    return FunctionCall(str(function.get("name") or ""), known, str(fields.get("id") or ""))
