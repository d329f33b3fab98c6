"""Doors that share an endpoint's limits, and weights that were written over; without Ray."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from rewardplane.cluster import doors as doors_module
from rewardplane.cluster.doors import DoorLimits, Doors
from rewardplane.rewards.http.gate import Gate
from rewardplane.rewards.types import RateLimited

OWN = DoorLimits(64, 3_000.0, None)


def test_one_door_has_all() -> None:
    doors = Doors()
    assert doors.share("m", "a", OWN) == OWN
    assert doors.share("n", "b", DoorLimits(8, None, 600.0)) == DoorLimits(8, None, 600.0)


def test_a_second_one_opens_when_the_first_has_made_room() -> None:
    doors = Doors()
    doors.share("m", "a", OWN)
    lower = DoorLimits(100, 1_000.0, 60_000.0)
    assert doors.share("m", "b", lower) is None
    assert doors.share("m", "b", lower) is None, "the first has not asked since"
    half = DoorLimits(32, 500.0, 30_000.0, 2)
    assert doors.share("m", "a", OWN) == half
    assert doors.share("m", "b", lower) == half
    doors.leave("m", "a")
    assert doors.share("m", "b", lower) == lower


def test_a_third_one_waits_for_both() -> None:
    doors = Doors()
    for name in ("a", "b", "a", "b", "c", "a"):
        told = doors.share("m", name, OWN)
    assert told is not None
    assert doors.share("m", "c", OWN) is None
    assert doors.share("m", "b", OWN) == DoorLimits(21, 1_000.0, None, 3)
    assert doors.share("m", "c", OWN) == DoorLimits(21, 1_000.0, None, 3)


def test_one_that_does_not_ask_any_more_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    doors, now_s = Doors(), [0.0]
    monkeypatch.setattr(doors_module.time, "monotonic", lambda: now_s[0])
    doors.share("m", "a", OWN)
    assert doors.share("m", "b", OWN) is None
    now_s[0] = 1.5 * doors_module.STALE_S
    assert doors.share("m", "b", OWN) == OWN


def test_the_first_weights_of_a_version_count() -> None:
    doors = Doors()
    assert doors.first_weights("one", "x") == "x"
    assert doors.first_weights("one", "y") == "x"
    assert doors.first_weights("two", "y") == "y"


async def passed(gate: Gate, until_s: float) -> list[float]:
    """When calls got through."""
    loop, found = asyncio.get_running_loop(), list[float]()
    while True:
        try:
            await gate.enter(0, until_s)
        except RateLimited:
            return found
        found.append(loop.time())
        gate.leave()


async def test_two_gates_let_no_more_through_than_one_would(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A second one opens beside the first, which has its part taken off; then it has all."""
    loop: Any = asyncio.get_running_loop()
    begin_s = loop.time()
    first = Gate(8, 1_200.0)  # twenty at once, then twenty a second
    old = asyncio.create_task(passed(first, begin_s + 1.2))
    await asyncio.sleep(0.6)
    first.limit(8, 600.0, None, pays=1)
    second = Gate.beside(8, 600.0, None)
    new = asyncio.create_task(passed(second, begin_s + 1.8))
    ended = await old
    second.limit(8, 1_200.0, None)
    times = sorted([*ended, *await new])
    allowed = Gate(8, 1_200.0)._requests
    for index in range(len(times)):
        # In no stretch of time more than what one gate could have let through in it.
        for later in range(index, len(times)):
            most = allowed._burst + (times[later] - times[index]) * allowed._per_s
            assert later - index + 1 <= most + 1.01
