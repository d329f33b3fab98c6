"""From the bytes that the service answers to what the client returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from google.protobuf.message import DecodeError, Message
from rewardplane.rewards.models.model_facts import ModelFacts
from rewardplane.rewards.types import ISOLATION_LEVELS
from rewardplane.v1 import reward_service_pb2 as pb
from rewardplane.wire.errors import Internal
from rewardplane.wire.messages import FieldError, outcome_from

from .chunks import EncodedGroup
from .results import (
    ModelUsed,
    RewardHealth,
    RewardInfo,
    RewardUsed,
    Scores,
    StreamedOutcome,
    Validation,
)

_M = TypeVar("_M", bound=Message)
_LANES = {
    pb.LANE_INLINE: "inline",
    pb.LANE_POOL: "pool",
    pb.LANE_SANDBOX: "sandbox",
    pb.LANE_MODEL: "model",
    pb.LANE_COMPOSITE: "composite",
}
_SCOPES = {pb.SCOPE_ITEM: "item", pb.SCOPE_GROUP: "group"}


def parsed(message: _M, data: bytes) -> _M:
    """The message, filled from bytes.

    Raises:
        Internal: they are no such message.
    """
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise Internal(f"the service's answer cannot be read: {error}") from None
    return message


def scores(data: bytes, groups: Sequence[EncodedGroup]) -> Scores:
    """The answer to a Score call of these groups.

    Raises:
        Internal: it cannot be read, or has not one outcome per item.
    """
    message = parsed(pb.ScoreResponse(), data)
    if len(message.groups) != len(groups):
        raise Internal(f"the service answered {len(message.groups)} groups, not {len(groups)}")
    models = {model.name: asked(model) for model in message.models}
    rewards = [used(reward, models.get(reward.model)) for reward in message.rewards]
    out = Scores([], [], [], [], [], message.request_id)
    out.health = tuple(_health(health) for health in message.health)
    for group, sent in zip(message.groups, groups, strict=True):
        if len(group.outcomes) != sent.size:
            raise Internal(
                f"the service answered {len(group.outcomes)} outcomes for {sent.size} responses"
            )
        try:
            reward = rewards[group.reward_index]
            names = reward.component_names
            out.outcomes.append([outcome_from(outcome, names) for outcome in group.outcomes])
        except (FieldError, IndexError) as error:
            raise Internal(f"the service's answer cannot be read: {error}") from None
        out.used.append(reward)
        out.queue_us.append(group.queue_us)
        out.execution_us.append(group.execution_us)
        out.isolation.append(_level(group.isolation))
    return out


def streamed(data: bytes) -> list[StreamedOutcome]:
    """The outcomes in one message of a stream, with the indices that stand in it.

    Raises:
        Internal: it cannot be read.
    """
    message = parsed(pb.StreamScoresResponse(), data)
    model = asked(message.model) if message.HasField("model") else None
    reward = used(message.reward, model)
    try:
        return [
            StreamedOutcome(
                tagged.group_index,
                tagged.response_index,
                outcome_from(tagged.outcome, reward.component_names),
                reward,
            )
            for tagged in message.outcomes
        ]
    except FieldError as error:
        raise Internal(f"the service's answer cannot be read: {error}") from None


def validation(data: bytes) -> Validation:
    """The answer to a ValidateReward call.

    Raises:
        Internal: it cannot be read.
    """
    message = parsed(pb.ValidateRewardResponse(), data)
    reward = used(message.reward)
    try:
        outcome = outcome_from(message.outcome, reward.component_names)
    except FieldError as error:
        raise Internal(f"the service's answer cannot be read: {error}") from None
    return Validation(
        outcome,
        reward,
        tuple(message.messages),
        message.queue_us,
        message.execution_us,
        _level(message.isolation),
    )


def used(message: pb.RewardUsed, model: ModelUsed | None = None) -> RewardUsed:
    """A reward as it was used, with its model."""
    names = tuple(message.component_names)
    return RewardUsed(message.name, message.version, message.digest, names, model)


def asked(message: pb.ModelUsed) -> ModelUsed:
    """A model as it was asked."""
    facts = ModelFacts(
        source=message.source,
        revision=message.revision,
        weights_digest=message.weights_digest,
        engine=message.engine,
        engine_version=message.engine_version,
        dtype=message.dtype,
        template_digest=message.template_digest,
        read=message.read,
        fingerprint=message.fingerprint,
    )
    return ModelUsed(message.name, message.digest, facts)


def _health(message: pb.RewardHealth) -> RewardHealth:
    return RewardHealth(
        reward=message.reward,
        items=message.items,
        error_ratio=message.error_ratio,
        mean=message.mean,
        deviation=message.deviation,
        p10=message.p10,
        p50=message.p50,
        p90=message.p90,
        alike_ratio=message.alike_ratio,
        saturation=message.saturation,
        clip_ratio=message.clip_ratio,
        length_correlation=message.length_correlation,
        advice=tuple(message.advice),
    )


def info(message: pb.RewardInfo) -> RewardInfo:
    """A reward as it is served."""
    limits = message.limits
    return RewardInfo(
        name=message.name,
        version=message.version,
        digest=message.digest,
        kind=message.kind,
        lane=_LANES.get(message.lane, ""),
        scope=_SCOPES.get(message.scope, ""),
        deterministic=message.deterministic,
        component_names=tuple(message.component_names),
        reference_keys=tuple(message.reference_keys),
        item_timeout_s=_seconds(limits.item_timeout),
        queue_timeout_s=_seconds(limits.queue_timeout),
        max_request_items=limits.max_request_items,
        max_item_bytes=limits.max_item_bytes,
        max_request_bytes=limits.max_request_bytes,
        isolation=_level(message.isolation),
    )


def _level(number: int) -> str:
    return ISOLATION_LEVELS[number] if 0 <= number < len(ISOLATION_LEVELS) else ""


class _Duration(Protocol):
    def ToNanoseconds(self) -> int: ...  # noqa: N802 - protobuf's name


def _seconds(duration: _Duration) -> float:
    return duration.ToNanoseconds() / 1e9
