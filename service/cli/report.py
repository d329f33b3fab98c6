"""What came of many items, gathered as they come and told on one page."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from statistics import StatisticsError, correlation

from rewardplane.rewards.types import Score, ScoreError

from . import page
from .records import Item

SAMPLES = 50
"""Best and worst samples, and those of each reason, that a page shows."""
POINTS = 2_000
"""Points of the chart of rewards by length."""
MAX_TEXT_CHARS = 8_000


@dataclass(slots=True)
class Gathered:
    """Numbers of all items, and a few of the items themselves."""

    rewards: list[float] = field(default_factory=list[float])
    lengths: list[int] = field(default_factory=list[int])
    components: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    reasons: Counter[str] = field(default_factory=Counter[str])
    failed: dict[str, list[Item]] = field(default_factory=dict[str, list[Item]])
    best: list[tuple[float, int, Item]] = field(default_factory=list[tuple[float, int, Item]])
    worst: list[tuple[float, int, Item]] = field(default_factory=list[tuple[float, int, Item]])

    def add(self, item: Item) -> None:
        """Takes an item in."""
        outcome = item.outcome
        if isinstance(outcome, ScoreError):
            self.reasons[outcome.reason.name] += 1
            shown = self.failed.setdefault(outcome.reason.name, [])
            if len(shown) < SAMPLES:
                shown.append(item)
            return
        self.rewards.append(outcome.reward)
        self.lengths.append(len(item.response))
        for name, value in outcome.components.items():
            self.components.setdefault(name, []).append(value)
        # The number of the item decides between equal rewards: the first ones are kept.
        order = -len(self.rewards)
        _keep(self.best, (outcome.reward, order, item))
        _keep(self.worst, (-outcome.reward, order, item))


def _keep(heap: list[tuple[float, int, Item]], entry: tuple[float, int, Item]) -> None:
    if len(heap) < SAMPLES:
        heapq.heappush(heap, entry)
    else:
        heapq.heappushpop(heap, entry)


def gathered(items: Iterable[Item]) -> Gathered:
    """All items taken in."""
    found = Gathered()
    for item in items:
        found.add(item)
    return found


def report(title: str, found: Gathered) -> str:
    """The page: counts, histograms, reward by length, errors by reason, best and worst samples."""
    return page.page(title, _sections(found))


def _sections(found: Gathered) -> Iterator[str]:
    scored, failed = len(found.rewards), found.reasons.total()
    rows: list[tuple[str, int | float]] = [("items", scored + failed), ("scored", scored)]
    if failed:
        rows.append(("without a reward", failed))
    yield page.section("Summary", page.table(("", ""), rows), page.search_box())
    if scored:
        named = [("reward", found.rewards), *found.components.items()]
        yield page.section("Rewards", page.charts(*(page.histogram(n, v) for n, v in named)))
        yield page.section("Reward against length", *_by_length(found))
    if failed:
        rows = [(reason, count) for reason, count in found.reasons.most_common()]
        shown = [sample(item) for items in found.failed.values() for item in items]
        yield page.section("Errors", page.table(("reason", "items"), rows), *shown)
    if scored:
        yield page.section("Lowest rewards", *_ordered(found.worst))
        yield page.section("Highest rewards", *_ordered(found.best))


def _by_length(found: Gathered) -> Iterator[str]:
    points = list(zip(map(float, found.lengths), found.rewards, strict=True))
    if len(points) > POINTS:
        points = random.Random(0).sample(points, POINTS)  # noqa: S311 - which points are drawn
    try:
        said = f"correlation {correlation(found.lengths, found.rewards):.2f}"
    except StatisticsError:
        said = "no correlation: one of them does not vary"
    yield page.charts(page.scatter(f"reward (up) by characters of the response; {said}", points))


def _ordered(heap: list[tuple[float, int, Item]]) -> Iterator[str]:
    for _, _, item in sorted(heap, key=lambda entry: (-entry[0], -entry[1])):
        yield sample(item)


def sample(item: Item, head: str = "") -> str:
    """An item that unfolds; `head` stands before what it says of itself."""
    outcome = item.outcome
    texts = [("prompt", item.prompt), ("response", item.response)]
    if isinstance(outcome, Score):
        said = f"{outcome.reward:g}"
        parts = ", ".join(f"{name} {value:g}" for name, value in outcome.components.items())
        texts += [("components", parts), ("read", outcome.answer)]
        texts.append(("explanation", outcome.explanation))
        mark = "soft"
    else:
        said, mark = outcome.reason.name, "bad"
        texts.append(("message", outcome.message))
    start = " ".join(item.response.split())[:100]
    title = " · ".join(part for part in (head or said, item.id, start) if part)
    return page.sample(title, mark, ((name, _shortened(text)) for name, text in texts))


def _shortened(text: str) -> str:
    if len(text) <= MAX_TEXT_CHARS:
        return text
    half = MAX_TEXT_CHARS // 2
    return f"{text[:half]}\n… {len(text) - 2 * half:,} characters …\n{text[-half:]}"
