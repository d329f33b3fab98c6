"""Bytes written by hand are the message that protobuf makes, whatever the items hold."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from rewardplane.rewards.types import Blob, Content, Example, FileData, Part, Response
from rewardplane.v1 import reward_service_pb2 as pb
from rewardplane.wire.messages import example_to, response_to
from rewardplane.wire.request import request_bytes

TEXT = st.text(st.characters(exclude_categories=()), max_size=200)  # lone surrogates too
REFERENCES = st.dictionaries(TEXT, TEXT, max_size=3)
DATA = TEXT | st.builds(Blob, TEXT, st.binary()) | st.builds(FileData, TEXT, TEXT)


def contents(data: st.SearchStrategy[Any]) -> st.SearchStrategy[Content]:
    return st.builds(Content, TEXT, st.lists(st.builds(Part, data, st.booleans()), max_size=3))


def examples(data: st.SearchStrategy[Any]) -> st.SearchStrategy[Example]:
    turns = st.lists(contents(data), max_size=3)
    system = st.none() | contents(data)
    return st.builds(Example, turns, REFERENCES, REFERENCES, system, TEXT, TEXT)


RESPONSES = st.builds(Response, TEXT) | st.builds(
    Response,
    TEXT,
    st.sampled_from(["", "stop", "length", "odd"]),
    st.none() | st.integers(0, 2**31 - 1),
    st.lists(contents(DATA), max_size=2),
    REFERENCES,
    REFERENCES,
    TEXT,
)
ITEMS = st.lists(st.tuples(examples(TEXT) | examples(DATA), RESPONSES), max_size=3)
INT64 = st.integers(-(2**63), 2**63 - 1)
OPTIONS = st.builds(pb.ScoreOptions, include_details=st.booleans())
UTF8 = st.text(max_size=200)


@given(UTF8, ITEMS, UTF8, INT64, st.none() | OPTIONS)
def test_what_is_written_is_what_protobuf_would_read(
    reward: str, items: list[Any], job: str, step: int, options: pb.ScoreOptions | None
) -> None:
    wanted = pb.ScoreRequest(reward=reward, job=job, step=step)
    for example, response in items:
        group = wanted.groups.add(expected_size=1)
        group.example.CopyFrom(example_to(example))
        group.responses.append(response_to(response))
    sent = b"" if options is None else options.SerializeToString()
    if sent:
        wanted.options.MergeFromString(sent)
    data = request_bytes(reward, items, job=job, step=step, options=sent)
    assert pb.ScoreRequest.FromString(data) == wanted


def test_lengths_of_more_than_one_byte_are_told() -> None:
    for size in (0, 127, 128, 16_383, 16_384, 3_000_000):
        text = "x" * size
        example = Example([Content("user", [Part(text)])], {"answer": text})
        data = request_bytes("exact", [(example, Response(text))])
        (group,) = pb.ScoreRequest.FromString(data).groups
        assert group.example == example_to(example)
        assert group.responses[0].text == text
