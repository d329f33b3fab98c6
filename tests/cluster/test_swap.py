"""Models that change places, without Ray: which applications are brought back when one fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from ray import serve
from ray.exceptions import GetTimeoutError
from rewardplane.cluster import cluster as cluster_module
from rewardplane.cluster.applications import apps_of
from rewardplane.cluster.cluster import Cluster
from rewardplane.config.load import ServiceConfig, parse
from rewardplane.host.options import Options
from rewardplane.host.progress import DeployFailed, Progress

from ..support.rig import FOLDER


def config(weights: str) -> ServiceConfig:
    """Two models and a reward of each."""
    model = {
        "runs": "python",
        "path": "stub_model:StubModel",
        "head": "scalar",
        "swap": "in_place",
        "engine": {"python_path": [str(FOLDER)], "weights": weights},
    }
    rewards = {f"r{m}": {"kind": "reward_model", "model": m} for m in "ab"}
    return parse({"models": {"a": model, "b": model}, "rewards": rewards}, FOLDER)


class Steps(Cluster):
    """Notes what is deployed and put in force; the new version of the last model fails."""

    def __init__(self, new: ServiceConfig) -> None:
        super().__init__(Options())
        self._in_force.tell = lambda: None
        self._fails = sorted(apps_of(new))[-1]
        self.published: list[ServiceConfig] = []
        self.done: list[str | ServiceConfig] = []
        """What was brought up, and put in force, in this order."""

    def _deploy(self, apps: Mapping[str, Any], *_: Any, patient: bool) -> None:
        if self._fails in apps:
            raise DeployFailed("no such weights")
        self._up |= set(apps)
        self.done += apps

    def _publish(self, config: ServiceConfig, progress: Progress) -> None:
        self._put_in_force(config, progress)

    def _put_in_force(self, config: ServiceConfig, progress: Progress) -> None:
        self._in_force.config = config
        self.published.append(config)
        self.done.append(config)

    @property
    def up(self) -> set[str]:
        return self._up


class Patient(Progress):
    """Nothing is waited for."""

    def wait(self, lacking: Callable[[], str], limit_s: float) -> str:
        return ""


class NoShadows:
    """Nobody is there to be asked."""

    def __init__(self, *_: object) -> None:
        pass

    def tell(self, *_: object) -> None:
        pass


def test_models_swapped_before_one_that_fails_are_back(monkeypatch: pytest.MonkeyPatch) -> None:
    gone: list[str] = []
    monkeypatch.setattr(cluster_module, "Shadows", NoShadows)
    monkeypatch.setattr(serve, "delete", lambda app, **_: gone.append(app))
    old, new = config("one"), config("two")
    cluster = Steps(new)
    cluster.reload(old, Patient())
    assert cluster.up == set(apps_of(old))
    with pytest.raises(DeployFailed, match="no such weights"):
        cluster.reload(new, Patient())
    assert gone == sorted(apps_of(old)), "each made place for its successor"
    assert set(apps_of(old)) <= cluster.up
    assert cluster.published == [old, new, old]
    at = cluster.done.index(old, 3)
    assert set(cluster.done[at + 1 :]) == set(apps_of(old)), (
        "first the gateways use no more what stands in their place: there is no room for both"
    )


class Late(Progress):
    """The second model's old version is not known to be unused: nobody answers."""

    def __init__(self) -> None:
        super().__init__()
        self._waits = 0

    def wait(self, lacking: Callable[[], str], limit_s: float) -> str:
        self._waits += 1
        if self._waits == 3:
            raise GetTimeoutError("no answer")
        return ""


def test_a_swap_that_fails_before_it_begins_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever fails once the gateways serve the new configuration."""
    monkeypatch.setattr(cluster_module, "Shadows", NoShadows)
    monkeypatch.setattr(serve, "delete", lambda app, **_: None)
    old, new = config("one"), config("two")
    cluster = Steps(new)
    cluster.reload(old, Patient())
    with pytest.raises(DeployFailed, match="no answer"):
        cluster.reload(new, Late())
    assert cluster.published == [old, new, old]
    assert set(apps_of(old)) <= cluster.up
