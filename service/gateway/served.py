"""Which rewards a gateway serves now, each in one version."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from heapq import nsmallest
from typing import Any, Protocol

from rewardplane.config.load import RewardConfig, ServiceConfig
from rewardplane.config.settings import HttpSettings
from rewardplane.replica.answers import OF_JOB
from rewardplane.rewards.compose.combining import Combining
from rewardplane.rewards.models.model_facts import ModelFacts
from rewardplane.rewards.reward import Reward, Unit
from rewardplane.wire.errors import UnknownReward, VersionGone

from .breath import Steps
from .figures import MAX_COUNTED, OTHER, RewardFigures
from .load import Load

MAX_NAME_CHARS = 128
"""No reward has a longer name; looking for similar ones takes a second for a megabyte."""
MAX_COMPARED = 24
"""Names that are compared with one that is not served."""


class Lane(Protocol):
    """Where a reward's items wait for their replicas."""

    item_s: float
    """The measured cost of an item: its share of a replica's time, in seconds."""

    @property
    def backlog_items(self) -> int:
        """The items that wait, or are with replicas."""
        ...

    def items_before(self, job: str, count: int, /) -> int:
        """What is done before the last of `count` more items of a job, about."""
        ...

    def looking(self) -> Steps[Load]:
        """What its work amounts to, as the result of the steps."""
        ...

    @property
    def late_s(self) -> float:
        """How much longer items lately waited than the cost of those before them says."""
        ...

    def submit(self, shard: Any, /) -> None:
        """Takes a `Shard`, which imports this module; its outcomes go to its call."""
        ...

    async def close(self) -> None:
        """Ends what runs."""
        ...


class ServedReward:
    """One version of one reward on one gateway. A call is bound to it from admission to its end."""

    __slots__ = (
        "calls",
        "combining",
        "component_count",
        "component_names",
        "config",
        "digest",
        "figures",
        "is_async",
        "items",
        "lane",
        "members",
        "model_facts",
        "name",
        "pool",
        "rendered",
        "replicas",
        "reusable",
        "reward",
        "settings",
        "side_by_side",
        "up",
        "version",
        "whole_group",
    )

    def __init__(
        self,
        config: RewardConfig,
        figures: RewardFigures,
        lane: Callable[[ServedReward], Lane],
        members: Mapping[str, ServedReward] | None = None,
    ) -> None:
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
        self.replicas = config.replicas
        """How many replicas there may be."""
        self.up = self.replicas if config.scaling is None else max(1, config.scaling.min)
        """How many run, as far as is known; only where their number follows the work it changes."""
        self.side_by_side = config.side_by_side
        self.model_facts: ModelFacts | None = None
        """What its model is; known once a replica of the model has answered."""
        self.figures = figures
        self.calls = 0
        self.items = 0
        """Items admitted and not answered yet."""
        self.rendered: dict[bool, bytes] = {}
        """How answers name it, serialized: with and without component names."""
        self.members = dict(members or {})
        """What it is made of, by name there; each in the version that was served with it."""
        self.reusable = (
            config.facts.deterministic
            and config.facts.unit == Unit.ITEM.value
            and self.lane not in ("inline", "composite", "model")
        )
        """Whether equal items need only one execution; models share equal questions themselves."""
        self.reward: Reward | None = None
        self.combining: Combining | None = None
        """What makes one outcome of the members'."""
        if self.lane == "composite":
            built = config.build()
            if not isinstance(built, Combining):
                raise TypeError(f"reward {self.name!r} has no members")
            self.combining = built
            self.pool: Lane = _NoLane()
            return
        if self.lane == "inline":
            self.reward = config.build()
            self.reward.setup()
        self.pool = lane(self)

    def note_replicas(self, up: int, wanted: int) -> None:
        """So many of its replicas run, and so many should."""
        self.up = up
        self.figures.replicas = up, wanted

    def note_retry(self) -> None:
        """A shard is sent again."""
        self.figures.retries += 1

    def note_model(self, facts: ModelFacts) -> None:
        """A replica of its model has said what it is."""
        if facts != self.model_facts:
            self.model_facts = facts
            self.rendered.clear()
            if facts.noise is not None and self.config.model is not None:
                self.figures.noise[self.config.model.name] = facts.noise

    def note_figures(self, figures: Mapping[str, float]) -> None:
        """A replica counted this since it reported the last time."""
        counted = self.figures.counted
        for name, value in figures.items():
            full, found, _job = name.partition(OF_JOB)
            if found and name not in counted and len(counted) >= MAX_COUNTED:
                name = f"{full}{OF_JOB}{OTHER}"
            counted[name] += value

    @property
    def backlog_s(self) -> float:
        """How long what is to be done for the reward before a new item starts will take."""
        if self.combining is not None:
            return max(member.backlog_s for member in self.members.values())
        return self.pool.backlog_items * self.pool.item_s / self.replicas

    def backlog_before_s(self, job: str, count: int) -> float:
        """How long what is done before the last of `count` more items of a job will take."""
        return self.pool.items_before(job, count) * self.pool.item_s / self.replicas

    @property
    def judge_tokens_per_item(self) -> float:
        """What an item takes of judges' tokens, in the mean so far.

        Of a composite: what its members take of the items that reach them.
        """
        figures = self.figures
        if self.combining is None:
            return figures.judge_tokens_per_item
        items, reached = figures.items.total(), figures.member_items
        return sum(
            member.judge_tokens_per_item * (reached[name] / items if name in reached else 1.0)
            for name, member in self.members.items()
        )


