"""What a gateway and a reload do when a step of theirs fails that never should."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import GetTimeoutError, RayError
from rewardplane.cluster import gateway as of_gateway
from rewardplane.cluster.cluster import Cluster
from rewardplane.cluster.gateway import Gateway
from rewardplane.config.load import ServiceConfig, parse
from rewardplane.host.options import Options
from rewardplane.host.progress import DeployFailed, Progress, Stopped, way_back

from ..support.rig import FOLDER


def config(pattern: str) -> ServiceConfig:
    return parse({"rewards": {"r": {"kind": "regex", "pattern": pattern}}}, FOLDER)


class Steps(Cluster):
    """Nothing is deployed; configurations are put in force as long as `ends` has no error."""

    def __init__(self) -> None:
        super().__init__(Options())
        self._in_force.tell = lambda: None
        self.ends: list[Exception | None] = []
        self.tried: list[ServiceConfig] = []

    def _deploy(self, apps: Mapping[str, Any], *_: Any, patient: bool) -> None:
        self._up |= set(apps)

    def _publish(self, config: ServiceConfig, progress: Progress) -> None:
        self._put_in_force(config, progress)

    def _put_in_force(self, config: ServiceConfig, progress: Progress) -> None:
        self._in_force.config = config
        self.tried.append(config)
        if self.ends and (error := self.ends.pop(0)) is not None:
            raise error


def test_both_errors_are_told_where_the_way_back_fails() -> None:
    cluster, old, new = Steps(), config("a"), config("b")
    cluster.reload(old)
    cluster.ends = [DeployFailed("after 60 s: not all switched"), GetTimeoutError("no answer")]
    with pytest.raises(DeployFailed) as caught:
        cluster.reload(new)
    assert cluster.tried == [old, new, old]
    assert "not all switched" in str(caught.value)
    assert "no answer" in str(caught.value)
    cluster.ends = [DeployFailed("once more"), None]
    with pytest.raises(DeployFailed, match=r"^once more$"):
        cluster.reload(new)


def fails(error: Exception, back: Exception | None) -> None:
    """A step that fails with `error`, and its way back with `back`."""
    try:
        raise error
    except type(error) as first:
        with way_back(first):
            if back is not None:
                raise back from None
        raise


def test_the_first_error_keeps_its_kind_where_the_way_back_is_good() -> None:
    with pytest.raises(ValueError, match="first"):
        fails(ValueError("first"), None)


def test_who_is_told_to_stop_stops() -> None:
    with pytest.raises(Stopped):
        fails(Stopped(), RayError("no answer"))


class _Front:
    """A front whose rewards, or whose switch, fail at first."""

    def __init__(self, errors: list[Exception]) -> None:
        self.errors = errors
        self.asked = 0
        self.rewards = SimpleNamespace(scaled=self.scaled, generation=1)

    def scaled(self) -> list[Any]:
        self.asked += 1
        if self.errors:
            raise self.errors.pop()
        return []


async def test_a_gateway_reports_on_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_gateway, "REPORT_S", 0.001)
    monkeypatch.setattr(of_gateway, "IDLE_REPORT_S", 0.001)
    front = _Front([KeyError("x"), ZeroDivisionError(), TypeError("y"), RayError("gone")])
    it: Any = SimpleNamespace(_front=front)
    reporting = asyncio.ensure_future(Gateway._report(it))
    try:
        async with asyncio.timeout(10):
            while front.asked < 8:
                await asyncio.sleep(0.01)
        assert not reporting.done()
    finally:
        reporting.cancel()


async def test_a_gateway_follows_on_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it cannot serve is told in its log, and what it serves goes on."""
    errors: list[Exception] = [KeyError("x"), RayError("gone"), ValueError("no such reward")]
    asked = 0

    async def once() -> None:
        nonlocal asked
        asked += 1
        if errors:
            raise errors.pop()
        await sleep(0.01)

    sleep = asyncio.sleep
    monkeypatch.setattr(of_gateway.asyncio, "sleep", lambda _s: sleep(0))
    it: Any = SimpleNamespace(_follow_once=once)
    following = asyncio.ensure_future(Gateway._follow(it))
    try:
        async with asyncio.timeout(10):
            while asked < 6:
                await sleep(0.01)
        assert not following.done()
    finally:
        following.cancel()
