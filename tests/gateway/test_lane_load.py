"""What a lane takes an item's cost for: few items say little, and a new cost is soon known."""

from __future__ import annotations

import random
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rewardplane.gateway.lane_load import learnt

GUESS_S = 0.001
COSTS = st.floats(1e-6, 1e3)


@pytest.mark.parametrize("job", [1, 2, 10])
def test_a_busy_host_does_not_make_a_reward_dear(job: int) -> None:
    """A tenth of the items is held up for eight times its cost."""
    chance = random.Random(7)
    item_s, measured, known = GUESS_S, 0, list[float]()
    for _ in range(2000):
        took = [0.005 * (8 if chance.random() < 0.1 else 1) for _ in range(job)]
        item_s = learnt(item_s, measured, mean(took), job)
        measured += job
        known.append(item_s)
    due_s = 0.005 * (0.9 + 0.1 * 8)
    settled = known[100:]
    assert mean(settled) == pytest.approx(due_s, rel=0.1)
    assert max(settled) < 2.5 * due_s


@pytest.mark.parametrize("before_s", [1e-5, 1e-3, 10.0])
@pytest.mark.parametrize("after_s", [1e-5, 1e-3, 1.0])
def test_another_cost_is_soon_known(before_s: float, after_s: float) -> None:
    item_s = before_s
    for _ in range(400):
        item_s = learnt(item_s, 10_000, after_s, 1)
    assert item_s == pytest.approx(after_s, rel=0.05)


def test_a_dear_reward_is_known_by_its_first_items() -> None:
    item_s = GUESS_S
    for measured in range(8):
        item_s = learnt(item_s, measured, 2.0, 1)
    assert item_s > 1.0


@given(COSTS, st.integers(0, 10**6), COSTS, st.integers(1, 10**5))
def test_it_lies_between_what_was_known_and_what_was_measured(
    item_s: float, measured: int, mean_s: float, items: int
) -> None:
    after_s = learnt(item_s, measured, mean_s, items)
    assert min(item_s, mean_s) * 0.999 <= after_s <= max(item_s, mean_s) * 1.001
