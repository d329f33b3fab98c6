"""Which rewards a gateway serves now, each bound to one version."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches

from rewardplane.config.load import RewardConfig, ServiceConfig
from rewardplane.config.settings import HttpSettings
from rewardplane.rewards.reward import Reward
from rewardplane.wire.errors import UnknownReward, VersionGone

from .metrics import Metrics
from .pool_lane import PoolLane, Send


class Bound:
    """One version of one reward on one gateway. A call is bound to it from admission to its end."""

    __slots__ = (
        "calls",
        "component_count",
        "component_names",
        "config",
        "digest",
        "figures",
        "is_async",
        "lane",
        "name",
        "pool",
        "reward",
        "settings",
        "version",
        "whole_group",
    )

    def __init__(self, config: RewardConfig, send: Send, metrics: Metrics) -> None:
        self.config = config
        self.name = config.name
        self.settings = config.settings
        self.version = config.settings.version
        self.digest = config.digest
        self.lane = config.lane
        self.whole_group = config.facts.whole_group
        self.is_async = config.facts.is_async
        self.component_names = config.facts.component_names
        self.component_count = len(self.component_names)
        self.figures = metrics.figures(config.name)
        self.pool = PoolLane(self, send)
        self.calls = 0
        self.reward: Reward | None = None
        if self.lane == "inline":
            self.reward = config.build()
            self.reward.setup()

    def note_retry(self) -> None:
        """A shard is sent again."""
        self.figures.retries += 1

    def note_figures(self, figures: Mapping[str, float]) -> None:
        """A replica counted this since it told the last time."""
        for name, value in figures.items():
            self.figures.counted[name] += value


class Table:
    """The rewards by name. `switch` replaces them; what is bound stays until its calls end."""

    def __init__(self, metrics: Metrics, connect: Callable[[RewardConfig], Send]) -> None:
        self._metrics = metrics
        self._connect = connect
        self._current: dict[str, Bound] = {}
        self._retired: list[Bound] = []
        self.http = HttpSettings()
        """What the HTTP port answers with now."""
        self.generation = 0

    def bind(self, name: str, version: str) -> Bound:
        """The reward `name` as it is served now.

        Raises:
            UnknownReward: there is none of that name.
            VersionGone: it is served in another version than `version` (empty: any).
        """
        bound = self._current.get(name)
        if bound is None:
            near = get_close_matches(name, self._current, n=3)
            hint = f"; did you mean {', '.join(near)}?" if near else ""
            raise UnknownReward(
                f"no reward is named {name!r}{hint}",
                {"reward": name, "nearest": ",".join(near)},
            )
        if version and version != bound.version:
            raise VersionGone(
                f"version {version!r} of reward {name!r} is not served; {bound.version!r} is",
                {"reward": name, "version": version, "served": bound.version},
            )
        return bound

    def names(self) -> list[str]:
        """The names served now, sorted."""
        return sorted(self._current)

    def switch(self, config: ServiceConfig, generation: int) -> None:
        """Serves `config` from now on; versions that did not change keep what they have."""
        fresh: dict[str, Bound] = {}
        for name, reward in config.rewards.items():
            old = self._current.get(name)
            if old is not None and old.config.fingerprint == reward.fingerprint:
                fresh[name] = old
            else:
                fresh[name] = Bound(reward, self._connect(reward), self._metrics)
        self._retired += [b for b in self._current.values() if b not in fresh.values()]
        self._current = fresh
        self.http = config.http
        self.generation = generation

    def in_use(self) -> set[str]:
        """The fingerprints that are served or that calls are still bound to."""
        self._retired = [bound for bound in self._retired if bound.calls]
        return {b.config.fingerprint for b in (*self._current.values(), *self._retired)}
