"""The inline lane: rewards so cheap that the gateway runs them itself, between two events.

Only kinds that declare themselves fit, only responses up to 64 k characters: the group of a longer
one goes to the reward's pool.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rewardplane.config.load import INLINE_CHARS
from rewardplane.replica.items import items_of
from rewardplane.rewards.reward import Reward
from rewardplane.rewards.run import Clip, run_each, run_item
from rewardplane.rewards.types import Example, Response, ScoreError
from rewardplane.v1 import reward_service_pb2 as pb
from rewardplane.wire.messages import FieldError, example_from, response_from

if TYPE_CHECKING:
    from .call import Call
    from .served import Bound

BREATH_S = 0.005
"""How long the gateway's loop may be held before others get their turn."""


async def run_inline(
    call: Call, bound: Bound, groups: Sequence[tuple[int, pb.Group]], *, may_be_large: bool
) -> list[tuple[int, pb.Group]]:
    """Scores the groups; returns those that hold something too large for this lane, untouched.

    Raises:
        ValueError: the reward is not of this lane.
    """
    reward, names = _reward(bound), bound.component_names
    clip = Clip(*bound.config.clip)
    large: list[tuple[int, pb.Group]] = []
    breath_s = time.perf_counter() + BREATH_S
    for index, group in groups:
        first, end = call.offsets[index], call.offsets[index + 1]
        begin_ns = time.perf_counter_ns()
        try:
            example = example_from(group.example, prompt=reward.reads_prompt)
            responses = [response_from(message) for message in group.responses]
        except FieldError:
            _run_apart(call, bound, group, first, clip)
            continue
        if may_be_large and _is_large(example, responses):
            large.append((index, group))
            continue
        rewards, others = run_each(reward, example, responses, clip)
        call.set_rewards(first, rewards)
        for offset, outcome in others.items():
            call.set(first + offset, outcome, names)
        call.spread(first, end, (time.perf_counter_ns() - begin_ns) // 1000)
        call.settle(range(first, end))
        if time.perf_counter() > breath_s:
            await asyncio.sleep(0)
            breath_s = time.perf_counter() + BREATH_S
            if call.closed or time.monotonic() >= call.ask.answer_by_s:
                break
    return large


def _run_apart(call: Call, bound: Bound, group: pb.Group, first: int, clip: Clip) -> None:
    """Scores a group of which something cannot be read, item by item."""
    reward = _reward(bound)
    for item, read in enumerate(items_of(group, prompt=reward.reads_prompt), first):
        outcome = read if isinstance(read, ScoreError) else run_item(reward, read, clip)
        call.set(item, outcome, bound.component_names)
    call.settle(range(first, first + len(group.responses)))


def _is_large(example: Example, responses: Sequence[Response]) -> bool:
    # A generator would cost twice as much an item.
    return any([len(r.text) > INLINE_CHARS or r.turns for r in responses]) or any(  # noqa: C419
        len(value) > INLINE_CHARS for value in example.references.values()
    )


def _reward(bound: Bound) -> Reward:
    if bound.reward is None:
        raise ValueError(f"reward {bound.name!r} is not of the inline lane")
    return bound.reward
