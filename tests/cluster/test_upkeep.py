"""What a driver does now and then, without Ray: the membership actor is a plain object here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import ray
from ray import serve
from rewardplane.cluster.cluster import Cluster
from rewardplane.cluster.membership import Membership
from rewardplane.config.load import parse
from rewardplane.host.options import Options

from .conftest import FOLDER


class Handle:
    """A handle to an actor that answers at once."""

    def __init__(self, actor: Membership) -> None:
        self.actor = actor

    def __getattr__(self, name: str) -> Any:
        method: Callable[..., Any] = getattr(self.actor, name)

        class Method:
            def remote(self, *given: Any, **named: Any) -> Any:
                return asyncio.run(method(*given, **named))

        return Method()


class Driver(Cluster):
    """Serves one reward; a version before it waits until no call uses it."""

    def __init__(self) -> None:
        super().__init__(Options())
        self._config = parse({"rewards": {"it": {"kind": "exact"}}}, FOLDER)
        self._membership = Handle(Membership())
        self._generation = self._membership.publish.remote(self._config.as_dict())
        self._in_force = self._config
        self._retiring.add(["rewardplane-it-old"])

    def _follow_nodes(self) -> None:
        """There are none."""

    def asked(self, in_use: list[str]) -> None:
        """A gateway asks for news, as each does all the time."""
        ask = self._membership.ask.remote
        ask("gateway", self._generation - 1, in_use, "host:1", "front")

    def lose_the_actor(self) -> None:
        self._membership.actor = Membership()


def test_a_version_in_use_outlives_the_membership_actor(monkeypatch: pytest.MonkeyPatch) -> None:
    gone: list[str] = []
    monkeypatch.setattr(ray, "get", lambda value, timeout: value)
    monkeypatch.setattr(serve, "delete", lambda app, **_: gone.append(app))
    driver = Driver()
    driver.asked(["old", "new"])
    driver.upkeep()
    driver.lose_the_actor()
    driver.upkeep()
    assert gone == [], "nobody has told the new actor what it uses"
    driver.asked(["old", "new"])
    driver.upkeep()
    monkeypatch.setattr("rewardplane.cluster.retiring.STALE_S", 0.0)  # each has told it by now
    driver.upkeep()
    assert gone == []
    driver.asked(["new"])
    driver.upkeep()
    assert gone == ["rewardplane-it-old"]
