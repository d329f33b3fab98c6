"""The inline lane: rewards so cheap that the gateway runs them itself, between two events.

Only kinds that declare themselves fit, only responses up to 64 kB: the rest goes to the reward's pool.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rewardplane.v1 import reward_service_pb2 as pb

from ..rewards.run import Clip, run_item
from ..rewards.types import Reason, ScoreError
from .config import INLINE_BYTES
from .wire import FieldError, example_from, response_from

if TYPE_CHECKING:
    from .call import Call
    from .table import Bound

BREATH_S = 0.005
"""How long the gateway's loop may be held before others get their turn."""


async def run_inline(
    call: Call, bound: Bound, groups: Sequence[tuple[int, pb.Group]], call_bytes: int
) -> list[tuple[int, pb.Group]]:
    """Scores the groups; returns those that hold something too large for this lane, untouched."""
    reward, names = bound.reward, bound.component_names
    if reward is None:
        raise ValueError(f"reward {bound.name!r} is not of the inline lane")
    clip = Clip(*bound.config.clip)
    large: list[tuple[int, pb.Group]] = []
    breath_s = time.perf_counter() + BREATH_S
    for index, group in groups:
        if call_bytes > INLINE_BYTES and _is_large(group):
            large.append((index, group))
            continue
        item = first = call.offsets[index]
        begin_ns = time.perf_counter_ns()
        try:
            example = example_from(group.example)
        except FieldError as error:
            why = ScoreError(Reason.INVALID_INPUT, f"example.{error}")
            call.fail([(first, call.offsets[index + 1])], why)
            continue
        for message in group.responses:
            try:
                outcome = run_item(reward, (example, response_from(message)), clip)
            except FieldError as error:
                outcome = ScoreError(Reason.INVALID_INPUT, f"response.{error}")
            call.set(item, outcome, names)
            item += 1
        call.spread(first, item, (time.perf_counter_ns() - begin_ns) // 1000)
        call.settle(range(first, item))
        if time.perf_counter() > breath_s:
            await asyncio.sleep(0)
            breath_s = time.perf_counter() + BREATH_S
            if call.closed:
                break
    return large


def _is_large(group: pb.Group) -> bool:
    if group.ByteSize() <= INLINE_BYTES:
        return False
    example_bytes = group.example.ByteSize()
    return any(example_bytes + r.ByteSize() > INLINE_BYTES for r in group.responses)
