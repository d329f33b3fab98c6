"""Who is compared with whom in a group, and what the comparisons are worth. Plain numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

ANCHOR = -1
"""Stands for the reference answer among the indices of responses."""
LEAST = 1e-6
"""The probability that is told from none: log odds stay finite."""
_STEPS = 200
_FLATTEST = 1e-7
_NEAR = 1e-3
"""Below this gain of the likelihood a whole step is better than none, whatever rounding says."""
_ENOUGH = 1e-20
_SMALLEST = 1e-9


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


def bradley_terry(count: int, made: Sequence[Compared]) -> list[float | None]:
    """The strength of each response as log odds; None where it cannot be told.

    The strengths under which the comparisons are likeliest. Their mean is 0 or, where there is a
    reference answer, its own strength is. Only differences mean anything, so responses that no
    chain of comparisons connects with the most others have none.
    """
    players = [*range(count), *([ANCHOR] if any(one.j == ANCHOR for one in made) else [])]
    rivals: dict[int, set[int]] = {player: set() for player in players}
    for one in made:
        rivals[one.i].add(one.j)
        rivals[one.j].add(one.i)
    among = _most_connected(players, rivals)
    among.sort(key=lambda player: (player == ANCHOR, player))
    seat = {player: index for index, player in enumerate(among)}
    found = _likeliest(
        len(among), [(seat[one.i], seat[one.j], one.wins) for one in made if one.i in seat]
    )
    strength = dict(zip(among, found, strict=True))
    zero = strength.get(ANCHOR, math.fsum(found) / max(1, len(found)))
    return [strength[i] - zero if i in strength else None for i in range(count)]


def _likeliest(count: int, met: Sequence[tuple[int, int, float]]) -> list[float]:
    """Strengths of `count` players from (one, other, the share of wins of the one).

    By Newton's method: the likelihood has one maximum. Sweeps over the players one by one take
    hundreds of rounds in a ring of a few dozen, and end far from it in a larger one.
    """
    strengths = [0.0] * count
    for _ in range(_STEPS):
        slopes = [0.0] * count
        curves: list[dict[int, float]] = [{} for _ in range(count)]
        for one, other, wins in met:
            share = sigmoid(strengths[one] - strengths[other])
            slopes[one] += wins - share
            slopes[other] -= wins - share
            # Where a comparison is decided beyond doubt the curve is flat: a step has no end.
            first, second = min(one, other), max(one, other)
            curve = max(share * (1 - share), _FLATTEST)
            curves[first][second] = curves[first].get(second, 0.0) + curve
        step = _solved(curves, slopes)
        gain = math.fsum(slope * moved for slope, moved in zip(slopes, step, strict=True))
        size = 1.0
        if gain > _NEAR:
            before = _likelihood(strengths, met)
            while size > _SMALLEST and _likelihood(_moved(strengths, step, size), met) <= before:
                size /= 2
        strengths = _moved(strengths, step, size)
        if gain < _ENOUGH:
            break
    return strengths


def _moved(strengths: Sequence[float], step: Sequence[float], size: float) -> list[float]:
    return [x + size * dx for x, dx in zip(strengths, step, strict=True)]


def _likelihood(strengths: Sequence[float], met: Sequence[tuple[int, int, float]]) -> float:
    """The logarithm of it."""
    total = 0.0
    for one, other, wins in met:
        odds = strengths[one] - strengths[other]
        total += wins * odds - (max(odds, 0.0) + math.log1p(math.exp(-abs(odds))))
    return total


def _solved(curves: list[dict[int, float]], slopes: Sequence[float]) -> list[float]:
    """The step to where the slopes are 0, if the curves stay as they are; the last one's is 0.

    `curves[i]` holds those with players after `i`. One player after the other is left out, and
    those that he met are joined in his place: in a ring that is four pairs each time. It adds and
    never subtracts, so that nothing is lost to rounding.
    """
    count = len(slopes)
    flows = [*slopes]
    for player in range(count - 1):
        met = [*curves[player].items()]
        total = sum(curve for _, curve in met)
        for at, (one, curve) in enumerate(met):
            flows[one] += flows[player] * curve / total
            for other, second in met[at + 1 :]:
                low, high = min(one, other), max(one, other)
                curves[low][high] = curves[low].get(high, 0.0) + curve * second / total
    step = [0.0] * count
    for player in range(count - 2, -1, -1):
        total = sum(curves[player].values())
        reached = sum(curve * step[one] for one, curve in curves[player].items())
        step[player] = (flows[player] + reached) / total
    return step


def _most_connected(players: Sequence[int], rivals: Mapping[int, set[int]]) -> list[int]:
    seen: set[int] = set()
    best: list[int] = []
    for player in players:
        if player in seen or not rivals[player]:
            continue
        seen.add(player)
        found, ahead = [player], [player]
        while ahead:
            for rival in rivals[ahead.pop()]:
                if rival not in seen:
                    seen.add(rival)
                    found.append(rival)
                    ahead.append(rival)
        if len(found) > len(best):
            best = found
    return best
