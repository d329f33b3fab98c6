"""A part of a large call: whole groups, as bytes, below the size that goes well in one message.

Protobuf lets messages be written in pieces: groups are serialized once and joined with the rest of
the request, whatever the grouping and however often it is sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rewardplane.rewards.types import Group
from rewardplane.v1 import reward_service_pb2 as pb
from rewardplane.wire.errors import CallError, InvalidRequest
from rewardplane.wire.messages import group_to
from rewardplane.wire.varint import write_varint

MAX_CHUNK_BYTES = 8 * 2**20
MAX_CHUNK_ITEMS = 16_384
FIRST_CHUNK_ITEMS = 1_024
"""The first chunk of a call holds so many, each later one twice as many as the one before: the
service scores the first while the others are written, and there are few of them all the same."""

# Room for the rest of the request: names and options.
_HEAD_BYTES = 4_096

_LENGTH_DELIMITED = 2
_GROUP_INDEX = re.compile(r"\bgroups\[(\d+)\]")


@dataclass(slots=True, frozen=True)
class EncodedGroup:
    """One group as it stands in a request, and the number of its responses."""

    data: bytes
    size: int


def encode_group(group: Group) -> EncodedGroup:
    """The group in its serialized form."""
    body = group_to(group).SerializeToString()
    return EncodedGroup(_field(pb.ScoreRequest.GROUPS_FIELD_NUMBER, body), len(group.responses))


@dataclass(slots=True, frozen=True)
class Chunk:
    """Groups of a call; `first` is the index in the call of the first of them."""

    first: int
    groups: Sequence[EncodedGroup]

    def request(self, head: bytes) -> bytes:
        """The request for these groups; `head` is a serialized ScoreRequest without groups."""
        return b"".join([head, *[group.data for group in self.groups]])

    def stream_request(self, head: bytes) -> bytes:
        """The request for a stream of these groups."""
        return _field(pb.StreamScoresRequest.REQUEST_FIELD_NUMBER, self.request(head))

    def in_call(self, error: CallError) -> CallError:
        """The error with the call's group indices in place of the chunk's."""
        if not self.first:
            return error

        def moved(text: str) -> str:
            return _GROUP_INDEX.sub(lambda m: f"groups[{int(m[1]) + self.first}]", text)

        if isinstance(error, InvalidRequest):
            violations = [(moved(path), moved(fault)) for path, fault in error.violations]
            return InvalidRequest(moved(error.message), error.metadata, violations)
        error.message = moved(error.message)
        error.args = (error.message,)
        return error


def chunks(groups: Iterable[Group]) -> Iterator[Chunk]:
    """The groups, in their order, in chunks below MAX_CHUNK_BYTES that grow to MAX_CHUNK_ITEMS.

    A group that is larger goes alone.
    """
    first = 0
    encoded: list[EncodedGroup] = []
    n_bytes = n_items = 0
    max_items = FIRST_CHUNK_ITEMS
    for group in groups:
        new = encode_group(group)
        n_bytes += len(new.data)
        n_items += new.size
        if encoded and (n_bytes > MAX_CHUNK_BYTES - _HEAD_BYTES or n_items > max_items):
            yield Chunk(first, encoded)
            first += len(encoded)
            encoded, n_bytes, n_items = [], len(new.data), new.size
            max_items = min(2 * max_items, MAX_CHUNK_ITEMS)
        encoded.append(new)
    if encoded:
        yield Chunk(first, encoded)


def _field(number: int, body: bytes) -> bytes:
    """A length-delimited field (https://protobuf.dev/programming-guides/encoding/)."""
    tag = write_varint(number << 3 | _LENGTH_DELIMITED)
    return tag + write_varint(len(body)) + body
