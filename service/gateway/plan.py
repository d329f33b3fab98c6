"""From a request to a call: what is asked is checked here, before any work starts."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from google.protobuf.message import DecodeError
from rewardplane.access.caller import Caller
from rewardplane.config.settings import Limits
from rewardplane.rewards.types import ISOLATION_LEVELS
from rewardplane.v1 import frame_pb2 as frames
from rewardplane.wire.errors import IncompleteGroup, InsufficientIsolation, InvalidRequest
from rewardplane.wire.frame import Span, finding_spans
from rewardplane.wire.messages import MAX_LABEL_CHARS

from .breath import Steps
from .call import PIECE_GROUPS, Call, CallOptions
from .served import ServedReward, ServedRewards
from .tracing import trace_id_of

MAX_FAULTS = 100
"""How many faults of a request are told; after that it is read no further."""


def read_frame(data: bytes) -> frames.RequestFrame:
    """The skeleton of a serialized `ScoreRequest`.

    Raises:
        InvalidRequest: the bytes are no such message.
    """
    try:
        return frames.RequestFrame.FromString(data)
    except DecodeError as error:
        raise InvalidRequest(f"the message is no ScoreRequest: {error}") from None


def options_of(
    request: frames.RequestFrame, remaining_s: float | None, limits: Limits, traceparent: str
) -> CallOptions:
    """What the call wants, and when it must be answered: before the client's deadline strikes.

    Raises:
        InvalidRequest: a label is too long, a time-out is not positive.
    """
    faults = [
        (field, f"longer than {MAX_LABEL_CHARS} characters")
        for field, label in (
            ("reward", request.reward),
            ("version", request.version),
            ("job", request.job),
            ("request_id", request.request_id),
        )
        if len(label) > MAX_LABEL_CHARS
    ]
    now_s = time.monotonic()
    left_s = limits.default_deadline_s if remaining_s is None else max(0.0, remaining_s)
    margin_s = min(max(0.1, 0.02 * left_s), 0.5 * left_s)
    request_id = request.request_id or os.urandom(8).hex()
    label = f"request_id={request_id} traceparent={traceparent}" if traceparent else request_id
    if not label.isprintable():
        label = ascii(label)  # a new line would begin what looks like another record
    options = CallOptions(request_id, label, now_s, now_s + left_s - margin_s, request.job)
    if traceparent:
        options.trace_id = trace_id_of(traceparent)
    if request.HasField("options"):
        sent = request.options
        options.components = sent.include_components
        options.explanations = sent.include_explanations
        options.step_rewards = sent.include_step_rewards
        options.judgements = sent.include_judgements
        options.health = sent.include_health
        options.details = sent.include_details
        options.min_isolation = sent.min_isolation
        if not 0 <= options.min_isolation < len(ISOLATION_LEVELS):
            faults.append(("options.min_isolation", f"{options.min_isolation} is no level"))
        for field, attribute in (
            ("item_timeout", "item_timeout_s"),
            ("queue_timeout", "queue_timeout_s"),
        ):
            if sent.HasField(field):
                span = getattr(sent, field)
                seconds = span.seconds + span.nanos / 1e9
                if seconds <= 0:
                    faults.append((f"options.{field}", "want more than 0 s"))
                setattr(options, attribute, seconds)
    if faults:
        raise _invalid(faults)
    return options


def plan(
    request: frames.RequestFrame,
    data: bytes,
    options: CallOptions,
    rewards: ServedRewards,
    limits: Limits,
    caller: Caller | None = None,
) -> Steps[Call]:
    """The call of a request, read from `data`, each group bound to one version of its reward.

    The result of the steps; what is raised, they raise.

    Raises:
        InvalidRequest: the request breaks a limit or names no reward; all faults at once.
        PermissionDenied: `caller` may not name a reward, whether or not it is served.
        UnknownReward, VersionGone: a reward is not served, or not in that version.
        IncompleteGroup: a reward of group scope got a part of a group.
        InsufficientIsolation: a reward does not promise the isolation that the call demands.
    """
    groups = request.groups
    if not groups:
        raise _invalid([("groups", "want at least one group")])
    if len(groups) > limits.max_request_items:
        raise _invalid([_too_many(f"{len(groups)} groups", limits)])
    faults: list[tuple[str, str]] = []
    sizes: list[int] = []
    served: list[ServedReward] = []
    found: dict[tuple[str, str], ServedReward] = {}
    items: dict[ServedReward, int] = {}
    for index, group in enumerate(groups):
        if index % PIECE_GROUPS == 0 and index:
            yield
        size = len(group.responses)
        sizes.append(size)
        if size == 0:
            faults.append((f"groups[{index}].responses", "want at least one response"))
        expected = group.expected_size
        if expected and expected < size:
            faults.append((f"groups[{index}].expected_size", f"{expected}, but {size} responses"))
        own = group.reward
        key = (own, group.version) if own else (request.reward, group.version or request.version)
        reward = found.get(key)
        if reward is None:
            if not key[0]:
                faults.append(
                    ("reward", f"groups[{index}] names no reward and neither does the call")
                )
                if len(faults) >= MAX_FAULTS:
                    break
                continue
            if caller is not None:
                caller.check_reward(key[0])
            reward = found[key] = rewards.find(*key)
            if options.min_isolation:
                _check_isolation(reward, options.min_isolation)
        served.append(reward)
        items[reward] = items.get(reward, 0) + size
        if reward.whole_group and size and size != (expected or (size if size > 1 else -1)):
            raise _incomplete(reward, index, size, expected)
        if len(faults) >= MAX_FAULTS:
            break
    count = sum(sizes)
    if count > limits.max_request_items:
        faults.append(_too_many(f"{count} items", limits))
    if len(data) > limits.max_item_bytes:
        faults += yield from _oversize(groups, limits.max_item_bytes)
    if faults:
        raise _invalid(faults)
    spans: list[Span] = []
    try:
        yield from finding_spans(data, spans)
    except ValueError as error:
        raise InvalidRequest(f"the message is no ScoreRequest: {error}") from None
    call = Call(options, served, sizes, data, spans)
    call.items = items
    return call


def _too_many(what: str, limits: Limits) -> tuple[str, str]:
    return "groups", f"{what}; at most {limits.max_request_items} items a call"


def _check_isolation(served: ServedReward, demanded: int) -> None:
    promised = served.config.facts.isolation
    if promised and ISOLATION_LEVELS.index(promised) < demanded:
        level = ISOLATION_LEVELS[demanded]
        raise InsufficientIsolation(
            f"reward {served.name!r} promises isolation {promised!r}, and the call demands "
            f"{level!r}; configure the reward with `isolation: {level}` (`rewardplane sandbox` "
            "tells what a host lacks for it)",
            {"reward": served.name, "isolation": promised, "demanded": level},
        )


def _oversize(
    groups: Sequence[frames.GroupFrame], max_item_bytes: int
) -> Steps[list[tuple[str, str]]]:
    faults: list[tuple[str, str]] = []
    for g, group in enumerate(groups):
        if g % PIECE_GROUPS == 0 and g:
            yield
        example_bytes = len(group.example)
        for r, response in enumerate(group.responses):
            item_bytes = example_bytes + len(response)
            if item_bytes > max_item_bytes:
                fault = f"the item has {item_bytes} bytes; at most {max_item_bytes}"
                faults.append((f"groups[{g}].responses[{r}]", fault))
                if len(faults) >= MAX_FAULTS:
                    return faults
    return faults


def _incomplete(served: ServedReward, index: int, size: int, expected: int) -> IncompleteGroup:
    return IncompleteGroup(
        f"groups[{index}]: reward {served.name!r} scores whole groups and got {size} of "
        f"{expected or 'an unknown number of'} responses; send the whole group in one call"
        + ("" if expected else " (expected_size: 1 says that one response is the whole group)"),
        {"reward": served.name, "group": str(index), "size": str(size), "expected": str(expected)},
    )


def _invalid(faults: list[tuple[str, str]]) -> InvalidRequest:
    path, fault = faults[0]
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return InvalidRequest(f"{path}: {fault}{more}", violations=faults[:MAX_FAULTS])
