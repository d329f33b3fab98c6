"""How the rewards of a job do: what a trainer ought to know before it trains on them.

Of each reward and job the outcomes are counted, and of one group a call, at most `GROUPS_A_SECOND`
times a second, the rewards and the lengths of the responses are kept: enough for a distribution,
at a cost that does not grow with the batch.
"""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import StatisticsError, correlation, fmean, pstdev

from rewardplane.replica.segment import SCORED
from rewardplane.rewards.types import Reason

from .call import Call, Piece

WINDOW_S = 600.0
"""What is older is forgotten."""
SAMPLED = 2_048
"""Items whose rewards and lengths are kept, the last ones, for a reward and job."""
GROUPS_A_SECOND = 50
MAX_PAIRS = 256
"""Rewards and jobs that are told apart; of what comes beyond, nothing is kept."""
MIN_ITEMS, MIN_GROUPS = 64, 16
"""Of fewer there is no advice."""

STOP_AT = 0.8
"""With this share of errors a job is better stopped."""
WARN_ERRORS, WARN_ALIKE, WARN_SATURATED, WARN_LENGTH = 0.05, 0.8, 0.95, 0.8


@dataclass(slots=True, frozen=True)
class Health:
    """What the window holds of one reward and job; NaN where there is nothing to tell.

    Ratios are between 0 and 1. `alike_ratio`: of the sampled groups of two responses or more, those
    whose rewards are all equal. `saturation`: the share of the commonest of the lowest and the
    highest reward. `clip_ratio`: rewards at an end of the range that the reward is clipped to.
    `length_correlation`: Pearson's, of the reward and the bytes of the response.
    """

    items: int
    error_ratio: float
    reasons: Mapping[str, int]
    mean: float
    deviation: float
    p10: float
    p50: float
    p90: float
    alike_ratio: float
    saturation: float
    clip_ratio: float
    length_correlation: float
    sampled: int
    groups: int

    def advice(self) -> Iterator[str]:
        """What is out of the ordinary, in words; the worst first."""
        if self.items < MIN_ITEMS:
            return
        if self.error_ratio >= WARN_ERRORS:
            reasons = ", ".join(f"{count} {name}" for name, count in self.reasons.items())
            said = f"{self.error_ratio:.0%} of {self.items:,} items have no reward: {reasons}"
            stop = self.error_ratio >= STOP_AT
            yield f"STOP: {said}; training on the others would be wrong" if stop else said
        if self.sampled >= MIN_ITEMS and self.saturation >= WARN_SATURATED:
            share = f"{self.saturation:.0%}"
            yield f"{share} of the rewards are equal to {self.p50:g}: nothing to learn"
        elif self.groups >= MIN_GROUPS and self.alike_ratio >= WARN_ALIKE:
            yield f"in {self.alike_ratio:.0%} of the groups all rewards are equal: no gradient"
        if self.sampled >= MIN_ITEMS and abs(self.length_correlation) >= WARN_LENGTH:
            yield f"the reward follows the length (correlation {self.length_correlation:.2f})"


@dataclass(slots=True)
class _Half:
    """Counts of one half of the window."""

    began_s: float
    scored: int = 0
    reasons: Counter[str] = field(default_factory=Counter[str])


