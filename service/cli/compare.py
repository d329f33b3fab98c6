"""`rewardplane compare`: two versions of a reward on the same items, and where they differ."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest

from rewardplane.rewards.types import Score, ScoreError
from rich.table import Table

from . import page
from .dataset import BadLine
from .records import Item
from .report import SAMPLES, Gathered, sample

EQUAL, HIGHER, LOWER = "equal", "higher", "lower"
NOW_FAILS, NOW_SCORED, OTHER_REASON = "no reward any more", "a reward now", "another reason"
TOLERANCE = 1e-9


@dataclass(slots=True)
class Comparison:
    """How the outcomes of B differ from those of A: counts, both sides, and the largest changes."""

    changes: Counter[str] = field(default_factory=Counter[str])
    a: Gathered = field(default_factory=Gathered)
    b: Gathered = field(default_factory=Gathered)
    samples: dict[str, list[tuple[float, int, Item, Item]]] = field(
        default_factory=dict[str, list[tuple[float, int, Item, Item]]]
    )

    def add(self, one: Item, other: Item) -> None:
        """Takes in an item as A and as B have it."""
        self.a.add(one)
        self.b.add(other)
        change, size = _change(one, other)
        self.changes[change] += 1
        if change == EQUAL:
            return
        heap = self.samples.setdefault(change, [])
        entry = (size, -self.changes.total(), one, other)
        if len(heap) < SAMPLES:
            heapq.heappush(heap, entry)
        else:
            heapq.heappushpop(heap, entry)

    def table(self) -> Table:
        """For a terminal."""
        table = Table("", "A", "B")
        for name, one, other in self._rows():
            table.add_row(name, page.number(one), page.number(other))
        for change, count in self.changes.most_common():
            table.add_row(change, "", page.number(count))
        return table

    def _rows(self) -> Iterator[tuple[str, float, float]]:
        yield "scored", len(self.a.rewards), len(self.b.rewards)
        yield "without a reward", self.a.reasons.total(), self.b.reasons.total()
        if self.a.rewards and self.b.rewards:
            yield "mean reward", _mean(self.a.rewards), _mean(self.b.rewards)
        for name in self.a.components:
            if name in self.b.components:
                one, other = (_mean(side.components[name]) for side in (self.a, self.b))
                yield f"mean {name}", one, other

    def page(self, title: str) -> str:
        """A page that stands alone: both sides, and what changed with the samples."""
        return page.page(title, self._sections())

    def _sections(self) -> Iterator[str]:
        counts = page.table(("B against A", "items"), self.changes.most_common())
        sides = page.table(("", "A", "B"), self._rows())
        yield page.section("Summary", sides, counts, page.search_box())
        drawn = [
            page.histogram(f"{side}: reward", found.rewards)
            for side, found in (("A", self.a), ("B", self.b))
            if found.rewards
        ]
        yield page.section("Rewards", page.charts(*drawn))
        for change, heap in self.samples.items():
            ordered = sorted(heap, key=lambda entry: (-entry[0], -entry[1]))
            shown = [sample(b, f"{_said(a)} → {_said(b)}") for _, _, a, b in ordered]
            yield page.section(f"{change.capitalize()}: {self.changes[change]:,}", *shown)


def compared(a: Iterable[Item], b: Iterable[Item]) -> Comparison:
    """Compares item by item; both files hold the same ones in the same order.

    Raises:
        BadLine: they do not.
    """
    found = Comparison()
    for number, (one, other) in enumerate(zip_longest(a, b), 1):
        if one is None or other is None:
            raise BadLine(
                f"the files hold different numbers of items; item {number} is in one only"
            )
        if (one.id, one.response) != (other.id, other.response):
            raise BadLine(f"item {number} is another in each file: ids {one.id!r}, {other.id!r}")
        found.add(one, other)
    return found


def _change(one: Item, other: Item) -> tuple[str, float]:
    """What changed, and how much."""
    a, b = one.outcome, other.outcome
    if isinstance(a, ScoreError):
        if isinstance(b, ScoreError):
            return (EQUAL if a.reason is b.reason else OTHER_REASON), 0.0
        return NOW_SCORED, b.reward
    if isinstance(b, ScoreError):
        return NOW_FAILS, a.reward
    by = b.reward - a.reward
    if abs(by) <= TOLERANCE:
        return EQUAL, 0.0
    return (HIGHER if by > 0 else LOWER), abs(by)


def _said(item: Item) -> str:
    outcome = item.outcome
    return f"{outcome.reward:g}" if isinstance(outcome, Score) else outcome.reason.name


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
