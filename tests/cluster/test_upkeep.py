"""What a driver does now and then, without Ray: the membership actor is a plain object here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from ray import serve
from ray.exceptions import ActorUnavailableError
from rewardplane.cluster.applications import apps_of
from rewardplane.cluster.cluster import Cluster
from rewardplane.cluster.membership import Membership
from rewardplane.cluster.names import told
from rewardplane.cluster.status import deploying
from rewardplane.config.load import ServiceConfig, parse
from rewardplane.host.options import Options
from rewardplane.host.progress import DeployFailed, Progress, Stopped

from .conftest import FOLDER


class Handle:
    """A handle to an actor that answers at once, unless it is `down`."""

    def __init__(self, actor: Membership) -> None:
        self.actor = actor
        self.down: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        method: Callable[..., Any] = getattr(self.actor, name)
        down = self.down

        class Method:
            def remote(self, *given: Any, **named: Any) -> Any:
                if name in down:
                    raise ActorUnavailableError("it starts anew", None)
                return asyncio.run(method(*given, **named))

        return Method()


class Driver(Cluster):
    """Serves one reward; a version before it waits until no call uses it."""

    def __init__(self) -> None:
        super().__init__(Options())
        self._config = config = parse({"rewards": {"it": {"kind": "exact"}}}, FOLDER)
        self._up = set(apps_of(config))
        self._membership = Handle(Membership())
        self._in_force.claim(self._membership, Progress())
        self._put_in_force(config, Progress())
        self._retiring.add(["rewardplane-it-old"])

    @property
    def handle(self) -> Handle:
        return self._membership

    @property
    def generation(self) -> int:
        return self._in_force.generation

    def put(self, config: ServiceConfig) -> None:
        self._put_in_force(config, Progress())

    def asked(self, in_use: list[str]) -> None:
        """A gateway asks for news, as each does all the time."""
        ask = self._membership.ask.remote
        ask("gateway", self.generation - 1, in_use, "host:1", "front")

    def lose_the_actor(self) -> None:
        self._membership.actor = Membership()


@pytest.fixture
def gone(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The applications that were deleted."""
    deleted: list[str] = []
    monkeypatch.setattr("rewardplane.cluster.ownership.Ownership._renew", lambda *_: None)
    monkeypatch.setattr(ray, "get", lambda value, timeout: value)
    monkeypatch.setattr(serve, "delete", lambda app, **_: deleted.append(app))
    return deleted


def exact(version: str, **more: Any) -> ServiceConfig:
    return parse({"rewards": {"it": {"kind": "exact", "version": version, **more}}}, FOLDER)


def test_a_version_in_use_outlives_the_membership_actor(
    monkeypatch: pytest.MonkeyPatch, gone: list[str]
) -> None:
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


@pytest.mark.usefixtures("gone")
def test_what_is_put_in_force_reaches_gateways_that_know_more_than_the_actor() -> None:
    """It was started anew a moment ago, and no gateway has asked it for anything yet."""
    driver = Driver()
    for version in "abc":
        driver.put(exact(version))
    known = driver.generation
    driver.lose_the_actor()
    driver.put(exact("d"))
    news = driver.handle.ask.remote("gateway", known, [], "host:1", "front")
    assert news == (known + 1, exact("d").as_dict())


@pytest.mark.usefixtures("gone")
def test_what_could_not_be_put_in_force_is_put_in_force_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rewardplane.cluster.in_force.TOLD_S", 0.0)
    driver = Driver()
    driver.handle.down.add("publish")
    with pytest.raises(DeployFailed, match="it starts anew"):
        driver.put(exact("late"))
    driver.upkeep()
    assert driver.handle.in_force.remote() != exact("late").as_dict()
    driver.handle.down.clear()
    driver.upkeep()
    assert driver.handle.in_force.remote() == exact("late").as_dict()


