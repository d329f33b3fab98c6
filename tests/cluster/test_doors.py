"""Doors that share an endpoint's limits, and weights that were written over; without Ray."""

from __future__ import annotations

import asyncio
import random
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


def test_an_actor_started_anew_gives_no_more_than_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s = [100.0]
    monkeypatch.setattr(doors_module.time, "monotonic", lambda: now_s[0])
    lower, third = DoorLimits(6, 300.0, None), DoorLimits(2, 100.0, None, 3)
    doors = Doors(anew=True)  # which before had the doors a, b and c
    assert doors.share("m", "new", OWN) is None, "it knows of none, but there may be some"
    for _ in range(2):
        for name in ("a", "b"):
            assert doors.share("m", name, OWN, has=third) is None, "it keeps what it has"
        assert doors.share("m", "new", OWN) is None
        now_s[0] += 0.4 * doors_module.STALE_S
    assert doors.share("m", "c", lower, has=third) is None
    assert doors.share("m", "new", OWN) is None
    now_s[0] += 0.3 * doors_module.STALE_S
    assert doors.share("m", "new", OWN) is None, "the others have not made room"
    fourth = DoorLimits(1, 75.0, None, 4)
    larger = fourth._replace(concurrency=2)
    assert doors.share("m", "a", OWN, has=third) == larger
    assert doors.share("m", "b", OWN, has=third) == fourth
    assert doors.share("m", "new", OWN) is None
    assert doors.share("m", "c", lower, has=third) == fourth
    assert doors.share("m", "new", OWN) is None, "nobody said that it keeps to its new part"
    for name, part in (("a", larger), ("b", fourth), ("c", fourth)):
        assert doors.share("m", name, OWN if name != "c" else lower, has=part) == part
    assert doors.share("m", "new", OWN) == larger
    doors.leave("m", "c")
    assert doors.share("m", "a", OWN, has=larger) == DoorLimits(21, 1_000.0, None, 3)


def test_after_a_restart_the_part_of_one_that_is_gone_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s = [100.0]
    monkeypatch.setattr(doors_module.time, "monotonic", lambda: now_s[0])
    doors = Doors(anew=True)
    half = DoorLimits(32, 1_500.0, None, 2)
    assert doors.share("m", "a", OWN, has=half) is None
    now_s[0] += 0.9 * doors_module.STALE_S
    assert doors.share("m", "a", OWN, has=half) is None
    now_s[0] += 0.2 * doors_module.STALE_S
    assert doors.share("m", "a", OWN, has=half) == OWN
    assert Doors().share("m", "a", OWN) == OWN, "and a first one need not wait"


def test_the_first_model_of_a_version_count() -> None:
    doors = Doors()
    assert doors.first_model("one", "x") == "x"
    assert doors.first_model("one", "y") == "x"
    assert doors.first_model("two", "y") == "y"


class Door:
    """A replica's door: asks like one, begins what it may, and takes its time for each call."""

    def __init__(self, doors: Doors, name: str, own: DoorLimits) -> None:
        self.doors, self.name, self.own = doors, name, own
        self.has: DoorLimits | None = None
        self.ends: list[float] = []
        self.done = 0
        self.waits = False

    def ask(self) -> Any:
        """Asks; the answer comes when what is returned is called."""
        told = self.doors.share("m", self.name, self.own, has=self.has, in_flight=len(self.ends))
        self.waits = True

        def take() -> None:
            self.waits = False
            self.has = told or self.has

        return take

    def work(self, now_s: float, call_s: float) -> None:
        """Ends calls, and begins as many as it may."""
        self.done += sum(end <= now_s for end in self.ends)
        self.ends = [end for end in self.ends if end > now_s]
        places = self.has.concurrency if self.has is not None else 0
        self.ends += [now_s + call_s] * max(0, places - len(self.ends))


@pytest.mark.parametrize("most", [1, 2, 3, 7, 64])
@pytest.mark.parametrize("call_s", [0.05, 0.7, 4.0])
def test_calls_at_once_are_never_more_than_the_limit(
    monkeypatch: pytest.MonkeyPatch, most: int, call_s: float
) -> None:
    """Whatever the doors are at, and with fewer places than doors: each has its turn."""
    rng, now_s = random.Random(most), [100.0]
    monkeypatch.setattr(doors_module.time, "monotonic", lambda: now_s[0])
    doors = Doors()
    own = DoorLimits(most, None, None)
    here = {name: Door(doors, name, own) for name in "a"}
    answers: list[tuple[float, Any]] = []
    served: list[int] = []
    for tick in range(3_000):
        now_s[0] += 0.05
        if tick in (200, 400, 600):
            name = "abcd"[len(here)]
            here[name] = Door(doors, name, own)
        asking = [d for d in here.values() if not d.waits and rng.random() < 0.3]
        answers += [(now_s[0] + rng.choice((0.0, 0.04, 0.3)), door.ask()) for door in asking]
        for at in [one for one in answers if one[0] <= now_s[0]]:
            at[1]()
            answers.remove(at)
        for door in here.values():
            door.work(now_s[0], call_s)
        assert sum(len(door.ends) for door in here.values()) <= most
        served.append(sum(door.done for door in here.values()))
    assert min(door.done for door in here.values()) > 0.1 * max(d.done for d in here.values())
    assert served[-1] > 0.2 * 150 * most / call_s, "and little is left unused"
    # Whoever has left is not waited for.
    for name in ("a", "b", "c"):
        doors.leave("m", name)
    left = here["d"]
    for _ in range(3):
        left.ask()()
    assert left.has == own


def test_one_that_was_stopped_for_long_comes_back_like_a_new_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    doors, now_s = Doors(), [0.0]
    monkeypatch.setattr(doors_module.time, "monotonic", lambda: now_s[0])
    half = DoorLimits(32, 1_500.0, None, 2)
    doors.share("m", "a", OWN)
    doors.share("m", "b", OWN)
    assert doors.share("m", "a", OWN, has=OWN) == half
    assert doors.share("m", "a", OWN, has=half) == half
    assert doors.share("m", "b", OWN) == half
    for _ in range(4):
        now_s[0] += 0.4 * doors_module.STALE_S
        doors.share("m", "b", OWN, has=half)
    assert doors.share("m", "b", OWN, has=half) == OWN, "the other one is gone"
    closed = half._replace(concurrency=0)
    assert doors.share("m", "a", OWN, has=half, in_flight=3) == closed
    assert doors.share("m", "b", OWN, has=OWN) == half
    assert doors.share("m", "a", OWN, has=closed, in_flight=3) == closed
    assert doors.share("m", "b", OWN, has=half) == half
    assert doors.share("m", "a", OWN, has=closed, in_flight=3) == half


async def test_a_gate_whose_lease_is_over_lets_nobody_through() -> None:
    loop = asyncio.get_running_loop()
    gate = Gate(8)
    gate.lease(loop.time() + 0.05)
    await gate.enter(0, loop.time() + 60)
    await asyncio.sleep(0.1)
    with pytest.raises(RateLimited, match="is not known"):
        await gate.enter(0, loop.time() + 0.05)
    late = asyncio.create_task(gate.enter(0, loop.time() + 60))
    await asyncio.sleep(0.05)
    assert not late.done()
    assert gate.in_flight == 1
    gate.lease(loop.time() + 60)
    async with asyncio.timeout(10):
        await late


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