class _Window:
    """The last `WINDOW_S` of one reward and job: counts in two halves, the older one dropped."""

    __slots__ = ("_alike", "_clip", "_halves", "_items")

    def __init__(self, now_s: float, clip: tuple[float, float]) -> None:
        self._halves = [_Half(now_s)]
        self._items: deque[tuple[float, float, int]] = deque(maxlen=SAMPLED)
        self._alike: deque[tuple[float, bool]] = deque(maxlen=SAMPLED)
        self._clip = clip

    def count(self, scored: int, reasons: Mapping[str, int], now_s: float) -> None:
        half = self._halves[-1]
        if now_s - half.began_s > WINDOW_S / 2:
            half = _Half(now_s)
            self._halves = [self._halves[-1], half]
        half.scored += scored
        if reasons:
            half.reasons.update(reasons)

    def sample(self, rewards: Sequence[float], lengths: Sequence[int], now_s: float) -> None:
        self._items.extend((now_s, r, n) for r, n in zip(rewards, lengths, strict=True))
        if len(rewards) > 1:
            self._alike.append((now_s, min(rewards) == max(rewards)))

    def health(self, now_s: float) -> Health:
        halves = [half for half in self._halves if now_s - half.began_s <= WINDOW_S]
        reasons: Counter[str] = Counter()
        for half in halves:
            reasons.update(half.reasons)
        failed, scored = reasons.total(), sum(half.scored for half in halves)
        items = [(r, n) for at_s, r, n in self._items if now_s - at_s <= WINDOW_S]
        alike = [same for at_s, same in self._alike if now_s - at_s <= WINDOW_S]
        rewards = sorted(reward for reward, _ in items)
        ends = max(map(rewards.count, (rewards[0], rewards[-1]))) if rewards else 0
        low, high = self._clip
        clipped = sum(reward in (low, high) for reward in rewards)
        return Health(
            items=failed + scored,
            error_ratio=_ratio(failed, failed + scored),
            reasons=dict(reasons.most_common(3)),
            mean=fmean(rewards) if rewards else math.nan,
            deviation=pstdev(rewards) if rewards else math.nan,
            p10=_percentile(rewards, 10),
            p50=_percentile(rewards, 50),
            p90=_percentile(rewards, 90),
            alike_ratio=_ratio(sum(alike), len(alike)),
            saturation=_ratio(ends, len(rewards)),
            clip_ratio=_ratio(clipped, len(rewards)),
            length_correlation=_correlation(items),
            sampled=len(rewards),
            groups=len(alike),
        )


_NO_REASONS: Mapping[str, int] = {}


class Healths:
    """The windows of a gateway, by reward and job."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._windows: dict[tuple[str, str], _Window] = {}
        self._budget_s = 0.0

    def wants_sample(self) -> bool:
        """Whether the lengths of a group of the next call are wanted; then they are to come."""
        now_s = self._clock()
        if now_s < self._budget_s:
            return False
        self._budget_s = max(self._budget_s + 1 / GROUPS_A_SECOND, now_s)
        return True

    def ended(self, call: Call, piece: Piece, reasons: Mapping[Reason, int]) -> None:
        """Takes in a piece of a call; every item has its outcome."""
        served, groups = piece.served, piece.groups
        key = (served.name, call.job)
        window = self._windows.get(key)
        now_s = self._clock()
        if window is None:
            if len(self._windows) >= MAX_PAIRS:
                return
            window = self._windows[key] = _Window(now_s, served.config.clip)
        n = piece.end - piece.first
        if reasons:
            named = {reason.name: count for reason, count in reasons.items()}
            window.count(n - sum(named.values()), named, now_s)
        else:
            window.count(n, _NO_REASONS, now_s)
        if call.sampled is not None and call.sampled[0] in groups:
            group, lengths = call.sampled
            begin = call.offsets[group]
            known = [i for i in range(len(lengths)) if call.states[begin + i] == SCORED]
            rewards = [call.rewards[begin + i] for i in known]
            window.sample(rewards, [lengths[i] for i in known], now_s)

    def health(self, reward: str, job: str) -> Health | None:
        """What is known of a reward and job; None: nothing."""
        window = self._windows.get((reward, job))
        return None if window is None else window.health(self._clock())

    def all(self) -> Iterator[tuple[str, str, Health]]:
        """All rewards and jobs that had items in the window."""
        now_s = self._clock()
        for (reward, job), window in list(self._windows.items()):
            health = window.health(now_s)
            if health.items:
                yield reward, job, health


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


def _percentile(ordered: Sequence[float], share: int) -> float:
    if not ordered:
        return math.nan
    return ordered[min(len(ordered) - 1, len(ordered) * share // 100)]


def _correlation(items: Sequence[tuple[float, int]]) -> float:
    try:
        return correlation([r for r, _ in items], [float(n) for _, n in items])
    except StatisticsError:
        return math.nan
