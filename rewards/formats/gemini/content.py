"""Examples and answers from ProtoJSON, in either spelling, as Gemini's wire has them."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from ...result import plain, shown
from ...types import (
    Blob,
    Content,
    Example,
    FileData,
    FunctionCall,
    FunctionResponse,
    Part,
    PartData,
    Response,
)
from .reader import BadMessage, spelled


def example_from_json(raw: object, path: str = "example") -> Example:
    """A ``ReinforcementTuningExample``; references that are no text become JSON references.

    Raises:
        BadMessage: a field is not of its type.
    """
    fields = object_of(raw, path)
    texts: dict[str, str] = {}
    documents: dict[str, str] = {}
    for key, value in object_or_empty(fields.get("references"), f"{path}.references").items():
        if isinstance(value, str):
            texts[plain(key, len(key))] = plain(value, len(value))
        else:
            documents[plain(key, len(key))] = json.dumps(value)
    system = spelled(fields, "system_instruction")
    tools = fields.get("tools")
    contents = _list(fields.get("contents"), f"{path}.contents")
    return Example(
        contents=[content_from_json(c, f"{path}.contents[{i}]") for i, c in enumerate(contents)],
        references=texts,
        json_references=documents,
        system_instruction=(
            None if system is None else content_from_json(system, f"{path}.systemInstruction")
        ),
        tools_json=json.dumps(tools) if tools else "",
    )


def response_from_json(raw: object, path: str = "response") -> Response:
    """A ``Content`` as one sampled answer; with its parts where it is more than a plain text.

    Raises:
        BadMessage: a field is not of its type.
    """
    content = content_from_json(raw, path)
    parts = content.parts
    is_text = len(parts) <= 1 and all(isinstance(p.data, str) and not p.thought for p in parts)
    return Response(content.text, turns=() if is_text else (content,))


def content_from_json(raw: object, path: str) -> Content:
    """One turn. Parts of a kind that nobody here knows are left out.

    Raises:
        BadMessage: a field is not of its type.
    """
    fields = object_of(raw, path)
    parts: list[Part] = []
    for index, entry in enumerate(_list(fields.get("parts"), f"{path}.parts")):
        # Most are texts, and nothing is to be told of them.
        text_part = _text_part(entry)
        if text_part is not None:
            parts.append(text_part)
            continue
        at = f"{path}.parts[{index}]"
        part = object_of(entry, at)
        data = _data(part, at)
        if data is not None:
            parts.append(Part(data, thought=part.get("thought") is True))
    return Content(_text(fields.get("role"), f"{path}.role"), parts)


def object_of(raw: object, path: str) -> Mapping[str, Any]:
    """The JSON object that `raw` is.

    Raises:
        BadMessage: it is none.
    """
    if not isinstance(raw, dict):
        raise BadMessage([f"{path}: want an object, not {shown(raw)}"])
    return cast("dict[str, Any]", raw)


def object_or_empty(raw: object, path: str) -> Mapping[str, Any]:
    """As `object_of`; what is not set is empty."""
    return {} if raw is None else object_of(raw, path)


def _text_part(raw: object) -> Part | None:
    """The part where it is a text; None: it is something else."""
    if not isinstance(raw, dict):
        return None
    part = cast("dict[str, Any]", raw)
    text = part.get("text")
    if not isinstance(text, str):
        return None
    return Part(plain(text, len(text)), thought=part.get("thought") is True)


def _data(part: Mapping[str, Any], path: str) -> PartData | None:
    if part.get("text") is not None:
        return _text(part["text"], f"{path}.text")
    if (raw := spelled(part, "inline_data")) is not None:
        blob = object_of(raw, f"{path}.inlineData")
        data = _bytes(_text(blob.get("data"), f"{path}.inlineData.data"), f"{path}.inlineData.data")
        return Blob(_text(spelled(blob, "mime_type"), f"{path}.inlineData.mimeType"), data)
    if (raw := spelled(part, "file_data")) is not None:
        file = object_of(raw, f"{path}.fileData")
        return FileData(
            _text(spelled(file, "mime_type"), f"{path}.fileData.mimeType"),
            _text(spelled(file, "file_uri"), f"{path}.fileData.fileUri"),
        )
    if (raw := spelled(part, "function_call")) is not None:
        call = object_of(raw, f"{path}.functionCall")
        args = object_or_empty(call.get("args"), f"{path}.functionCall.args")
        return FunctionCall(
            _text(call.get("name"), f"{path}.functionCall.name"),
            args,
            _text(call.get("id"), f"{path}.functionCall.id"),
        )
    if (raw := spelled(part, "function_response")) is not None:
        told = object_of(raw, f"{path}.functionResponse")
        answer = object_or_empty(told.get("response"), f"{path}.functionResponse.response")
        return FunctionResponse(
            _text(told.get("name"), f"{path}.functionResponse.name"),
            answer,
            _text(told.get("id"), f"{path}.functionResponse.id"),
        )
    return None


def _bytes(text: str, path: str) -> bytes:
    # ProtoJSON takes both alphabets, with and without padding.
    text = text.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise BadMessage([f"{path}: want base64"]) from None


def _text(raw: object, path: str) -> str:
    if raw is None:
        return ""
    if not isinstance(raw, str):
        raise BadMessage([f"{path}: want text, not {shown(raw)}"])
    return plain(raw, len(raw))


def _list(raw: object, path: str) -> Sequence[Any]:
    if raw is None:
        return ()
    if not isinstance(raw, list):
        raise BadMessage([f"{path}: want a list, not {shown(raw)}"])
    return cast("list[Any]", raw)
