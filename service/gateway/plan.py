"""From a request to a call: what is asked is checked here, before any work starts."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rewardplane.rewards.types import ISOLATION_LEVELS
from rewardplane.v1 import reward_service_pb2 as pb
from rewardplane.wire.errors import IncompleteGroup, InsufficientIsolation, InvalidRequest
from rewardplane.wire.messages import MAX_LABEL_CHARS

from .call import Ask, Call

if TYPE_CHECKING:
    from rewardplane.config.settings import Limits

    from .served import Bound, Table


def ask_of(
    request: pb.ScoreRequest, remaining_s: float | None, limits: Limits, traceparent: str
) -> Ask:
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
    ask = Ask(request_id, label, now_s, now_s + left_s - margin_s, request.job)
    if request.HasField("options"):
        options = request.options
        ask.components = options.include_components
        ask.explanations = options.include_explanations
        ask.step_rewards = options.include_step_rewards
        ask.min_isolation = options.min_isolation
        if ask.min_isolation >= len(ISOLATION_LEVELS):
            faults.append(("options.min_isolation", f"{ask.min_isolation} is no level"))
        for field, attribute in (
            ("item_timeout", "item_timeout_s"),
            ("queue_timeout", "queue_timeout_s"),
        ):
            if options.HasField(field):
                span = getattr(options, field)
                seconds = span.seconds + span.nanos / 1e9
                if seconds <= 0:
                    faults.append((f"options.{field}", "want more than 0 s"))
                setattr(ask, attribute, seconds)
    if faults:
        raise _invalid(faults)
    return ask


def plan(
    request: pb.ScoreRequest, request_bytes: int, ask: Ask, table: Table, limits: Limits
) -> Call:
    """The call of a request, each group bound to one version of its reward.

    Raises:
        InvalidRequest: the request breaks a limit or names no reward; all faults at once.
        UnknownReward, VersionGone: a reward is not served, or not in that version.
        IncompleteGroup: a reward of group scope got a part of a group.
        InsufficientIsolation: a reward does not promise the isolation that the call demands.
    """
    groups = request.groups
    if not groups:
        raise _invalid([("groups", "want at least one group")])
    faults: list[tuple[str, str]] = []
    sizes: list[int] = []
    bound: list[Bound] = []
    bindings: dict[tuple[str, str], Bound] = {}
    for index, group in enumerate(groups):
        size = len(group.responses)
        sizes.append(size)
        if size == 0:
            faults.append((f"groups[{index}].responses", "want at least one response"))
        expected = group.expected_size
        if expected and expected < size:
            faults.append((f"groups[{index}].expected_size", f"{expected}, but {size} responses"))
        own = group.reward
        key = (own, group.version) if own else (request.reward, group.version or request.version)
        binding = bindings.get(key)
        if binding is None:
            if not key[0]:
                faults.append(
                    ("reward", f"groups[{index}] names no reward and neither does the call")
                )
                continue
            binding = bindings[key] = table.bind(*key)
            if ask.min_isolation:
                _check_isolation(binding, ask.min_isolation)
        bound.append(binding)
        if binding.whole_group and size and size != (expected or (size if size > 1 else -1)):
            raise _incomplete(binding, index, size, expected)
    items = sum(sizes)
    if items > limits.max_request_items:
        faults.append(("groups", f"{items} items; at most {limits.max_request_items} a call"))
    if request_bytes > limits.max_item_bytes:
        faults += _oversize(groups, limits.max_item_bytes)
    if faults:
        raise _invalid(faults)
    return Call(ask, bound, sizes)


def _check_isolation(bound: Bound, demanded: int) -> None:
    promised = bound.config.facts.isolation
    if promised and ISOLATION_LEVELS.index(promised) < demanded:
        level = ISOLATION_LEVELS[demanded]
        raise InsufficientIsolation(
            f"reward {bound.name!r} promises isolation {promised!r}, and the call demands "
            f"{level!r}; configure the reward with `isolation: {level}` (`rewardplane sandbox` "
            "tells what a host lacks for it)",
            {"reward": bound.name, "isolation": promised, "demanded": level},
        )


def _oversize(groups: Sequence[pb.Group], max_item_bytes: int) -> list[tuple[str, str]]:
    faults: list[tuple[str, str]] = []
    for g, group in enumerate(groups):
        example_bytes = group.example.ByteSize()
        for r, response in enumerate(group.responses):
            item_bytes = example_bytes + response.ByteSize()
            if item_bytes > max_item_bytes:
                fault = f"the item has {item_bytes} bytes; at most {max_item_bytes}"
                faults.append((f"groups[{g}].responses[{r}]", fault))
    return faults


def _incomplete(bound: Bound, index: int, size: int, expected: int) -> IncompleteGroup:
    return IncompleteGroup(
        f"groups[{index}]: reward {bound.name!r} scores whole groups and got {size} of "
        f"{expected or 'an unknown number of'} responses; send the whole group in one call"
        + ("" if expected else " (expected_size: 1 says that one response is the whole group)"),
        {"reward": bound.name, "group": str(index), "size": str(size), "expected": str(expected)},
    )


def _invalid(faults: list[tuple[str, str]]) -> InvalidRequest:
    path, fault = faults[0]
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return InvalidRequest(f"{path}: {fault}{more}", violations=faults[:100])
