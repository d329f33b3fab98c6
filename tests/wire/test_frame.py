"""Requests as skeletons, and responses that are read without protobuf: the same as with it."""

from __future__ import annotations

from itertools import pairwise

import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given
from hypothesis import strategies as st
from rewardplane.v1 import frame_pb2 as frames
from rewardplane.v1 import reward_service_pb2 as pb
from rewardplane.wire.frame import (
    group_cuts,
    group_spans,
    part_of,
    read_example,
    read_response,
)
from rewardplane.wire.messages import FieldError, response_from

TEXTS = st.one_of(
    st.text(max_size=300),
    st.integers(120, 140).map("x".__mul__),
    st.sampled_from([16_382, 16_383, 16_384, 16_385, 2_097_150, 2_097_152]).map("é".__mul__),
)


@given(
    text=TEXTS,
    reason=st.sampled_from([0, 1, 2, 3, 99]),
    tokens=st.one_of(st.none(), st.integers(-(2**31), 2**31 - 1)),
    label=st.text(max_size=5),
    references=st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
    turns=st.booleans(),
)
@example(text="", reason=1, tokens=0, label="", references={}, turns=False)
@example(text="abc", reason=0, tokens=None, label="", references={}, turns=False)
def test_a_response_reads_the_same(
    text: str,
    reason: int,
    tokens: int | None,
    label: str,
    references: dict[str, str],
    turns: bool,
) -> None:
    message = pb.Response(text=text, finish_reason=reason, id=label, references=references)
    if tokens is not None:
        message.token_count = tokens
    if turns:
        message.turns.add(role="model").parts.add(text="t")
    assert read_response(message.SerializeToString()) == response_from(message)


@given(st.binary(max_size=40))
@example(b"\x0a\x02\xff\xfe\x10\x01")
@example(b"\x0a\x81\x80\x80\x80")
@example(b"\x0a\xff\xff\xff\xff")
@example(b"\x0a\x01a\x0a\x01b")
def test_any_bytes_read_as_protobuf_reads_them(data: bytes) -> None:
    try:
        wanted = response_from(pb.Response.FromString(data))
    except (DecodeError, FieldError):
        with pytest.raises(FieldError):
            read_response(data)
    else:
        assert read_response(data) == wanted


def test_bytes_that_are_no_example_are_a_fault_of_it() -> None:
    with pytest.raises(FieldError):
        read_example(b"\xff\xff", prompt=True)
    assert read_example(b"", prompt=True).references == {}


@given(st.lists(st.lists(st.binary(max_size=300), max_size=4), max_size=6), st.binary(max_size=20))
def test_groups_are_found_between_other_fields(
    groups: list[list[bytes]], example_bytes: bytes
) -> None:
    made = [frames.GroupFrame(example=example_bytes, responses=r, reward="r") for r in groups]
    other = frames.RequestFrame(job="j", step=300, request_id="x" * 200).SerializeToString()
    pieces = [frames.RequestFrame(groups=[group]).SerializeToString() for group in made]
    data = other.join([b"", *pieces, b""])
    spans = group_spans(data)
    assert [data[a:b] for a, b in spans] == pieces
    cut = b"".join(data[a:b] for a, b in spans[1:])
    assert list(frames.RequestFrame.FromString(cut).groups) == made[1:]


def test_fields_of_old_group_types_are_refused() -> None:
    with pytest.raises(ValueError, match="wire type"):
        group_spans(b"\x7b\x7c")


@pytest.mark.parametrize("step", [1, 2, 3, 7])
@pytest.mark.parametrize("where", ["first", "among", "last", "none", "twice"])
def test_parts_of_a_group_keep_its_example(step: int, where: str) -> None:
    def field(tag: bytes, value: bytes) -> bytes:
        return tag + bytes([len(value)]) + value

    fields = [field(b"\x12", b"%d" % i) for i in range(7)]
    example = field(b"\x0a", b"e" * 100)
    if where in ("among", "twice"):
        fields.insert(3, example)
    if where in ("first", "twice"):
        fields.insert(0, example)
    if where == "last":
        fields.append(example)
    fields.insert(2, b"\x18\x07")  # expected_size
    fields.append(field(b"\x22", b"gone"))
    fields.insert(4, b"\x7b" + field(b"\x12", b"no") + b"\x7c")
    body = b"".join(fields)
    data = field(b"\x1a", b"id") + b"\x0a" + bytes([len(body) & 0x7F | 0x80, len(body) >> 7]) + body
    (group,) = group_spans(data)
    example_at, cuts = group_cuts(data, group, step)
    got: list[bytes] = []
    for responses in pairwise(cuts):
        pieces = part_of(data, example_at, responses)
        (part,) = frames.RequestFrame.FromString(b"".join(pieces)).groups
        assert part.example == (b"" if where == "none" else b"e" * 100)
        assert len(part.responses) <= step
        got += part.responses
    assert got == [b"%d" % i for i in range(7)]
