"""From a call's outcomes to the protocol's messages."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import cast

from rewardplane.config.load import RewardConfig
from rewardplane.config.settings import Limits
from rewardplane.replica.segment import SCORED
from rewardplane.rewards.types import (
    ISOLATION_LEVELS,
    MAX_MESSAGE_CHARS,
    RETRYABLE,
    JudgementRecord,
    Reason,
    Usage,
)
from rewardplane.v1 import reward_service_pb2 as pb
from rewardplane.wire.messages import clean, judgement_to, usage_to
from rewardplane.wire.varint import write_varint

from .breath import Steps, at_once
from .call import PIECE_GROUPS, Call
from .health import Healths
from .served import ServedReward

_RETRYABLE_NUMBERS = frozenset(reason.value for reason in RETRYABLE)
_LANES = {
    "inline": pb.LANE_INLINE,
    "pool": pb.LANE_POOL,
    "sandbox": pb.LANE_SANDBOX,
    "model": pb.LANE_MODEL,
    "composite": pb.LANE_COMPOSITE,
}


def render_call(call: Call) -> bytes:
    """The answer to a call, a serialized `ScoreResponse`: outcomes per group, in the order sent."""
    return at_once(rendering(call))


def rendering(call: Call) -> Steps[bytes]:
    """As `render_call`: the result of the steps."""
    answer: list[bytes] = []
    rewards: dict[int, ServedReward] = {}
    render = _render_each if call.stride or call.extras else _render_plain
    for piece in render(call, rewards):
        if answer:  # what is short needs no turn to come
            yield
        answer.append(b"".join(piece))
    answer += _render_rest(call, list(rewards.values()))
    return b"".join(answer)


def _render_each(call: Call, rewards: dict[int, ServedReward]) -> Iterator[list[bytes]]:
    """The groups where outcomes are more than a reward: a message each.

    `rewards` gets those that there are, in the order in which answers name them.
    """
    most = _most_chars(call)
    judgements = _tells_judgements(call, range(call.n))
    used: dict[int, int] = {}
    answer: list[bytes] = []
    left = _PIECE
    for group, served in enumerate(call.served):
        first, end = call.offsets[group], call.offsets[group + 1]
        parts: list[bytes] = []
        rewards.setdefault(id(served), served)
        outcomes = pb.GroupOutcomes(
            reward_index=used.setdefault(id(served), len(used)),
            queue_us=call.queue_us[group],
            execution_us=sum(call.elapsed_us[first:end]),
        )
        if call.isolation[group]:
            outcomes.isolation = _level(call.isolation[group])
        for item in range(first, end):
            _fill(
                call,
                item,
                served.component_count,
                outcomes.outcomes.add(),
                most,
                judgements=judgements,
            )
            left -= 1
            if left == 0:
                parts.append(outcomes.SerializeToString())
                outcomes = pb.GroupOutcomes()  # its parts, one after the other, are the group
                left = _PIECE
                yield answer
                answer = []
        parts.append(outcomes.SerializeToString())
        answer += (_GROUPS, write_varint(sum(map(len, parts))), *parts)
    yield answer


def render_health(call: Call, healths: Healths, job: str) -> bytes:
    """What is appended to the answer of a call: how its rewards do over the job."""
    response = pb.ScoreResponse()
    for name in dict.fromkeys(served.name for served in call.served):
        health = healths.health(name, job)
        if health is not None:
            response.health.add(
                reward=name,
                items=health.items,
                error_ratio=health.error_ratio,
                mean=health.mean,
                deviation=health.deviation,
                p10=health.p10,
                p50=health.p50,
                p90=health.p90,
                alike_ratio=health.alike_ratio,
                saturation=health.saturation,
                clip_ratio=health.clip_ratio,
                length_correlation=health.length_correlation,
                advice=health.advice(),
            )
    return response.SerializeToString()


# The fields of the wire that the plain form writes, each as its tag byte.
_GROUPS, _REWARDS, _REQUEST_ID, _MODELS = b"\x0a", b"\x12", b"\x1a", b"\x22"  # of ScoreResponse
_REWARD_INDEX, _QUEUE_US, _EXECUTION_US, _ISOLATION = b"\x10", b"\x18", b"\x20", b"\x28"
_PLAIN = b"\x0a\x0b\x0a\x09\x09"
"""GroupOutcomes.outcomes, 11 bytes: Outcome.score, 9 bytes: Score.reward, the double follows."""
_WIDTH = len(_PLAIN) + 8
_PIECE = 512
"""Outcomes that are made as messages without a pause."""


def _render_plain(call: Call, rewards: dict[int, ServedReward]) -> Iterator[list[bytes]]:
    """As `_render_each`, where every outcome is a reward and nothing else: written by columns.

    All such outcomes have one length on the wire, so that their rewards are laid between the same
    bytes by eight strided copies; making a message for each takes twenty times as long.
    """
    outcomes = plain_outcomes(call.rewards.tobytes())
    used: dict[int, bytes] = {}
    answer: list[bytes] = []
    offsets, elapsed_us = call.offsets, call.elapsed_us
    for group, served in enumerate(call.served):
        if group and group % PIECE_GROUPS == 0:
            yield answer
            answer = []
        first, end = offsets[group], offsets[group + 1]
        index = used.get(id(served))
        if index is None:
            index = used[id(served)] = _REWARD_INDEX + write_varint(len(used)) if used else b""
            rewards[id(served)] = served
        tail = index
        if queue_us := call.queue_us[group]:
            tail += _QUEUE_US + write_varint(queue_us)
        if execution_us := elapsed_us[first] if end - first == 1 else sum(elapsed_us[first:end]):
            tail += _EXECUTION_US + write_varint(execution_us)
        if isolation := call.isolation[group]:
            tail += _ISOLATION + write_varint(isolation)
        size = _WIDTH * (end - first) + len(tail)
        answer += (_GROUPS, write_varint(size), outcomes[_WIDTH * first : _WIDTH * end], tail)
    yield answer


def _render_rest(call: Call, rewards: Sequence[ServedReward]) -> list[bytes]:
    """What follows the groups: rewards in the order of their first groups, models, the id."""
    components = call.options.components
    answer: list[bytes] = []
    for served in rewards:
        reward = served.rendered.get(components)
        if reward is None:
            reward = _used(served.config, components=components).SerializeToString()
            served.rendered[components] = reward
        answer += (_REWARDS, write_varint(len(reward)), reward)
    models: dict[str, pb.ModelUsed] = {}
    for served in rewards:
        if served.config.model is not None or served.members:
            models.update((model.name, model) for model in _models(served))
    for model in models.values():
        data = model.SerializeToString()
        answer += (_MODELS, write_varint(len(data)), data)
    if call.options.request_id:
        request_id = call.options.request_id.encode()
        answer += (_REQUEST_ID, write_varint(len(request_id)), request_id)
    return answer


def plain_outcomes(rewards: bytes) -> bytes:
    """Serialized outcomes of scores that are a reward alone, from packed little-endian f64."""
    n = len(rewards) // 8
    if n == 1:
        return _PLAIN + rewards
    out = bytearray((_PLAIN + bytes(8)) * n)
    for byte in range(8):
        out[len(_PLAIN) + byte :: _WIDTH] = rewards[byte::8]
    return bytes(out)


def render_items(call: Call, items: Sequence[int]) -> list[pb.StreamScoresResponse]:
    """The messages that tell the outcomes of these items: one for each reward among them."""
    messages: dict[int, pb.StreamScoresResponse] = {}
    judgements = _tells_judgements(call, items)
    group = 0
    for item in sorted(items):
        if call.offsets[group + 1] <= item:
            group = bisect_right(call.offsets, item, group + 1) - 1
        served = call.served[group]
        message = messages.get(id(served))
        if message is None:
            message = messages[id(served)] = pb.StreamScoresResponse(
                request_id=call.options.request_id,
                reward=_used(served.config, components=call.options.components),
                model=_model(served),
            )
        tagged = message.outcomes.add(group_index=group, response_index=item - call.offsets[group])
        _fill(call, item, served.component_count, tagged.outcome, judgements=judgements)
        message.queue_us = max(message.queue_us, call.queue_us[group])
        message.execution_us += call.elapsed_us[item]
        if level := call.isolation[group]:
            message.isolation = _level(min(level, message.isolation or level))
    return list(messages.values())


def render_validation(call: Call, remarks: Sequence[str]) -> pb.ValidateRewardResponse:
    """The answer about the one item of a call."""
    response = pb.ValidateRewardResponse(
        reward=_used(call.served[0].config, components=True),
        messages=remarks,
        queue_us=call.queue_us[0],
        execution_us=call.elapsed_us[0],
        isolation=_level(call.isolation[0]),
    )
    judgements = _tells_judgements(call, (0,))
    _fill(call, 0, call.served[0].component_count, response.outcome, judgements=judgements)
    return response


def render_info(served: ServedReward, limits: Limits) -> pb.RewardInfo:
    """What the service says of a reward."""
    config = served.config
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
        model=_model(served),
        limits=pb.RewardLimits(
            max_request_items=limits.max_request_items,
            max_item_bytes=limits.max_item_bytes,
            max_request_bytes=limits.max_request_bytes,
        ),
    )
    info.limits.item_timeout.FromMilliseconds(round(settings.timeout_s * 1000))
    info.limits.queue_timeout.FromMilliseconds(round(settings.queue_timeout_s * 1000))
    return info


MAX_TEXT_BYTES = 32 * 2**20
"""Of all messages and explanations of one answer: clients take 64 MiB at the least."""
MAX_JUDGEMENT_BYTES = 16 * 2**20
"""Of all judgements of one answer; where they have more, none is told."""
_JUDGEMENT_BYTES = 64
"""Of a judgement without its texts and probabilities."""


def _most_chars(call: Call) -> int:
    """How long one message or explanation of an answer may be, so that all together fit in it."""
    return MAX_TEXT_BYTES // 4 // max(1, len(call.extras))


def _tells_judgements(call: Call, items: Iterable[int]) -> bool:
    """Whether the judgements of these items are wanted, and short enough together."""
    if not call.options.judgements:
        return False
    size = 0
    for item in items:
        for told in call.extras.get(item, ())[4:5]:
            for question, _value, probs, *_others, text in told:
                size += _JUDGEMENT_BYTES + _size(question) + _size(text)
                size += sum(12 + _size(label) for label in probs)
    return size <= MAX_JUDGEMENT_BYTES


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def _fill(
    call: Call,
    item: int,
    k: int,
    outcome: pb.Outcome,
    most: int = MAX_TEXT_BYTES,
    *,
    judgements: bool,
) -> None:
    extra = call.extras.get(item)
    if call.states[item] == SCORED:
        score = outcome.score
        score.reward = call.rewards[item]
        if call.stride:
            at = item * call.stride
            score.components.extend(call.components[at : at + k])
        if extra is not None:
            if call.options.explanations:
                score.explanation = clean(extra[0][:most])
                score.answer = clean(extra[2][:most])
            if call.options.step_rewards:
                score.step_rewards.extend(extra[1])
            if judgements and len(extra) > 4:
                for told in extra[4]:
                    judgement_to(JudgementRecord.from_list(told), score.judgements.add())
            if call.options.details:
                score.details_json = clean(extra[3])
        return
    number, message, *spent = extra or (Reason.UNAVAILABLE.value, "the reason was lost on its way")
    error = outcome.error
    error.reason = cast("pb.ErrorReason", number)
    error.message = clean(message[: min(most, MAX_MESSAGE_CHARS)])
    error.retryable = number in _RETRYABLE_NUMBERS
    if spent:
        error.usage.CopyFrom(usage_to(Usage(*spent[0])))


def _level(number: int) -> pb.IsolationLevel:
    return cast("pb.IsolationLevel", number)


def _used(config: RewardConfig, *, components: bool) -> pb.RewardUsed:
    return pb.RewardUsed(
        name=config.name,
        version=config.settings.version,
        digest=config.digest,
        component_names=config.facts.component_names if components else (),
        model=config.model.name if config.model is not None else "",
    )


def _models(served: ServedReward) -> list[pb.ModelUsed]:
    """What the models of a reward and of its members are, each once."""
    own = _model(served)
    found = {own.name: own} if own is not None else {}
    for member in served.members.values():
        found.update((model.name, model) for model in _models(member))
    return list(found.values())


def _model(served: ServedReward) -> pb.ModelUsed | None:
    """What a reward's model is, as far as it is known by now; None where it asks none."""
    config = served.config.model
    if config is None:
        return None
    facts = served.model_facts
    if facts is None:
        return pb.ModelUsed(name=config.name, digest=config.digest)
    return pb.ModelUsed(
        name=config.name,
        digest=config.digest,
        source=facts.source,
        revision=facts.revision,
        weights_digest=facts.weights_digest,
        engine=facts.engine,
        engine_version=facts.engine_version,
        dtype=facts.dtype,
        template_digest=facts.template_digest,
        read=facts.read,
        fingerprint=facts.fingerprint,
        noise=facts.noise,
    )
