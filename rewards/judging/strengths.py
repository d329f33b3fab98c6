"""The strengths of Bradley and Terry behind comparisons of pairs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from .pairs import ANCHOR, Compared, sigmoid

_STEPS = 50
_TOLERANCE = 1e-7
_SMALLEST_STEP = 2.0**-20

_Vector = dict[int, float]
_Edges = Sequence[tuple[int, int, float]]
"""Two players, and how much their comparison weighs."""


def bradley_terry(count: int, made: Sequence[Compared]) -> list[float | None]:
    """The strength of each of `count` responses as log odds; None where it cannot be told.

    The strengths under which the comparisons are likeliest (Bradley and Terry, 1952), by Newton's
    method: each step takes about as long as the comparisons are many times the longest chain of
    them, also where a long ring is slow to settle by sweeps. Their mean is 0 or, where there is a
    reference answer, its own strength is. Only differences mean anything, so responses that no
    chain of comparisons connects with the most others have none.
    """
    players = [*range(count), *([ANCHOR] if any(one.j == ANCHOR for one in made) else [])]
    among = set(_most_connected(players, made))
    made = [one for one in made if one.i in among]
    # Where the comparisons agree with each other, these are the strengths already.
    strength = _solved([(one.i, one.j, 1.0) for one in made], _pulls(made, lambda c: c.log_odds))
    for _ in range(_STEPS):

        def surprise(one: Compared, at: Mapping[int, float] = strength) -> float:
            return one.wins - sigmoid(at[one.i] - at[one.j])

        edges = [(one.i, one.j, _weight(strength[one.i] - strength[one.j])) for one in made]
        step = _solved(edges, _pulls(made, surprise))
        strength, moved = _stepped(made, strength, step)
        if moved < _TOLERANCE:
            break
    zero = strength[ANCHOR] if ANCHOR in strength else _mean(strength)
    return [strength[i] - zero if i in strength else None for i in range(count)]


def _stepped(made: Sequence[Compared], at: _Vector, step: _Vector) -> tuple[_Vector, float]:
    """The strengths after the step, or as large a part of it as makes the comparisons likelier."""
    now, part = _loss(made, at), 1.0
    while part >= _SMALLEST_STEP:
        there = {player: at[player] + part * step[player] for player in at}
        if _loss(made, there) <= now:
            return there, max((abs(part * value) for value in step.values()), default=0.0)
        part /= 2
    return at, 0.0


def _loss(made: Sequence[Compared], at: Mapping[int, float]) -> float:
    """How unlikely the comparisons are."""
    return math.fsum(
        math.log1p(math.exp(-abs(gap))) + max(gap, 0.0) - one.wins * gap
        for one in made
        for gap in (at[one.i] - at[one.j],)
    )


def _weight(gap: float) -> float:
    wins = sigmoid(gap)
    return max(wins * (1.0 - wins), 1e-12)


def _pulls(made: Sequence[Compared], force: Callable[[Compared], float]) -> _Vector:
    pulls: _Vector = {}
    for one in made:
        by = force(one)
        pulls[one.i] = pulls.get(one.i, 0.0) + by
        pulls[one.j] = pulls.get(one.j, 0.0) - by
    return pulls


def _solved(edges: _Edges, want: _Vector) -> _Vector:
    """The potentials, with mean 0, whose differences over the edges make `want`.

    The equations are those of a connected graph's Laplacian, so conjugate gradients need as many
    steps as there are players, at most.
    """
    degree = dict.fromkeys(want, 0.0)
    for i, j, weight in edges:
        degree[i] += weight
        degree[j] += weight
    found = dict.fromkeys(want, 0.0)
    left = dict(want)
    scaled = {k: left[k] / degree[k] for k in left}
    ahead = dict(scaled)
    rest = _product(left, scaled)
    enough = rest * 1e-16
    for _ in range(2 * len(want)):
        if rest <= enough:
            break
        image = dict.fromkeys(want, 0.0)
        for i, j, weight in edges:
            flow = weight * (ahead[i] - ahead[j])
            image[i] += flow
            image[j] -= flow
        curve = _product(ahead, image)
        if curve <= 0.0:
            break
        far = rest / curve
        for k in found:
            found[k] += far * ahead[k]
            left[k] -= far * image[k]
            scaled[k] = left[k] / degree[k]
        before, rest = rest, _product(left, scaled)
        for k in ahead:
            ahead[k] = scaled[k] + rest / before * ahead[k]
    mean = _mean(found)
    return {k: value - mean for k, value in found.items()}


def _product(a: _Vector, b: _Vector) -> float:
    return math.fsum(a[k] * b[k] for k in a)


def _mean(values: _Vector) -> float:
    return math.fsum(values.values()) / len(values) if values else 0.0


def _most_connected(players: Sequence[int], made: Sequence[Compared]) -> list[int]:
    rivals: dict[int, list[int]] = {player: [] for player in players}
    for one in made:
        rivals[one.i].append(one.j)
        rivals[one.j].append(one.i)
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
