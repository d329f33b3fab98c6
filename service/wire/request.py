"""Requests as bytes, written field by field.

Most items are texts alone. To build messages of them, copy those into a request and serialize that
takes twice as long as to write the bytes; whatever holds more than text is left to protobuf.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rewardplane.rewards.types import Content, Example, Response

from .messages import clean, example_to, response_to
from .varint import write_varint

_GROUP, _REWARD, _OPTIONS, _JOB, _STEP = b"\x0a", b"\x12", b"\x22", b"\x2a", b"\x30"
"""Tags of `ScoreRequest`; below, those of the messages in it."""
_EXAMPLE, _RESPONSE, _SIZE_1 = b"\x0a", b"\x12", b"\x18\x01"
_EXAMPLE_ID, _CONTENT, _SYSTEM, _REFERENCE, _JSON_REFERENCE, _TOOLS = (
    *(b"\x0a", b"\x12", b"\x1a"),
    *(b"\x22", b"\x2a", b"\x32"),
)
_RESPONSE_TEXT = _ROLE = _PART_TEXT = _KEY = b"\x0a"
_PART = _VALUE = b"\x12"
_THOUGHT = b"\x30\x01"


def request_bytes(
    reward: str,
    items: Iterable[tuple[Example, Response]],
    *,
    job: str = "",
    step: int = 0,
    options: bytes = b"",
) -> bytes:
    """A serialized `ScoreRequest`, each item a group of its own; `options`: its serialized options.

    Lone surrogates are replaced, as in all messages.
    """
    written: list[bytes] = []
    for example, response in items:
        told = _example(example), _response(response)
        group = b"".join((_EXAMPLE, *_sized(told[0]), _RESPONSE, *_sized(told[1]), _SIZE_1))
        written += (_GROUP, *_sized(group))
    _add_text(written, _REWARD, reward)
    if options:
        written += (_OPTIONS, *_sized(options))
    _add_text(written, _JOB, job)
    if step:
        written += (_STEP, write_varint(step & 0xFFFFFFFFFFFFFFFF))  # as two's complement
    return b"".join(written)


def _example(example: Example) -> bytes:
    system = example.system_instruction
    if not all(map(_is_text, example.contents)) or not (system is None or _is_text(system)):
        return example_to(example).SerializeToString()
    written: list[bytes] = []
    _add_text(written, _EXAMPLE_ID, example.id)
    for content in example.contents:
        written += (_CONTENT, *_sized(_content(content)))
    if system is not None:
        written += (_SYSTEM, *_sized(_content(system)))
    _add_map(written, _REFERENCE, example.references)
    _add_map(written, _JSON_REFERENCE, example.json_references)
    _add_text(written, _TOOLS, example.tools_json)
    return b"".join(written)


def _response(response: Response) -> bytes:
    if (
        response.turns
        or response.finish_reason
        or response.token_count is not None
        or response.references
        or response.json_references
        or response.id
    ):
        return response_to(response).SerializeToString()
    written: list[bytes] = []
    _add_text(written, _RESPONSE_TEXT, response.text)
    return b"".join(written)


def _is_text(content: Content) -> bool:
    return all([isinstance(part.data, str) for part in content.parts])  # noqa: C419 - half the time


def _content(content: Content) -> bytes:
    written: list[bytes] = []
    _add_text(written, _ROLE, content.role)
    for part in content.parts:
        text = b"".join((_PART_TEXT, *_sized(_utf8(str(part.data)))))
        written += (_PART, *_sized(text + _THOUGHT if part.thought else text))
    return b"".join(written)


def _add_map(written: list[bytes], tag: bytes, texts: Mapping[str, str]) -> None:
    for key, value in texts.items():
        entry = (_KEY, *_sized(_utf8(key)), _VALUE, *_sized(_utf8(value)))
        written += (tag, *_sized(b"".join(entry)))


def _add_text(written: list[bytes], tag: bytes, text: str) -> None:
    if text:
        written += (tag, *_sized(_utf8(text)))


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return clean(text).encode()


def _sized(data: bytes) -> tuple[bytes, bytes]:
    return write_varint(len(data)), data
