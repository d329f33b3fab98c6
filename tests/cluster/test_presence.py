"""What a replica makes of a membership actor that fails, or is started anew; without Ray."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ray.exceptions import RayActorError
from rewardplane.cluster import presence as module
from rewardplane.cluster.doors import DoorLimits, Doors
from rewardplane.cluster.presence import Presence
from rewardplane.config.load import parse
from rewardplane.config.models import ModelConfig
from rewardplane.models.host import ModelHost
from rewardplane.rewards.models.endpoint_model import EndpointModel

from ..models.hosting import RM, STUB
from ..support.rig import FOLDER

ENDPOINT = {"runs": "endpoint", "base_url": "http://localhost:1/v1", "name": "x"}


class Membership:
    """The actor, as a handle shows it; `faults` are what its next answers are instead."""

    def __init__(self) -> None:
        self.doors = Doors()
        self.faults: list[Exception] = []
        self.asked: list[DoorLimits | None] = []
        self.share = self._remote(self._share)
        self.first_model = self._remote(self._first_model)
        self.close_door = self._remote(lambda *_: None)

    def _remote(self, call: Callable[..., Any]) -> Any:
        async def remote(*given: Any, **named: Any) -> Any:
            if self.faults:
                raise self.faults.pop()
            return call(*given, **named)

        return SimpleNamespace(remote=remote)

    def _share(
        self,
        model: str,
        replica: str,
        limits: DoorLimits,
        *,
        has: DoorLimits | None,
        in_flight: int,
    ) -> Any:
        self.asked.append(has)
        return self.doors.share(model, replica, limits, has=has, in_flight=in_flight)

    def _first_model(self, part: str, model: str) -> str:
        return self.doors.first_model(part, model)


class Endpoint:
    """The model of an endpoint, as far as its door is concerned."""

    def __init__(self) -> None:
        self.limits: list[Any] = []
        self.leased_s = 0.0
        self.in_flight = 0

    def limit(self, *limits: Any) -> None:
        self.limits.append(limits)

    def lease(self, until_s: float) -> None:
        self.leased_s = until_s


@pytest.fixture
def membership(monkeypatch: pytest.MonkeyPatch) -> Membership:
    """The actor of this cluster."""
    actor = Membership()
    context = SimpleNamespace(get_actor_id=lambda: "me")
    ray = SimpleNamespace(get_runtime_context=lambda: context, get_actor=lambda *_, **__: actor)
    monkeypatch.setattr(module, "ray", ray)
    for name in ("ASK_S", "WAIT_S", "TELL_S"):
        monkeypatch.setattr(module, name, 0.02)
    return actor


def model(given: dict[str, Any]) -> ModelConfig:
    kind = {"kind": "judge", "model": "m", "ask": "Good?"} if given is ENDPOINT else RM
    return parse({"models": {"m": given}, "rewards": {"it": kind}}, FOLDER).models["m"]


async def test_one_that_starts_waits_for_an_actor_that_comes_back(membership: Membership) -> None:
    membership.faults = [RayActorError() for _ in range(5)]
    presence, endpoint = Presence(model(ENDPOINT)), Endpoint()
    async with asyncio.timeout(20):
        await presence.opened()
    presence.attach(cast("EndpointModel", endpoint))
    assert endpoint.limits == [(256, None, None, 1)]
    await presence.leave()


async def test_one_that_starts_does_not_wait_for_ever(
    membership: Membership, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.1)
    membership.faults = [RayActorError() for _ in range(1_000)]
    async with asyncio.timeout(20):
        with pytest.raises(RayActorError):
            await Presence(model(ENDPOINT)).opened()


async def test_a_door_is_told_of_whatever_the_actor_says(membership: Membership) -> None:
    """One that asked no more would keep its part, and the others would take it too."""
    endpoint = Endpoint()
    presence = Presence(model(ENDPOINT))
    async with asyncio.timeout(20):
        await presence.opened()
        presence.attach(cast("EndpointModel", endpoint))
        membership.faults = [TypeError("odd"), RayActorError(), ValueError("odd")]
        before = len(membership.asked)
        while membership.faults or len(membership.asked) < before + 3:
            await asyncio.sleep(0.01)
        assert all(membership.asked[-2:]), "it has its part"
        membership.doors.share("m", "other", DoorLimits(2, None, None))
        while endpoint.limits[-1] == (256, None, None, 1):
            await asyncio.sleep(0.01)
        assert endpoint.limits[-1] == (1, None, None, 2)
        membership.doors = Doors(anew=True)
        before = len(membership.asked)
        while len(membership.asked) < before + 5:
            await asyncio.sleep(0.01)
        assert all(membership.asked[-3:])
    assert endpoint.limits[-1] == (1, None, None, 2)
    membership.faults = [RayActorError()]
    await presence.leave()


async def test_a_door_is_kept_while_its_model_starts(membership: Membership) -> None:
    """A start that takes long is not one that is gone; its part is there when it has started."""
    presence, endpoint = Presence(model(ENDPOINT)), Endpoint()
    async with asyncio.timeout(20):
        await presence.opened()
        before = len(membership.asked)
        while len(membership.asked) < before + 3:
            await asyncio.sleep(0.01)
        membership.doors.share("m", "other", DoorLimits(2, None, None))
        while membership.asked[-1] != DoorLimits(1, None, None, 2):
            await asyncio.sleep(0.01)
        presence.attach(cast("EndpointModel", endpoint))
        assert endpoint.limits == [(1, None, None, 2)]
        await presence.leave()


async def test_a_door_that_hears_nothing_lets_nothing_through(membership: Membership) -> None:
    """Others may have its part by then."""
    loop = asyncio.get_running_loop()
    presence, endpoint = Presence(model(ENDPOINT)), Endpoint()
    async with asyncio.timeout(20):
        await presence.opened()
        presence.attach(cast("EndpointModel", endpoint))
        first_s = endpoint.leased_s
        assert loop.time() < first_s <= loop.time() + module.LEASE_S
        while endpoint.leased_s == first_s:
            await asyncio.sleep(0.01)
        membership.faults = [RayActorError() for _ in range(100_000)]
        await asyncio.sleep(0.1)
        last_s = endpoint.leased_s
        await asyncio.sleep(0.2)
        assert endpoint.leased_s == last_s
        membership.faults.clear()
        while endpoint.leased_s == last_s:
            await asyncio.sleep(0.01)
        await presence.leave()


async def test_what_was_written_over_is_nobodys_first(membership: Membership) -> None:
    """An actor that has forgotten which weights were first does not learn it from the others."""
    host = cast("ModelHost", SimpleNamespace(identity="new", changed=""))
    presence = Presence(model(dict(STUB)))
    fingerprint = model(dict(STUB)).fingerprint
    membership.doors.first_model(fingerprint, "old")
    async with asyncio.timeout(20):
        await presence.opened()
        await presence.follow(host)
        assert "were written over" in host.changed
        membership.doors = Doors()
        await asyncio.sleep(0.2)
    assert membership.doors.first_model(fingerprint, "old") == "old"
    await presence.leave()


async def test_a_replica_that_starts_after_its_endpoint_changed_has_no_numbers(
    membership: Membership,
) -> None:
    """It has seen no other model itself; those before it have, and so has the caller."""
    hosts = [cast("Any", SimpleNamespace(identity=name, changed="")) for name in ("a", "a", "b")]
    for host in hosts:
        presence = Presence(model(ENDPOINT))
        async with asyncio.timeout(20):
            await presence.opened()
            await presence.follow(host)
        await presence.leave()
    assert not hosts[0].changed
    assert not hosts[1].changed
    assert "answers as 'b', was 'a'" in hosts[2].changed
