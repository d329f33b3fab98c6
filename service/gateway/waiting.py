"""Admission by time and by share: whether a call may wait as long as it would have to.

Items and bytes in flight bound what a gateway holds; what they cost is measured per reward, and how
much longer they wait than that says. A call is refused where the work before it would take half the
time that its items may wait, or more: its own `queue_timeout`, the reward's `queue_timeout_s`, or
its deadline, whichever ends first. So what was admitted is served in time, and who is refused knows
it at once and when to come again.

No reward takes all places where others are served: a slow one would have all others refused.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping

from rewardplane.access.caller import Caller
from rewardplane.v1 import frame_pb2 as frames
from rewardplane.wire.errors import Overloaded

from .admission import overloaded
from .call import PIECE_GROUPS, CallOptions
from .served import ServedReward, ServedRewards

SHARE = 0.75
"""Of the places for items, what one reward may take where others are served."""


MARGIN = 0.5
"""Of the time that items may wait, what the work before them may take by its measured cost: that
counts what the reward takes, and not what it takes to get there."""

LATE_SHARE = 0.5
"""Of that, what items were late of late may take: the rest is for work whatever the host does."""


def _where_they_run(items: Mapping[ServedReward, int]) -> Mapping[ServedReward, int]:
    """The items of composites as those of their members, all of which they may reach."""
    found: dict[ServedReward, int] = {}
    for served, count in items.items():
        of = {served: count}
        if served.combining is not None:
            of = _where_they_run(Counter(served.members.values()))
            of = {member: count * times for member, times in of.items()}
        for reward, more in of.items():
            found[reward] = found.get(reward, 0) + more
    return found


def check_before_plan(
    request: frames.RequestFrame,
    options: CallOptions,
    rewards: ServedRewards,
    caller: Caller | None = None,
) -> bool:
    """As `check_waiting`, of a call that names one reward, before anything else is asked of it.

    So a refusal costs little beside the call that it spares. Which reward there is, and whether
    `caller` may name it, is asked afterwards as ever: of those, nothing is told here.

    Returns whether that was all there is to check: it is of a call of one item.

    Raises:
        Overloaded: with how long until the call might start.
    """
    served = rewards.get(request.reward)
    if served is None or (caller is not None and not caller.may_name(served.name)):
        return False
    groups = request.groups
    single = len(groups) == 1 and _is_single(groups[0]) and not request.version
    try:
        check_waiting({served: int(single)}, options)  # more items would wait longer still
    except Overloaded:
        if len(groups) <= PIECE_GROUPS and not any(g.reward for g in groups):
            raise
    return single


def _is_single(group: frames.GroupFrame) -> bool:
    return len(group.responses) == 1 and not group.reward and not group.version


def check_waiting(items: Mapping[ServedReward, int], options: CallOptions) -> None:
    """Refuses a call whose items would not start in time, the last of them included.

    One that has too much work of its own to start it all in time is taken for what it gets done.

    Raises:
        Overloaded: with how long until they might.
    """
    if any([served.combining is not None for served in items]):  # noqa: C419 - half the time
        items = _where_they_run(items)
    for served, count in items.items():
        wait_s = served.backlog_before_s(options.job, count)
        if wait_s <= 0:
            continue
        room_s = min(
            options.queue_timeout_s,
            served.settings.queue_timeout_s,
            options.answer_by_s - time.monotonic(),
        )
        own_s = count * served.pool.item_s / served.replicas
        if own_s < room_s:
            room_s -= own_s
        late_s = min(served.pool.late_s, LATE_SHARE * MARGIN * room_s)
        if wait_s + late_s > MARGIN * room_s > 0:
            why = f"reward {served.name!r} has work for {wait_s:.2g} s, and {room_s:.2g} s are left"
            raise overloaded(why, wait_s + late_s - MARGIN * room_s)


def check_share(items: Mapping[ServedReward, int], max_items: int) -> None:
    """Refuses a call that would leave no place for other rewards.

    Raises:
        Overloaded: a reward has its share already.
    """
    most = int(SHARE * max_items)
    for served, count in items.items():
        if served.items and served.items + count > most:
            why = f"reward {served.name!r} has {served.items} of the {most} items that it may have"
            raise overloaded(why, served.backlog_s)
