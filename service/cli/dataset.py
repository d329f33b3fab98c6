"""Data sets of examples with their responses: in the form of Gemini RL tuning, or a trainer's.

Files are JSON lines, gzipped or not, or parquet; rows of trainers are read by `rows.py`. Else each
line is an example (`contents`, `references`, `systemInstruction`, `tools`) with `responses`: a list
of texts, or of objects with `text` and, where known, `finishReason`, `tokenCount`, `references`.
Keys may be camelCase or snake_case. Values of `references` that are no strings become JSON
references.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from rewardplane.rewards.types import (
    Blob,
    Content,
    Example,
    FileData,
    FunctionCall,
    FunctionResponse,
    Group,
    Part,
    PartData,
    Response,
)

from .rows import Columns, NoRow, NotReadable, documents, example_of, group, is_trainers

EMPTY = "is empty: there is no example in it"


class BadLine(ValueError):
    """A line is no example with responses; the message names the line and the fault."""


@dataclass(slots=True)
class Line:
    """One line: its group, and the line itself for what else it holds."""

    number: int
    group: Group
    raw: Mapping[str, Any]


def read(path: Path, columns: Columns = Columns()) -> Iterator[Line]:  # noqa: B008 - frozen
    """The lines of a file, in order; empty ones are passed over.

    `columns` says how to read rows in a trainer's form.

    Raises:
        BadLine: a line cannot be read.
        OSError: the file cannot be read.
    """
    try:
        number = 0
        for number, raw in documents(path):
            try:
                fields = _object(raw, "the line")
                found = group(fields, columns) if is_trainers(raw) else group_from_json(raw)
            except _BAD as error:
                raise BadLine(f"{path}, line {number}: {error}") from None
            yield Line(number, found, fields)
        if not number:
            raise BadLine(f"{path}: {EMPTY}")
    except NotReadable as error:
        raise BadLine(str(error)) from None


def examples(
    path: Path,
    columns: Columns = Columns(),  # noqa: B008 - frozen
) -> Iterator[tuple[int, Example | NoRow]]:
    """The examples of a file with the numbers of their lines; responses are not wanted.

    A line that cannot be read is a `NoRow`, and the next is read all the same.

    Raises:
        BadLine: the file is not what its name says, or pyarrow is not there for parquet.
        OSError: the file cannot be read.
    """
    try:
        number = 0
        for number, raw in documents(path):
            try:
                fields = _object(raw, "the line")
                trainers = is_trainers(raw)
                yield number, example_of(fields, columns) if trainers else _example_at(fields)
            except _BAD as error:
                yield number, NoRow(str(error))
        if not number:
            raise BadLine(f"{path}: {EMPTY}")
    except NotReadable as error:
        raise BadLine(str(error)) from None


_BAD = (ValueError, TypeError, OverflowError, RecursionError)


def _example_at(fields: Mapping[str, Any]) -> Example:
    if fields.get("responses") is not None:
        return group_from_json(fields).example
    return example_from_json(fields)


def group_from_json(raw: object) -> Group:
    """An example with its `responses`.

    Raises:
        ValueError: it is none; the message says what is missing.
    """
    line = _object(raw, "the line")
    responses = line.get("responses")
    if not isinstance(responses, list) or not responses:
        raise ValueError("responses: want a list with at least one response")
    texts = cast("list[Any]", responses)
    return Group(
        example_from_json(line),
        [_response(r, f"responses[{i}]") for i, r in enumerate(texts)],
    )


def example_from_json(raw: object) -> Example:
    """An example from a line of a data set.

    Raises:
        ValueError: a field is not of its type.
    """
    fields = _object(raw, "the example")
    texts, documents = _references(fields.get("references"))
    system = _either(fields, "systemInstruction", "system_instruction")
    tools = fields.get("tools")
    return Example(
        contents=[content_from_json(c) for c in _list(fields.get("contents"), "contents")],
        references=texts,
        json_references=documents,
        system_instruction=content_from_json(system) if system else None,
        tools_json=json.dumps(tools) if tools else "",
        id=_label(fields.get("id")),
    )


def _response(raw: object, path: str) -> Response:
    if isinstance(raw, str):
        return Response(raw)
    fields = _object(raw, path)
    texts, documents = _references(fields.get("references"))
    count = _either(fields, "tokenCount", "token_count")
    turns = [content_from_json(c) for c in _list(fields.get("turns"), f"{path}.turns")]
    text = fields.get("text")
    if text is None and turns:
        text = turns[-1].text
    if not isinstance(text, str):
        raise ValueError(f"{path}.text: want a string")  # noqa: TRY004 - of the file, not the call
    return Response(
        text=text,
        finish_reason=_finish_reason(_either(fields, "finishReason", "finish_reason")),
        token_count=None if count is None else int(count),
        turns=turns,
        references=texts,
        json_references=documents,
        id=_label(fields.get("id")),
    )


# Gemini's and OpenAI's names for the two that rewards tell apart.
_FINISH_REASONS = {"": "", "stop": "stop", "length": "length", "max_tokens": "length"}


def _finish_reason(raw: object) -> str:
    name = _label(raw).lower().removeprefix("finish_reason_")
    return _FINISH_REASONS.get("" if name == "unspecified" else name, "other")


def content_from_json(raw: object) -> Content:
    """A turn, in camelCase or snake_case.

    Raises:
        ValueError: a field is not of its type.
    """
    fields = _object(raw, "a turn")
    parts = [_part(_object(p, "a part")) for p in _list(fields.get("parts"), "parts")]
    return Content(_label(fields.get("role")), parts)


def _part(raw: Mapping[str, Any]) -> Part:
    return Part(_data(raw), bool(raw.get("thought", False)))


def _data(raw: Mapping[str, Any]) -> PartData:
    if "text" in raw:
        return str(raw["text"])
    if blob := _object(_either(raw, "inlineData", "inline_data") or {}, "inlineData"):
        data = base64.b64decode(_text(blob, "data", "inlineData"), validate=True)
        return Blob(_label(_either(blob, "mimeType", "mime_type")), data)
    if file := _object(_either(raw, "fileData", "file_data") or {}, "fileData"):
        mime_type = _label(_either(file, "mimeType", "mime_type"))
        return FileData(mime_type, _label(_either(file, "fileUri", "file_uri")))
    if call := _object(_either(raw, "functionCall", "function_call") or {}, "functionCall"):
        args = _object(call.get("args") or {}, "functionCall.args")
        return FunctionCall(_text(call, "name", "functionCall"), args, _label(call.get("id")))
    if told := _object(_either(raw, "functionResponse", "function_response") or {}, "the part"):
        answer = _object(told.get("response") or {}, "functionResponse.response")
        name = _text(told, "name", "functionResponse")
        return FunctionResponse(name, answer, _label(told.get("id")))
    raise ValueError(f"a part is of no known kind: {sorted(raw)}")


def _references(raw: object) -> tuple[dict[str, str], dict[str, str]]:
    texts: dict[str, str] = {}
    documents: dict[str, str] = {}
    for key, value in _object(raw or {}, "references").items():
        if isinstance(value, str):
            texts[key] = value
        else:
            documents[key] = json.dumps(value)
    return texts, documents


def _label(raw: object) -> str:
    return "" if raw is None else str(raw)


def _text(raw: Mapping[str, Any], key: str, path: str) -> str:
    value = raw.get(key)
    if not isinstance(value, str):
        raise ValueError(f"{path}.{key}: want a string")  # noqa: TRY004 - of the file, not the call
    return value


def _either(raw: Mapping[str, Any], camel: str, snake: str) -> Any:
    return raw.get(camel, raw.get(snake))


def _object(raw: object, path: str) -> Mapping[str, Any]:
    if isinstance(raw, NoRow):
        raise ValueError(raw.why)  # noqa: TRY004 - of the file, not the call
    if not isinstance(raw, dict):
        whole = " (one object a line, not one list of all)" if isinstance(raw, list) else ""
        what = f"{path}: want an object, not {type(cast('object', raw)).__name__}{whole}"
        raise ValueError(what)  # noqa: TRY004 - of the file, not the call
    return cast("dict[str, Any]", raw)


def _list(raw: object, path: str) -> Sequence[Any]:
    if raw is None:
        return ()
    if not isinstance(raw, list):
        raise ValueError(f"{path}: want a list, not {type(raw).__name__}")  # noqa: TRY004
    return cast("list[Any]", raw)
