"""The last items of a model, scored by the one that is to follow it: how far its numbers move.

Nobody is answered with these numbers; they are told before the switch.
"""

from __future__ import annotations

import json
import math
import time
from array import array
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import pairwise

from rewardplane.replica.answers import Answer, Message
from rewardplane.replica.segment import PENDING, SCORED
from rewardplane.rewards.ranks import ranks
from rewardplane.v1 import frame_pb2 as frames

RECENT_ITEMS = 200
RECENT_BYTES = 8 * 2**20
TIME_S = 60.0
"""How long the scoring may take, of all rewards together; what is not done then is left out."""

Definition = tuple[str, bytes]
Run = Callable[[Definition, Sequence[Message], tuple[int, float]], AsyncGenerator[Answer, None]]


@dataclass(slots=True, frozen=True)
class Scored:
    """A job of one reward: its groups' bytes, and the reward of each item; NaN: it has none."""

    definition: Definition
    data: bytes
    rewards: array[float]


class Recent:
    """The jobs that were scored last: about `RECENT_ITEMS` items."""

    def __init__(self) -> None:
        self._jobs: deque[Scored] = deque()
        self._items = 0
        self._bytes = 0

    def add(self, job: Scored) -> None:
        """Keeps a job instead of the oldest ones."""
        if len(job.data) > RECENT_BYTES:
            return
        self._jobs.append(job)
        self._items += len(job.rewards)
        self._bytes += len(job.data)
        while len(self._jobs) > 1 and (
            self._items - len(self._jobs[0].rewards) >= RECENT_ITEMS or self._bytes > RECENT_BYTES
        ):
            gone = self._jobs.popleft()
            self._items -= len(gone.rewards)
            self._bytes -= len(gone.data)

    def jobs(self) -> list[Scored]:
        """The oldest first."""
        return list(self._jobs)


async def shadow(run: Run, jobs: Sequence[Scored]) -> list[str]:
    """What the model behind `run` makes of jobs that another one has scored: a line a reward."""
    by_reward: dict[str, list[Scored]] = {}
    for job in jobs:
        by_reward.setdefault(job.definition[0], []).append(job)
    told: list[str] = []
    until_s = time.monotonic() + TIME_S
    for same in by_reward.values():
        name = json.loads(same[0].definition[1])["name"]
        left_s = until_s - time.monotonic()
        if left_s <= 0:
            told.append(f"reward {name}: not scored, {TIME_S:g} s are over")
            continue
        before: list[list[float]] = []
        after: list[list[float]] = []
        for job, rewards in zip(same, await _rewards(run, same, left_s), strict=True):
            for at, end in _ranges(job):
                both = zip(job.rewards[at:end], rewards[at:end], strict=True)
                pairs = [pair for pair in both if not math.isnan(pair[0])]
                before.append([old for old, _new in pairs])
                after.append([new for _old, new in pairs])
        told.append(f"reward {name}: {compared(before, after)}")
    return told


async def _rewards(run: Run, jobs: Sequence[Scored], within_s: float) -> list[list[float]]:
    """The rewards that the jobs, of one reward, get now; NaN where they get none."""
    found = [[math.nan] * len(job.rewards) for job in jobs]
    messages: list[Message] = [
        ([job.data], n, _ranges(job), within_s, within_s, within_s, "shadow", False)
        for job in jobs
        for n in (len(job.rewards),)
    ]
    async with aclosing(run(jobs[0].definition, messages, (0, 0.0))) as answers:
        async for parts, _room, _figures in answers:
            for index, part, _waited in parts:
                rewards = array("d", part.rewards)
                for item, state in enumerate(part.states):
                    if state != PENDING:
                        found[index][item] = rewards[item] if state == SCORED else math.nan
    return found


def _ranges(job: Scored) -> list[tuple[int, int]]:
    """The items of each group, until there are `RECENT_ITEMS`."""
    ends = [0]
    for group in frames.RequestFrame.FromString(job.data).groups:
        if ends[-1] >= RECENT_ITEMS:
            break
        ends.append(ends[-1] + len(group.responses))
    return [(first, end) for first, end in pairwise(ends) if first < end]


def compared(before: Sequence[Sequence[float]], after: Sequence[Sequence[float]]) -> str:
    """How far rewards have moved, in words; by groups, NaN for an item that has none any more.

    The rank correlation (Spearman's) over all, the means, and how many of the pairs within groups
    that had different rewards are now the other way round.
    """
    old = [x for group in before for x in group]
    new = [x for group in after for x in group]
    both = [(x, y) for x, y in zip(old, new, strict=True) if not math.isnan(y)]
    failed = len(old) - len(both)
    lost = f", {failed} without a reward" if failed else ""
    if not both:
        return f"{len(old)} items{lost}"
    xs, ys = [x for x, _ in both], [y for _, y in both]
    turned = pairs = 0
    for olds, news in zip(before, after, strict=True):
        for i in range(min(len(olds), RECENT_ITEMS)):  # of larger groups enough to tell
            for j in range(i):
                was, now = olds[i] - olds[j], news[i] - news[j]
                if was and not math.isnan(now):
                    pairs += 1
                    turned += was * now < 0
    rank = _correlation(ranks(xs), ranks(ys))
    shown = "none" if rank is None else f"{rank:.3f}"
    order = f", {turned} of {pairs} pairs within groups turned round" if pairs else ""
    return (
        f"{len(old)} items{lost}: rank correlation {shown}, mean {_mean(xs):.4g} to"
        f" {_mean(ys):.4g}{order}"
    )


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _correlation(xs: Sequence[float], ys: Sequence[float]) -> float | None:
    """Pearson's; None where one of them is constant."""
    x, y = _mean(xs), _mean(ys)
    shared = math.fsum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True))
    spread = math.sqrt(math.fsum((a - x) ** 2 for a in xs) * math.fsum((b - y) ** 2 for b in ys))
    return shared / spread if spread else None
