"""Requests as skeletons: what a gateway routes by is read, the groups' bytes are passed on unread.

A `RequestFrame` has the encoding of a `ScoreRequest`. The groups of a message are found as spans of
its bytes, so that neither the gateway nor a worker serializes anything a second time.
"""

from __future__ import annotations

from collections.abc import Generator

from google.protobuf.message import DecodeError
from rewardplane.rewards.types import Example, Response
from rewardplane.v1 import reward_service_pb2 as pb

from .messages import FieldError, example_from, response_from
from .varint import read_varint, write_varint

Span = tuple[int, int]
"""The first byte of a part of a message, and the byte after its last."""

PIECE = 1024
"""Fields that are looked at in less than a millisecond."""
_GROUPS_TAG = 0x0A
_EXAMPLE_TAG = 0x0A
_RESPONSES_TAG = 0x12
_TEXT_TAG = 0x0A
_MALFORMED = "is no message of its type"


def group_spans(data: bytes) -> list[Span]:
    """Where the groups of a serialized `ScoreRequest` lie, their tag and length included.

    `data` must be well-formed: parse it as a `RequestFrame` first. Bytes of several spans, put one
    after the other, are a `ScoreRequest` of these groups.

    Raises:
        ValueError: there is a field of a group type, which the protocol does not have.
    """
    spans: list[Span] = []
    for _ in finding_spans(data, spans):
        pass
    return spans


def finding_spans(data: bytes, spans: list[Span]) -> Generator[None, None, None]:
    """As `group_spans`, into `spans`; yields after each `PIECE` fields."""
    at, end = 0, len(data)
    left = PIECE
    while at < end:
        left -= 1
        if left < 0:
            left = PIECE
            yield
        begin = at
        tag, at = data[at], at + 1
        if tag >= 0x80:
            tag, at = read_varint(data, begin)
        wire_type = tag & 7
        if wire_type == 2:
            size, at = data[at], at + 1
            if size >= 0x80:
                size, at = read_varint(data, at - 1)
            at += size
            if tag == _GROUPS_TAG:
                spans.append((begin, at))
        elif wire_type == 0:
            _, at = read_varint(data, at)
        elif wire_type == 5:
            at += 4
        elif wire_type == 1:
            at += 8
        else:
            raise ValueError("a field of wire type 3 or 4")


def group_cuts(data: bytes, group: Span, step: int) -> tuple[Span, list[int]]:
    """Where the example and the responses of a group may be cut into parts, `step` responses each.

    The span of the example has its tag and length. Each cut is the begin of a response; the last is
    the end of the group. `group` is one of `group_spans`. What lies between two cuts are `step`
    responses, perhaps with other fields between them.
    """
    example, cuts, count = (group[0], group[0]), list[int](), 0
    depth = 0  # in fields of the old form, from a tag of type 3 to one of type 4: all are unknown
    _, at = read_varint(data, group[0])
    _, at = read_varint(data, at)
    while at < group[1]:
        begin = at
        tag, at = read_varint(data, at)
        wire_type = tag & 7
        if wire_type == 2:
            size, at = read_varint(data, at)
            at += size
            if depth:
                continue
            if tag == _EXAMPLE_TAG:
                example = (begin, at)
            elif tag == _RESPONSES_TAG:
                if count % step == 0:
                    cuts.append(begin)
                count += 1
        elif wire_type == 0:
            _, at = read_varint(data, at)
        elif wire_type in (3, 4):
            depth += 1 if wire_type == 3 else -1
        else:
            at += 4 if wire_type == 5 else 8
    cuts.append(group[1])
    return example, cuts


def part_of(data: bytes, example: Span, responses: Span) -> list[bytes | memoryview]:
    """Some responses of a group with its example, as a `ScoreRequest` of that one group, in pieces.

    The bytes of both stay where they are, however often the example is sent.
    """
    view = memoryview(data)
    size = example[1] - example[0] + responses[1] - responses[0]
    head = bytes((_GROUPS_TAG,)) + write_varint(size)
    # The example comes last: of one that lies among the responses, too, the last is what counts.
    return [head, view[slice(*responses)], view[slice(*example)]]


def read_example(data: bytes, *, prompt: bool) -> Example:
    """The example in `data`; `prompt` as in `example_from`.

    Raises:
        FieldError: the bytes are no `Example`, or a field of it cannot be read.
    """
    try:
        return example_from(pb.Example.FromString(data), prompt=prompt)
    except DecodeError:
        raise FieldError("", _MALFORMED) from None


def read_response(data: bytes) -> Response:
    """The response in `data`.

    A response that is a text, perhaps with a finish reason and a token count, as most are, is read
    without protobuf: in a third of the time.

    Raises:
        FieldError: the bytes are no `Response`, or a field of it cannot be read.
    """
    size = len(data)
    if size > 4 and data[0] == _TEXT_TAG:
        length, at = data[1], 2
        if length >= 0x80:
            length, at = length & 0x7F | data[2] << 7, 3
            if length >= 1 << 14:
                length, at = length & 0x3FFF | data[3] << 14, 4
        end = at + length
        # From 2 MiB on the length is longer, and protobuf's own time no longer counts.
        if end <= size and length < 1 << 21:
            rest = data[end:]
            known = _rests[rest] if rest in _rests else _read_rest(rest)
            if known is not None:
                reason, tokens = known
                try:
                    return Response(data[at:end].decode(), reason, tokens, (), _NONE, _NONE)
                except UnicodeDecodeError:
                    raise FieldError("text", "is no UTF-8") from None
    try:
        return response_from(pb.Response.FromString(data))
    except DecodeError:
        raise FieldError("", _MALFORMED) from None


_NONE: dict[str, str] = {}
_rests: dict[bytes, tuple[str, int | None] | None] = {b"": ("", None)}
_MAX_RESTS = 8192
_MAX_REST_BYTES = 8


def _read_rest(rest: bytes) -> tuple[str, int | None] | None:
    """The finish reason and token count in what follows a text; None: there is more, or nothing.

    What was read is remembered: there are few finish reasons, and not many lengths.
    """
    if len(rest) > _MAX_REST_BYTES:
        return None
    try:
        message = pb.Response.FromString(rest)
    except DecodeError:
        return None
    known = None
    if {field.name for field, _ in message.ListFields()} <= {"finish_reason", "token_count"}:
        response = response_from(message)
        known = response.finish_reason, response.token_count
    if len(_rests) < _MAX_RESTS:
        _rests[rest] = known
    return known
