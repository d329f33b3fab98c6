"""Designs of tournaments, and strengths from comparisons."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rewardplane.rewards.judging import pairs
from rewardplane.rewards.judging.pairs import ANCHOR, Compared

SIZES = st.integers(2, 40)


@settings(deadline=None)
@given(SIZES, st.sampled_from([2, 4, 6, 64]))
def test_a_ring_is_fair_and_connected(count: int, meets: int) -> None:
    found = pairs.ring(count, meets)
    assert len(set(found)) == len(found)
    assert all(0 <= i < j < count for i, j in found)
    met = Counter(index for pair in found for index in pair)
    assert set(met.values()) == {min(meets, count - 1)}
    values = pairs.bradley_terry(count, [Compared(i, j, 0.5) for i, j in found])
    assert None not in values


@given(SIZES, st.integers(2, 9))
def test_nobody_is_alone_in_a_chunk(count: int, size: int) -> None:
    met = Counter(index for pair in pairs.chunks(count, size) for index in pair)
    assert sorted(met) == list(range(count))
    assert max(met.values()) <= 2 * size


@given(SIZES)
def test_all_and_anchor(count: int) -> None:
    assert len(pairs.all_pairs(count)) == count * (count - 1) // 2
    assert pairs.anchored(count) == [(i, ANCHOR) for i in range(count)]


@given(st.lists(st.floats(-3, 3), min_size=2, max_size=8))
def test_bradley_terry_finds_the_strengths_behind_comparisons(
    strengths: list[float],
) -> None:
    made = [Compared(i, j, strengths[i] - strengths[j]) for i, j in pairs.all_pairs(len(strengths))]
    mean = math.fsum(strengths) / len(strengths)
    want = [strength - mean for strength in strengths]
    assert pairs.bradley_terry(len(strengths), made) == pytest.approx(want, abs=1e-4)


def test_with_an_anchor_strengths_are_measured_from_it() -> None:
    made = [Compared(0, ANCHOR, 1.0), Compared(1, ANCHOR, -2.0)]
    assert pairs.bradley_terry(2, made) == pytest.approx([1.0, -2.0], abs=1e-6)
    assert pairs.mean_wins(2, made) == pytest.approx([pairs.sigmoid(1.0), pairs.sigmoid(-2.0)])


def test_who_is_connected_with_nobody_has_no_strength() -> None:
    made = [Compared(0, 1, 1.0), Compared(1, 2, 1.0), Compared(3, 4, 1.0)]
    values = pairs.bradley_terry(6, made)
    assert [value is None for value in values] == [False] * 3 + [True] * 3
    assert pairs.mean_wins(6, made)[5] is None


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_preference_for_a_seat_cancels(a: float, b: float) -> None:
    # Whatever is shown, the judge says the same of its first seat.
    odds = pairs.log_odds(a, b)
    compared = pairs.both_seats(0, 1, odds, odds)
    assert compared.wins == 0.5
    assert compared.order_gap == pytest.approx(2 * abs(odds))
    assert math.isfinite(compared.order_gap)


DESIGNS = {"all": pairs.all_pairs, "ring": lambda n: pairs.ring(n, 4), "anchor": pairs.anchored}


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize(("count", "spread"), [(2, 1), (8, 6), (16, 14), (64, 1), (64, 6)])
def test_strengths_are_the_likeliest_ones(design: str, count: int, spread: float) -> None:
    """Each wins as often as its strength says: the condition of the maximum, and the only one."""
    rng = random.Random(count)
    true = [*(rng.gauss(0, spread) for _ in range(count)), 0.0]  # the last one is the anchor's
    made = [
        Compared(i, j, max(-13.8, min(13.8, true[i] - true[j] + rng.gauss(0, 0.7))))
        for i, j in DESIGNS[design](count)
    ]
    found = [*pairs.bradley_terry(count, made), 0.0]
    strengths = [x for x in found if x is not None]
    assert len(strengths) == count + 1
    left = [0.0] * (count + 1)
    for one in made:
        missing = one.wins - pairs.sigmoid(strengths[one.i] - strengths[one.j])
        left[one.i] += missing
        left[one.j] -= missing
    assert max(map(abs, left)) < 1e-9
    if design != "anchor":
        assert math.fsum(strengths) == pytest.approx(0.0, abs=1e-9)
