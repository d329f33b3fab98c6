"""The strengths of Bradley and Terry behind comparisons of pairs.

Imports numpy, which takes a tenth of a second: import it where it is used.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .pairs import ANCHOR, Compared

_STEPS = 50
_TOLERANCE = 1e-7
_SMALLEST_STEP = 2.0**-20
_LEAST_WEIGHT = 1e-12
_MAX_DENSE = 1_024
"""Players whose weights are held as one matrix, of 8 MiB at most."""

_Values = NDArray[np.float64]
_Places = NDArray[np.intp]


def bradley_terry(count: int, made: Sequence[Compared]) -> list[float | None]:
    """The strength of each of `count` responses as log odds; None where it cannot be told.

    The strengths under which the comparisons are likeliest (Bradley and Terry, 1952), by Newton's
    method, which a long ring does not slow down as it does sweeps. Their mean is 0 or, where there
    is a reference answer, its own strength is. Only differences mean anything, so responses that no
    chain of comparisons connects with the most others have none.
    """
    players = [*range(count), *([ANCHOR] if any(one.j == ANCHOR for one in made) else [])]
    among = _most_connected(players, made)
    if not among:
        return [None] * count
    among.sort(key=lambda player: (player == ANCHOR, player))  # whom all met comes last
    place = {player: index for index, player in enumerate(among)}
    met = _Met(len(among), [one for one in made if one.i in place], place)
    strength = met.likeliest()
    zero = strength[-1] if among[-1] == ANCHOR else strength.mean()
    found: list[float | None] = [None] * count
    for player, value in zip(among, strength - zero, strict=True):
        if player != ANCHOR:
            found[player] = float(value)
    return found


class _Met:
    """Comparisons of `n` players who are all connected, by their places."""

    def __init__(self, n: int, made: Sequence[Compared], place: dict[int, int]) -> None:
        self.n = n
        self.i: _Places = np.array([place[one.i] for one in made], np.intp)
        self.j: _Places = np.array([place[one.j] for one in made], np.intp)
        self.odds: _Values = np.array([one.log_odds for one in made])
        self.wins, _ = _shares(self.odds)

    def likeliest(self) -> _Values:
        """The strengths that make the comparisons likeliest, up to a constant."""
        # Where the comparisons agree with each other, these are the strengths already.
        strength = self._solved(np.ones(len(self.odds)), self.odds)
        for _ in range(_STEPS):
            wins, spread = _shares(strength[self.i] - strength[self.j])
            step = self._solved(np.maximum(spread, _LEAST_WEIGHT), self.wins - wins)
            strength, moved = self._stepped(strength, step)
            if moved < _TOLERANCE:
                break
        return strength

    def _stepped(self, at: _Values, step: _Values) -> tuple[_Values, float]:
        """The strengths after the step, or as large a part of it as makes them likelier."""
        now, part = self._loss(at), 1.0
        while part >= _SMALLEST_STEP:
            there = at + part * step
            if self._loss(there) <= now:
                return there, float(np.abs(part * step).max())
            part /= 2
        return at, 0.0

    def _loss(self, at: _Values) -> float:
        """How unlikely the comparisons are."""
        gap = at[self.i] - at[self.j]
        loss = np.log1p(np.exp(-np.abs(gap))) + np.maximum(gap, 0.0) - self.wins * gap
        return float(loss.sum())

    def _solved(self, weight: _Values, force: _Values) -> _Values:
        """The potentials, with mean 0, whose differences, weighted, make the forces.

        One player after the other is left out, and those that he met are joined in his place: in a
        ring each has four. It adds and never subtracts, so that nothing is lost to rounding.
        """
        pulls: _Values = np.zeros(self.n)
        np.add.at(pulls, self.i, force)
        np.subtract.at(pulls, self.j, force)
        found = self._dense(weight, pulls) if self.n <= _MAX_DENSE else self._sparse(weight, pulls)
        return found - found.mean()

    def _dense(self, weight: _Values, pulls: _Values) -> _Values:
        met = np.zeros((self.n, self.n))
        np.add.at(met, (self.i, self.j), weight)
        met += met.T
        left: list[tuple[_Places, _Values]] = []
        for index in range(self.n - 1):
            row = met[index, index + 1 :]
            (rivals,) = row.nonzero()
            share = row[rivals] / row[rivals].sum()
            rest = met[index + 1 :, index + 1 :]
            if 2 * len(rivals) > len(row):  # without the detour over places
                rest += np.outer(row, row / row[rivals].sum())
            else:
                rest[np.ix_(rivals, rivals)] += np.outer(row[rivals], share)
            rivals += index + 1
            pulls[rivals] += pulls[index] * share
            pulls[index] /= row.sum()
            left.append((rivals, share))
        return _put_back(pulls, left)

    def _sparse(self, weight: _Values, pulls: _Values) -> _Values:
        met: list[dict[int, float]] = [{} for _ in range(self.n)]

        def join(one: int, other: int, by: float) -> None:
            low, high = min(one, other), max(one, other)
            met[low][high] = met[low].get(high, 0.0) + by

        for i, j, by in zip(self.i.tolist(), self.j.tolist(), weight.tolist(), strict=True):
            join(i, j, by)
        left: list[tuple[_Places, _Values]] = []
        for index in range(self.n - 1):
            rivals = [*met[index].items()]
            total = sum(by for _rival, by in rivals)
            for at, (one, by) in enumerate(rivals):
                for other, second in rivals[at + 1 :]:
                    join(one, other, by * second / total)
            places: _Places = np.array([rival for rival, _by in rivals], np.intp)
            share: _Values = np.array([by / total for _rival, by in rivals])
            pulls[places] += pulls[index] * share
            pulls[index] /= total
            left.append((places, share))
        return _put_back(pulls, left)


def _put_back(pulls: _Values, left: Sequence[tuple[_Places, _Values]]) -> _Values:
    """The potentials, from the last player back to the first that was left out."""
    found: _Values = np.zeros(len(pulls))
    for index in range(len(left) - 1, -1, -1):
        places, share = left[index]
        found[index] = pulls[index] + share @ found[places]
    return found


def _shares(odds: _Values) -> tuple[_Values, _Values]:
    """The probabilities of log odds, and each times its complement."""
    small: _Values = np.exp(-np.abs(odds))
    wins: _Values = np.where(odds >= 0, 1.0, small) / (1.0 + small)
    return wins, small / (1.0 + small) ** 2


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
