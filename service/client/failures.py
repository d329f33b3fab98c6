"""Items without a reward: which they are and why, as one exception."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rewardplane.rewards.types import Outcome, Reason, Score

_SHOWN = 3


@dataclass(slots=True, frozen=True)
class FailedItem:
    """An item without a reward: its index in the call, the reason and the message."""

    index: int
    reason: Reason
    message: str

    def __str__(self) -> str:
        return f"item {self.index}: {self.reason.name} {self.message}"


class ItemsFailed(RuntimeError):
    """Items of a call have no reward.

    `failures` are those items in the order of the call, `counts` their number by the reason's name,
    `total` all items of the call. The message has the counts, and one item for each of the first
    reasons. A call that failed as a whole raises a `CallError` instead.
    """

    def __init__(self, reward: str, failures: Sequence[FailedItem], total: int) -> None:
        self.reward = reward
        self.failures = tuple(failures)
        self.total = total
        self.counts = counts(self.failures)
        super().__init__(
            f"{len(self.failures)} of {total} items have no reward {reward!r}: "
            f"{summary(self.counts)}; {'; '.join(map(str, examples(self.failures)))}"
        )

    def __reduce__(self) -> tuple[type[ItemsFailed], tuple[object, ...]]:
        return type(self), (self.reward, self.failures, self.total)


def failed_items(outcomes: Iterable[Outcome]) -> list[FailedItem]:
    """The items without a score, NOT_APPLICABLE among them."""
    return [
        FailedItem(index, outcome.reason, outcome.message)
        for index, outcome in enumerate(outcomes)
        if not isinstance(outcome, Score)
    ]


def rewards_of(outcomes: Sequence[Outcome], reward: str) -> list[float]:
    """The rewards, in the order of the outcomes.

    Raises:
        ItemsFailed: an item has none.
    """
    rewards = [outcome.reward for outcome in outcomes if isinstance(outcome, Score)]
    if len(rewards) < len(outcomes):
        raise ItemsFailed(reward, failed_items(outcomes), len(outcomes))
    return rewards


def counts(failures: Iterable[FailedItem]) -> dict[str, int]:
    """The number of failures by the reason's name, the most frequent first."""
    return dict(Counter(failure.reason.name for failure in failures).most_common())


def summary(numbers: dict[str, int]) -> str:
    """The counts as text: "3 TIMED_OUT, 1 RAISED"."""
    return ", ".join(f"{number} {name}" for name, number in numbers.items())


def examples(failures: Iterable[FailedItem]) -> list[FailedItem]:
    """The first failure of each reason, of three reasons at most."""
    first: dict[Reason, FailedItem] = {}
    for failure in failures:
        first.setdefault(failure.reason, failure)
    return list(first.values())[:_SHOWN]
