"""Designs of tournaments, and strengths from comparisons."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rewardplane.rewards.judging import pairs
from rewardplane.rewards.judging.pairs import ANCHOR, Compared
from rewardplane.rewards.judging.strengths import bradley_terry

SIZES = st.integers(2, 40)


@settings(deadline=None)
@given(SIZES, st.sampled_from([2, 4, 6, 64]))
def test_a_ring_is_fair_and_connected(count: int, meets: int) -> None:
    found = pairs.ring(count, meets)
    assert len(set(found)) == len(found)
    assert all(0 <= i < j < count for i, j in found)
    met = Counter(index for pair in found for index in pair)
    assert set(met.values()) == {min(meets, count - 1)}
    assert None not in bradley_terry(count, [Compared(i, j, 0.5) for i, j in found])


@given(SIZES, st.integers(2, 9))
def test_nobody_is_alone_in_a_chunk(count: int, size: int) -> None:
    met = Counter(index for pair in pairs.chunks(count, size) for index in pair)
    assert sorted(met) == list(range(count))
    assert max(met.values()) <= 2 * size


@given(SIZES)
def test_all_and_anchor(count: int) -> None:
    assert len(pairs.all_pairs(count)) == count * (count - 1) // 2
    assert pairs.anchored(count) == [(i, ANCHOR) for i in range(count)]


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_preference_for_a_seat_cancels(a: float, b: float) -> None:
    # Whatever is shown, the judge says the same of its first seat.
    odds = pairs.log_odds(a, b)
    compared = pairs.both_seats(0, 1, odds, odds)
    assert compared.wins == 0.5
    assert compared.order_gap == pytest.approx(2 * abs(odds))
    assert math.isfinite(compared.order_gap)
