"""The messages of a stream: outcomes as they come, in pieces, with pauses."""

from __future__ import annotations

from collections.abc import Sequence

from .breath import Steps
from .call import Call
from .render import render_items

PIECE_ITEMS = 128
"""Outcomes that are made as messages without a pause."""


def stream_messages(call: Call, items: Sequence[int]) -> Steps[list[bytes]]:
    """The serialized messages that tell the outcomes of these items."""
    made: list[bytes] = []
    for at in range(0, len(items), PIECE_ITEMS):
        if at:
            yield
        told = render_items(call, items[at : at + PIECE_ITEMS])
        made += [message.SerializeToString() for message in told]
    return made
