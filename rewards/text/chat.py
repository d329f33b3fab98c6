"""Turns as chat messages, ``{"role", "content", …}``, as OpenAI and Hugging Face write them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from typing import Any

from ..types import Blob, Content, Example, FileData, FunctionCall, FunctionResponse, Part, Response

_ROLES = {"model": "assistant", "assistant": "assistant", "system": "system", "tool": "tool"}

Message = dict[str, Any]


def prompt_messages(example: Example) -> list[Message]:
    """The prompt: the system instruction, where there is one, and the turns."""
    turns = list(example.contents)
    if example.system_instruction is not None:
        turns.insert(0, Content("system", example.system_instruction.parts))
    return _messages(turns, "user")


def response_messages(response: Response) -> list[Message]:
    """The answer: one message of the assistant or, of a trajectory, all its turns."""
    if response.turns:
        return _messages(response.turns, "assistant")
    return [{"role": "assistant", "content": response.text}]


def _messages(turns: Iterable[Content], default_role: str) -> list[Message]:
    messages: list[Message] = []
    for turn in turns:
        role = _ROLES.get(turn.role, "user") if turn.role else default_role
        answers = [part.data for part in turn.parts if isinstance(part.data, FunctionResponse)]
        messages += [_tool_message(answer) for answer in answers]
        if len(answers) < len(turn.parts) or not turn.parts:
            messages.append(_message(role, turn.parts))
    return messages


def _tool_message(answer: FunctionResponse) -> Message:
    content = json.dumps(dict(answer.response), ensure_ascii=False)
    return {"role": "tool", "tool_call_id": answer.id, "name": answer.name, "content": content}


def _message(role: str, parts: Sequence[Part]) -> Message:
    said = [part.data for part in parts if not part.thought]
    thoughts = [part.data for part in parts if part.thought and isinstance(part.data, str)]
    shown = [data for data in said if isinstance(data, str | Blob | FileData)]
    content: str | list[Message]
    if all(isinstance(data, str) for data in shown):
        content = "".join(data for data in shown if isinstance(data, str))
    else:
        content = [_piece(data) for data in shown]
    message: Message = {"role": role, "content": content}
    if thoughts:
        message["reasoning_content"] = "".join(thoughts)
    calls = [data for data in said if isinstance(data, FunctionCall)]
    if calls:
        message["tool_calls"] = [tool_call(call) for call in calls]
    return message


def tool_call(call: FunctionCall) -> Message:
    """A call of a function; its arguments are JSON text."""
    arguments = json.dumps(dict(call.args), ensure_ascii=False)
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": arguments},
    }


def media_of(turns: Iterable[Content]) -> list[Message]:
    """The images, sounds and files of the turns, in their order, as parts of a message."""
    return [
        _piece(part.data)
        for turn in turns
        for part in turn.parts
        if isinstance(part.data, Blob | FileData) and not part.thought
    ]


_SOUNDS = {"mpeg": "mp3", "mpga": "mp3", "x-wav": "wav", "wave": "wav", "vnd.wave": "wav"}
"""The subtypes of audio that chat completions know by another name."""


def _piece(data: str | Blob | FileData) -> Message:
    if isinstance(data, str):
        return {"type": "text", "text": data}
    kind, _, subtype = data.mime_type.lower().partition(";")[0].strip().partition("/")
    if kind == "audio" and isinstance(data, Blob):
        sound = base64.b64encode(data.data).decode()
        form = _SOUNDS.get(subtype, subtype)
        return {"type": "input_audio", "input_audio": {"data": sound, "format": form}}
    if isinstance(data, Blob):
        url = f"data:{data.mime_type};base64,{base64.b64encode(data.data).decode()}"
    else:
        url = data.file_uri
    if kind == "image":
        return {"type": "image_url", "image_url": {"url": url}}
    if kind == "audio":
        return {"type": "audio_url", "audio_url": {"url": url}}
    return {"type": "file", "file": {"file_data": url}}
