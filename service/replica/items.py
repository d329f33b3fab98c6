"""The items of a group, one by one: what cannot be read is that item's error."""

from __future__ import annotations

from rewardplane.rewards.reward import Item
from rewardplane.rewards.types import Reason, ScoreError
from rewardplane.v1 import frame_pb2 as frames
from rewardplane.wire.frame import read_example, read_response
from rewardplane.wire.messages import FieldError


def items_of(group: frames.GroupFrame, *, prompt: bool) -> list[Item | ScoreError]:
    """The group's items in order; INVALID_INPUT for each that cannot be read.

    `prompt`: as in `example_from`.
    """
    try:
        example = read_example(group.example, prompt=prompt)
    except FieldError as error:
        return [unreadable("example", error)] * len(group.responses)
    items: list[Item | ScoreError] = []
    for data in group.responses:
        try:
            items.append((example, read_response(data)))
        except FieldError as error:
            items.append(unreadable("response", error))
    return items


def unreadable(what: str, error: FieldError) -> ScoreError:
    """The outcome of an item whose example or response (`what`) cannot be read."""
    path = f"{what}.{error.path}" if error.path else what
    return ScoreError(Reason.INVALID_INPUT, f"{path} {error.fault}")