@pytest.mark.usefixtures("gone")
def test_who_was_silent_and_has_a_successor_leaves_it_the_cluster() -> None:
    driver = Driver()
    driver.handle.actor._owned_s -= 11.0
    assert driver.handle.claim.remote("another") == driver.generation
    before = driver.handle.in_force.remote()
    with pytest.raises(DeployFailed, match="the cluster is served by another now"):
        driver.reload(exact("mine"))
    with pytest.raises(Stopped):
        driver.upkeep()
    assert driver.handle.in_force.remote() == before
    assert driver.handle.claim.remote("a third") == "another"


def test_a_reload_that_waits_gives_way_to_the_next(
    monkeypatch: pytest.MonkeyPatch, gone: list[str]
) -> None:
    """But one that the gateways have begun to serve goes on."""

    def never(apps: Any, progress: Progress, meanwhile: Callable[[], None]) -> None:
        while apps:
            meanwhile()

    driver = Driver()
    monkeypatch.setattr("rewardplane.cluster.cluster.bring_up", never)
    monkeypatch.setattr("rewardplane.cluster.placement._alive", list[Any])
    before = driver.handle.in_force.remote()
    pool = exact("huge", lane="pool")
    with pytest.raises(DeployFailed, match="another reload"):
        driver.reload(pool, Progress(superseded=lambda: True))
    assert driver.handle.in_force.remote() == before
    assert [app for app in gone if "old" not in app] == list(apps_of(pool))
    driver.put(exact("switched"))
    driver._tend(Progress(superseded=lambda: True))


class Serve:
    """What Serve tells of its applications."""

    def __init__(self, **apps: str) -> None:
        self.applications = {
            app.replace("_", "-"): SimpleNamespace(status=status) for app, status in apps.items()
        }


class Next(Driver):
    """Takes over from a `Driver` that is gone; nothing new ever comes up."""

    def __init__(self, left: Driver) -> None:
        Cluster.__init__(self, Options())
        self._membership = left.handle
        left.handle.actor._owned_s -= 11.0
        self._in_force.claim(left.handle, Progress())

    def take_over(self, config: ServiceConfig) -> None:
        self._take_over(config, Progress())
        with deploying():
            self._switch(config, Progress(), patient=True)

    @property
    def options(self) -> Options:
        return self._options

    @property
    def state(self) -> tuple[set[str], set[str]]:
        return self._up, self._apps


@pytest.mark.parametrize("status", ["RUNNING", "UNHEALTHY", "DEPLOYING"])
def test_what_is_taken_over_serves_on_where_the_new_does_not_come_up(
    monkeypatch: pytest.MonkeyPatch, gone: list[str], status: str
) -> None:
    """A replica that is missing for a moment is no reason to deploy a version anew."""

    def fails(apps: Any, *_: Any) -> None:
        if apps:
            raise DeployFailed("no weights here")

    one, two = exact("one", lane="pool"), exact("two", lane="pool")
    (app,) = apps_of(one)
    left = Driver()
    left.put(one)
    driver = Next(left)
    front = told(driver.options, one.limits)
    left.handle.ask.remote("gateway", 9, [app.rpartition("-")[2]], "host:1", front)
    apps = Serve(rewardplane_gateway="RUNNING", rewardplane_it_leftover="DEPLOYING")
    apps.applications[app] = SimpleNamespace(status=status)
    monkeypatch.setattr(serve, "status", lambda: apps)
    monkeypatch.setattr("rewardplane.cluster.cluster.bring_up", fails)
    monkeypatch.setattr("rewardplane.cluster.placement._alive", list[Any])
    with pytest.raises(DeployFailed, match="no weights here"):
        driver.take_over(two)
    assert gone == list(apps_of(two)), "what was begun for it"
    assert left.handle.in_force.remote() == one.as_dict()
    assert driver.state[0] == {app}
    driver.upkeep()
    assert gone[1:] == ["rewardplane-it-leftover"]
    driver = Next(left)
    monkeypatch.setattr(driver._in_force, "not_served", str)  # none asks any more
    driver.take_over(one)
    driver.upkeep()
    assert app not in gone