class _NoLane:
    """That of a reward which is made of others: nothing waits for it."""

    item_s = 0.0
    backlog_items = 0
    late_s = 0.0

    def items_before(self, _job: str, _count: int, /) -> int:
        """Nothing waits."""
        return 0

    def looking(self) -> Steps[Load]:
        """Nothing waits."""
        yield
        return Load()

    def submit(self, _shard: Any, /) -> None:
        """Never called."""
        raise TypeError("a reward that is made of others runs nowhere itself")

    async def close(self) -> None:
        """Nothing runs."""


class ServedRewards:
    """The rewards by name. `switch` replaces them; one that is replaced ends with its calls."""

    def __init__(
        self,
        figures: Callable[[str], RewardFigures],
        lane: Callable[[ServedReward], Lane],
    ) -> None:
        self._figures = figures
        self._lane = lane
        self._current: dict[str, ServedReward] = {}
        self._retired: list[ServedReward] = []
        self.http = HttpSettings()
        """What the HTTP port answers with now."""
        self.generation = 0

    def _like(self, name: str) -> Sequence[str]:
        """The names that are most like it in length: to compare hundreds holds the loop."""
        names = self._current
        if len(names) <= MAX_COMPARED:
            return list(names)
        return nsmallest(MAX_COMPARED, names, lambda one: abs(len(one) - len(name)))

    def find(self, name: str, version: str) -> ServedReward:
        """The reward `name` as it is served now.

        Raises:
            UnknownReward: there is none of that name.
            VersionGone: it is served in another version than `version` (empty: any).
        """
        served = self._current.get(name)
        if served is None:
            shown = name[:MAX_NAME_CHARS]
            near = get_close_matches(shown, self._like(shown), n=3)
            hint = f"; did you mean {', '.join(near)}?" if near else ""
            raise UnknownReward(
                f"no reward is named {shown!r}{hint}",
                {"reward": shown, "nearest": ",".join(near)},
            )
        if version and version != served.version:
            shown = version[:MAX_NAME_CHARS]
            raise VersionGone(
                f"version {shown!r} of reward {name!r} is not served; {served.version!r} is",
                {"reward": name, "version": shown, "served": served.version},
            )
        return served

    def get(self, name: str) -> ServedReward | None:
        """The reward `name` as it is served now, in whichever version."""
        return self._current.get(name)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._current)

    def names(self) -> list[str]:
        """The names served now, sorted."""
        return sorted(self._current)

    def switch(self, config: ServiceConfig, generation: int) -> None:
        """Serves `config` from now on; versions that did not change keep what they have."""
        fresh: dict[str, ServedReward] = {}
        for name in config.rewards:
            self._serve(name, config, fresh)
        self._retired += [s for s in self._current.values() if s not in fresh.values()]
        self._current = fresh
        self.http = config.http
        self.generation = generation

    def aside(self, config: RewardConfig) -> ServedRewards:
        """A reward that is made of those served now, alone, to be tried once."""
        rewards = ServedRewards(self._figures, self._lane)
        members = {alias: self.find(of, "") for alias, of in _members_of(config).items()}
        served = ServedReward(config, self._figures(config.name), self._lane, members)
        rewards._current[config.name] = served
        return rewards

    def configs(self) -> dict[str, RewardConfig]:
        """The rewards as they are configured now."""
        return {name: served.config for name, served in self._current.items()}

    def _serve(
        self, name: str, config: ServiceConfig, fresh: dict[str, ServedReward]
    ) -> ServedReward:
        """Adds a reward of `config` to `fresh`, after its members."""
        known = fresh.get(name)
        if known is not None:
            return known
        reward = config.rewards[name]
        members = {
            alias: self._serve(of, config, fresh) for alias, of in _members_of(reward).items()
        }
        old = self._current.get(name)
        if (
            old is not None
            and old.config.fingerprint == reward.fingerprint
            # A member that is only sized anew has the same digest, and is another one all the same.
            and old.members == members
        ):
            fresh[name] = old
        else:
            fresh[name] = ServedReward(reward, self._figures(reward.name), self._lane, members)
        return fresh[name]

    def all(self) -> list[ServedReward]:
        """What is served, and what calls still use."""
        return [*self._current.values(), *self._retired]

    def scaled(self) -> list[ServedReward]:
        """Those of which the number of replicas follows their work."""
        return [one for one in self.all() if one.config.scaling is not None]

    def in_use(self) -> set[str]:
        """The fingerprints of rewards and models that are served or that calls still use."""
        self._retired = [served for served in self._retired if served.calls]
        used = [served.config for served in (*self._current.values(), *self._retired)]
        models = {config.model.fingerprint for config in used if config.model is not None}
        return models | {config.fingerprint for config in used}


def _members_of(config: RewardConfig) -> Mapping[str, str]:
    if config.lane != "composite":
        return {}
    built = config.build()
    return built.members if isinstance(built, Combining) else {}
