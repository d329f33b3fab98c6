"""The items of a group, one by one: what cannot be read is that item's error."""

from __future__ import annotations

from rewardplane.rewards.reward import Item
from rewardplane.rewards.types import Reason, ScoreError
from rewardplane.v1 import reward_service_pb2 as pb
from rewardplane.wire.messages import FieldError, example_from, response_from


def items_of(group: pb.Group, *, prompt: bool) -> list[Item | ScoreError]:
    """The group's items in order; INVALID_INPUT for each that cannot be read.

    `prompt`: as in `example_from`.
    """
    try:
        example = example_from(group.example, prompt=prompt)
    except FieldError as error:
        fault = ScoreError(Reason.INVALID_INPUT, f"example.{error}")
        return [fault] * len(group.responses)
    items: list[Item | ScoreError] = []
    for message in group.responses:
        try:
            items.append((example, response_from(message)))
        except FieldError as error:
            items.append(ScoreError(Reason.INVALID_INPUT, f"response.{error}"))
    return items
