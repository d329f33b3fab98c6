"""From a call's outcomes to the protocol's messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from rewardplane.config.load import RewardConfig
from rewardplane.config.settings import Limits
from rewardplane.replica.segment import SCORED
from rewardplane.rewards.types import ISOLATION_LEVELS, MAX_MESSAGE_CHARS, RETRYABLE, Reason
from rewardplane.v1 import reward_service_pb2 as pb
from rewardplane.wire.messages import clean

from .call import Call

_RETRYABLE_NUMBERS = frozenset(reason.value for reason in RETRYABLE)
_LANES = {"inline": pb.LANE_INLINE, "pool": pb.LANE_POOL, "sandbox": pb.LANE_SANDBOX}


def render_call(call: Call) -> pb.ScoreResponse:
    """The answer to a call: outcomes per group, in the order sent."""
    response = pb.ScoreResponse(request_id=call.ask.request_id)
    used: dict[int, int] = {}
    states, rewards, extras = call.states, call.rewards, call.extras
    for group, bound in enumerate(call.bound):
        first, end = call.offsets[group], call.offsets[group + 1]
        outcomes = response.groups.add()
        if id(bound) not in used:
            used[id(bound)] = len(used)
            response.rewards.append(_used(bound.config, components=call.ask.components))
        outcomes.reward_index = used[id(bound)]
        outcomes.queue_us = call.queue_us[group]
        outcomes.execution_us = sum(call.elapsed_us[first:end])
        if call.isolation[group]:
            outcomes.isolation = _level(call.isolation[group])
        if not call.stride and not extras:
            outcomes.MergeFromString(serialized(rewards[first:end].tobytes()))
            continue
        add = outcomes.outcomes.add
        for item in range(first, end):
            if states[item] == SCORED and not call.stride and item not in extras:
                add().score.reward = rewards[item]
            else:
                _fill(call, item, bound.component_count, add())
    return response


_PLAIN = b"\x0a\x0b\x0a\x09\x09"
"""On the wire: `outcomes`, 11 bytes: `score`, 9 bytes: `reward`, a double."""


def serialized(rewards: bytes) -> bytes:
    """Serialized outcomes of scores that are nothing but a reward, from packed little-endian f64.

    Setting them one by one costs twice as much, and is a tenth of an inline item.
    """
    return b"".join([_PLAIN + rewards[at : at + 8] for at in range(0, len(rewards), 8)])


def render_items(call: Call, items: Sequence[int]) -> list[pb.StreamScoresResponse]:
    """The messages that tell the outcomes of these items: one for each reward among them."""
    messages: dict[int, pb.StreamScoresResponse] = {}
    group = 0
    for item in sorted(items):
        while call.offsets[group + 1] <= item:
            group += 1
        bound = call.bound[group]
        message = messages.get(id(bound))
        if message is None:
            message = messages[id(bound)] = pb.StreamScoresResponse(
                request_id=call.ask.request_id,
                reward=_used(bound.config, components=call.ask.components),
            )
        tagged = message.outcomes.add(group_index=group, response_index=item - call.offsets[group])
        _fill(call, item, bound.component_count, tagged.outcome)
        message.queue_us = max(message.queue_us, call.queue_us[group])
        message.execution_us += call.elapsed_us[item]
        if level := call.isolation[group]:
            message.isolation = _level(min(level, message.isolation or level))
    return list(messages.values())


def render_validation(call: Call, remarks: Sequence[str]) -> pb.ValidateRewardResponse:
    """The answer about the one item of a call."""
    response = pb.ValidateRewardResponse(
        reward=_used(call.bound[0].config, components=True),
        messages=remarks,
        queue_us=call.queue_us[0],
        execution_us=call.elapsed_us[0],
        isolation=_level(call.isolation[0]),
    )
    _fill(call, 0, call.bound[0].component_count, response.outcome)
    return response


def render_info(config: RewardConfig, limits: Limits) -> pb.RewardInfo:
    """What the service says of a reward."""
    facts, settings = config.facts, config.settings
    info = pb.RewardInfo(
        name=config.name,
        version=settings.version,
        digest=config.digest,
        kind=settings.kind,
        lane=_LANES[config.lane],
        scope=pb.SCOPE_GROUP if facts.whole_group else pb.SCOPE_ITEM,
        deterministic=facts.deterministic,
        component_names=facts.component_names,
        reference_keys=facts.reference_keys,
        isolation=_level(ISOLATION_LEVELS.index(facts.isolation)),
        limits=pb.RewardLimits(
            max_request_items=limits.max_request_items,
            max_item_bytes=limits.max_item_bytes,
            max_request_bytes=limits.max_request_bytes,
        ),
    )
    info.limits.item_timeout.FromMilliseconds(round(settings.timeout_s * 1000))
    info.limits.queue_timeout.FromMilliseconds(round(settings.queue_timeout_s * 1000))
    return info


def _fill(call: Call, item: int, k: int, outcome: pb.Outcome) -> None:
    extra = call.extras.get(item)
    if call.states[item] == SCORED:
        score = outcome.score
        score.reward = call.rewards[item]
        if call.stride:
            at = item * call.stride
            score.components.extend(call.components[at : at + k])
        if extra is not None:
            if call.ask.explanations:
                score.explanation = clean(extra[0])
            if call.ask.step_rewards:
                score.step_rewards.extend(extra[1])
        return
    number, message = extra or (Reason.UNAVAILABLE.value, "the reason was lost on its way")
    error = outcome.error
    error.reason = cast("pb.ErrorReason", number)
    error.message = clean(message[:MAX_MESSAGE_CHARS])
    error.retryable = number in _RETRYABLE_NUMBERS


def _level(number: int) -> pb.IsolationLevel:
    return cast("pb.IsolationLevel", number)


def _used(config: RewardConfig, *, components: bool) -> pb.RewardUsed:
    return pb.RewardUsed(
        name=config.name,
        version=config.settings.version,
        digest=config.digest,
        component_names=config.facts.component_names if components else (),
    )
