"""Strengths from comparisons."""

from __future__ import annotations

import math
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rewardplane.rewards.judging import pairs
from rewardplane.rewards.judging import strengths as strengths_module
from rewardplane.rewards.judging.pairs import ANCHOR, Compared
from rewardplane.rewards.judging.strengths import bradley_terry


def centred(values: list[float]) -> list[float]:
    mean = math.fsum(values) / len(values)
    return [value - mean for value in values]


@settings(deadline=None)
@given(st.lists(st.floats(-6, 6), min_size=2, max_size=24), st.sampled_from([2, 4, 64]))
def test_it_finds_the_strengths_behind_comparisons(strengths: list[float], meets: int) -> None:
    met = pairs.ring(len(strengths), meets)
    made = [Compared(i, j, strengths[i] - strengths[j]) for i, j in met]
    assert bradley_terry(len(strengths), made) == pytest.approx(centred(strengths), abs=1e-6)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(-13.8, 13.8), min_size=1, max_size=60), st.randoms())
def test_no_strengths_are_likelier(odds: list[float], rng: random.Random) -> None:
    # At the most likely strengths, each response wins as often as they say that it would.
    met = [tuple(sorted(rng.sample(range(12), 2))) for _ in odds]
    made = [Compared(i, j, one) for (i, j), one in zip(met, odds, strict=True)]
    found = bradley_terry(12, made)
    for player, strength in enumerate(found):
        mine = [one for one in made if player in (one.i, one.j)]
        if strength is None:
            continue
        won = math.fsum(one.wins if one.i == player else 1 - one.wins for one in mine)
        rivals = [found[one.j if one.i == player else one.i] for one in mine]
        assert None not in rivals
        want = math.fsum(pairs.sigmoid(strength - (rival or 0.0)) for rival in rivals)
        assert won == pytest.approx(want, abs=1e-5)


@pytest.mark.parametrize(("count", "meets"), [(256, 4), (1_024, 2), (1_025, 2), (3_000, 4)])
def test_a_long_ring_settles(count: int, meets: int) -> None:
    # By sweeps over its members, a thousand are far from enough.
    rng = random.Random(1)
    strengths = [rng.uniform(-3, 3) for _ in range(count)]
    made = [Compared(i, j, strengths[i] - strengths[j]) for i, j in pairs.ring(count, meets)]
    assert bradley_terry(count, made) == pytest.approx(centred(strengths), abs=1e-5)


@pytest.mark.parametrize("noise", [0.0, 3.0, 12.0])
def test_a_large_group_in_which_all_met_takes_no_time(noise: float) -> None:
    """Of comparisons that contradict each other too, and are all but certain."""
    rng = random.Random(2)
    strengths = [rng.uniform(-3, 3) for _ in range(256)]
    made = [
        Compared(i, j, strengths[i] - strengths[j] + rng.uniform(-noise, noise))
        for i, j in pairs.all_pairs(256)
    ]
    begin_s = time.process_time()
    found = bradley_terry(256, made)
    assert time.process_time() - begin_s < 2.0
    if not noise:
        assert found == pytest.approx(centred(strengths), abs=1e-6)
    told = [0.0 if value is None else value for value in found]
    for player, strength in enumerate(told):
        won = want = 0.0
        for one in made:
            if player in (one.i, one.j):
                other = told[one.j if one.i == player else one.i]
                won += one.wins if one.i == player else 1 - one.wins
                want += pairs.sigmoid(strength - other)
        assert won == pytest.approx(want, abs=1e-5)


def test_both_ways_to_solve_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(3)
    made = [Compared(i, j, rng.uniform(-13.8, 13.8)) for i, j in pairs.ring(60, 6)]
    made += [Compared(i, ANCHOR, rng.uniform(-3, 3)) for i in range(0, 60, 7)]
    dense = bradley_terry(60, made)
    monkeypatch.setattr(strengths_module, "_MAX_DENSE", 0)
    assert bradley_terry(60, made) == pytest.approx(dense, abs=1e-6)


def test_with_an_anchor_strengths_are_measured_from_it() -> None:
    made = [Compared(0, ANCHOR, 1.0), Compared(1, ANCHOR, -2.0)]
    assert bradley_terry(2, made) == pytest.approx([1.0, -2.0], abs=1e-6)
    assert pairs.mean_wins(2, made) == pytest.approx([pairs.sigmoid(1.0), pairs.sigmoid(-2.0)])


def test_who_is_connected_with_nobody_has_no_strength() -> None:
    made = [Compared(0, 1, 1.0), Compared(1, 2, 1.0), Compared(3, 4, 1.0)]
    values = bradley_terry(6, made)
    assert [value is None for value in values] == [False] * 3 + [True] * 3
    assert pairs.mean_wins(6, made)[5] is None


def test_no_comparison_at_all() -> None:
    assert bradley_terry(3, []) == [None, None, None]
