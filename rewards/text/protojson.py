"""ProtoJSON: examples and responses as dicts in camelCase, and numbers as it writes them.

Sources: https://protobuf.dev/programming-guides/json/; the documentation of reinforcement tuning
for Gemini, where `example` is a line of the data set and `response` a Content as in the answer of
an online prediction.
"""

from __future__ import annotations

import base64
import json
import math
import re
from typing import Any

from ..references import references
from ..types import (
    Blob,
    Content,
    Example,
    FileData,
    FunctionCall,
    InvalidInput,
    Part,
    Response,
)

_INT = re.compile(r"-?[0-9]{1,20}")
_FLOAT = re.compile(r"-?[0-9]{1,400}(\.[0-9]{1,400})?([eE][-+]?[0-9]{1,9})?")
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_INT64 = 2**63


def number_of(value: object) -> float | None:
    """A number as ProtoJSON writes one, maybe not finite. None: it is none."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return None
    if isinstance(value, str):
        if value in _NOT_FINITE:
            return _NOT_FINITE[value]
        return float(value) if _FLOAT.fullmatch(value) else None
    return None


def int64_of(value: object) -> int | None:
    """An int64 as ProtoJSON writes one: a number, or its text. None: it is none."""
    number: int | None = None
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, float):
        number = int(value) if value.is_integer() else None
    elif isinstance(value, str) and _INT.fullmatch(value):
        number = int(value)
    return number if number is not None and -_INT64 <= number < _INT64 else None


def example_dict(example: Example, response: Response) -> dict[str, Any]:
    """``{"contents", "references", "systemInstruction", "tools"}``; what is empty is left out.

    The references are Python values as they were in the data set, those of the response included.

    Raises:
        InvalidReference: the JSON of a reference cannot be read.
        InvalidInput: the JSON of the tools cannot be read.
    """
    rendered: dict[str, Any] = {"contents": [_content(turn) for turn in example.contents]}
    if example.system_instruction is not None:
        rendered["systemInstruction"] = _content(example.system_instruction)
    known = references(example, response)
    if known:
        rendered["references"] = known
    if example.tools_json:
        try:
            rendered["tools"] = json.loads(example.tools_json)
        except ValueError as error:
            raise InvalidInput(f"the example's tools_json is no JSON: {error}") from None
    return rendered


def response_dict(response: Response) -> dict[str, Any]:
    """``{"role": "model", "parts": […]}``: the text or, of a trajectory, the last turn.

    A trajectory has all its turns under ``turns`` as well.
    """
    if not response.turns:
        return {"role": "model", "parts": [{"text": response.text}]}
    last = _content(response.turns[-1])
    return {**last, "turns": [_content(turn) for turn in response.turns]}


def _content(content: Content) -> dict[str, Any]:
    role = {"role": content.role} if content.role else {}
    return {**role, "parts": [_part(part) for part in content.parts]}


def _part(part: Part) -> dict[str, Any]:
    data = part.data
    rendered: dict[str, Any]
    if isinstance(data, str):
        rendered = {"text": data}
    elif isinstance(data, Blob):
        encoded = base64.b64encode(data.data).decode()
        rendered = {"inlineData": {"mimeType": data.mime_type, "data": encoded}}
    elif isinstance(data, FileData):
        rendered = {"fileData": {"mimeType": data.mime_type, "fileUri": data.file_uri}}
    elif isinstance(data, FunctionCall):
        called = {"name": data.name, "args": dict(data.args)}
        rendered = {"functionCall": {"id": data.id, **called} if data.id else called}
    else:
        answered = {"name": data.name, "response": dict(data.response)}
        rendered = {"functionResponse": {"id": data.id, **answered} if data.id else answered}
    return {**rendered, "thought": True} if part.thought else rendered
