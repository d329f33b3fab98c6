"""Who is compared with whom in a group, and what the comparisons are worth. Plain numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

ANCHOR = -1
"""Stands for the reference answer among the indices of responses."""
LEAST = 1e-6
"""The probability that is told from none: log odds stay finite."""


@dataclass(slots=True, frozen=True)
class Compared:
    """One comparison: the log odds that response `i` is better than `j`, over both seats.

    `order_gap` is how far apart the two seats were, as log odds; 0 with one seat.
    """

    i: int
    j: int
    log_odds: float
    order_gap: float = 0.0

    @property
    def wins(self) -> float:
        """The probability that `i` is better."""
        return sigmoid(self.log_odds)


def all_pairs(count: int) -> list[tuple[int, int]]:
    """Everyone with everyone."""
    return [(i, j) for i in range(count) for j in range(i + 1, count)]


def ring(count: int, meets: int) -> list[tuple[int, int]]:
    """Everyone with the `meets` / 2 before and after, in a circle; all where that is all."""
    if meets >= count - 1:
        return all_pairs(count)
    steps = range(1, meets // 2 + 1)
    pairs = {tuple(sorted((i, (i + step) % count))) for step in steps for i in range(count)}
    return sorted((pair[0], pair[1]) for pair in pairs)


def chunks(count: int, size: int) -> list[tuple[int, int]]:
    """Everyone with everyone of the same chunk. Sizes differ by 1 at most, so nobody is alone."""
    number = max(1, count // size)
    bounds = [count * index // number for index in range(number + 1)]
    return [
        (i, j)
        for begin, end in pairwise(bounds)
        for i in range(begin, end)
        for j in range(i + 1, end)
    ]


def anchored(count: int) -> list[tuple[int, int]]:
    """Everyone with the reference answer."""
    return [(i, ANCHOR) for i in range(count)]


def log_odds(first: float, second: float) -> float:
    """The logarithm of the odds of two probabilities, neither below `LEAST`."""
    return math.log(max(first, LEAST)) - math.log(max(second, LEAST))


def both_seats(i: int, j: int, first: float, second: float) -> Compared:
    """From the log odds for the first seat, of `i` in it and of `j` in it."""
    return Compared(i, j, (first - second) / 2, abs(first + second))


def sigmoid(x: float) -> float:
    """The probability of log odds."""
    if x >= 0:
        return 1 / (1 + math.exp(-x))
    return math.exp(x) / (1 + math.exp(x))


def mean_wins(count: int, made: Sequence[Compared]) -> list[float | None]:
    """The mean probability to be better, of each response; None where it was not compared."""
    wins: list[list[float]] = [[] for _ in range(count)]
    for one in made:
        wins[one.i].append(one.wins)
        if one.j != ANCHOR:
            wins[one.j].append(1 - one.wins)
    return [math.fsum(each) / len(each) if each else None for each in wins]
