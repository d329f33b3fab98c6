"""The configuration: one YAML file of named rewards and the limits of the service.

    limits: {max_in_flight_items: 100000}
    rewards:
      math:
        kind: math
        replicas: 4
        timeout_s: 20
      tone:
        kind: python
        function: my_rewards:tone
        version: "2026-11-20"

What is not a setting of `RewardSettings` is a parameter of the kind. All faults are told at once.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import ValidationError
from rewardplane.rewards.compose.combining import Combining
from rewardplane.rewards.registry import build, kinds
from rewardplane.rewards.reward import Facts, Reward

from .document import NAME, read
from .draft import Draft, check_settings, digest_of, resolve
from .faults import told
from .models import ModelConfig, model_of, models_from
from .replicas import ReplicaRange, most_of, range_of
from .settings import HttpSettings, Limits, RewardSettings

Lane = Literal["inline", "pool", "sandbox", "model", "composite"]
"""Where a reward runs. `composite`: nowhere itself; its members run in their own lanes."""
INLINE_CHARS = 64 * 1024
"""The longest response of the inline lane; the group of a longer one goes to the reward's pool."""


class ConfigError(Exception):
    """The configuration cannot be served; `faults` are all that is wrong with it."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class NamedCode(ConfigError):
    """The configuration names code to import where it may not."""


@dataclass(frozen=True, slots=True)
class RewardConfig:
    """One reward, checked: settings, parameters, facts, and the digest of all that decides a score.

    Plain data: it travels to gateways and replicas, which trust what was checked once.
    """

    name: str
    settings: RewardSettings
    params: Mapping[str, Any]
    lane: Lane
    facts: Facts
    digest: str
    model: ModelConfig | None = None
    """The model beside which it runs; only of lane `model`."""

    @property
    def replicas(self) -> int:
        """What may run it side by side: its own replicas, or its model's."""
        return most_of((self.model or self).settings.replicas)

    @property
    def scaling(self) -> ReplicaRange | None:
        """How far their number follows the work; None: it is fixed."""
        return range_of((self.model or self).settings.replicas)

    @property
    def side_by_side(self) -> int:
        """How many items one of them executes at once."""
        if self.model is not None:
            return self.model.settings.places
        return self.settings.concurrency if self.facts.is_async else 1

    @property
    def has_replicas(self) -> bool:
        """Whether it has replicas of its own: others run in gateways, or beside a model."""
        return self.lane not in ("composite", "model")

    def build(self) -> Reward:
        """The reward function."""
        return build(self.settings.kind, self.params)

    @property
    def fingerprint(self) -> str:
        """16 hex digits of all that a deployment is made of: beside the digest, its sizing."""
        data = json.dumps(self.as_dict(), sort_keys=True, default=str)
        return hashlib.sha256(data.encode()).hexdigest()[:16]

    @property
    def clip(self) -> tuple[float, float]:
        """The range that rewards are clipped to."""
        return self.settings.clip or (-math.inf, math.inf)

    def as_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "name": self.name,
            "settings": self.settings.model_dump(mode="json"),
            "params": dict(self.params),
            "lane": self.lane,
            "facts": asdict(self.facts),
            "digest": self.digest,
            "model": self.model and self.model.as_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RewardConfig:
        """The reward of `as_dict`. Imports nothing of it."""
        facts = dict(data["facts"])
        for names in ("component_names", "reference_keys"):
            facts[names] = tuple(facts[names])
        settings = RewardSettings(**data["settings"])
        lane, digest = data["lane"], data["digest"]
        model = ModelConfig.from_dict(data["model"]) if data["model"] else None
        return cls(data["name"], settings, data["params"], lane, Facts(**facts), digest, model)


class ServiceConfig:
    """What one service serves: rewards, models, limits, and what its HTTP port answers."""

    __slots__ = ("http", "limits", "models", "rewards")

    def __init__(
        self,
        limits: Limits,
        rewards: Mapping[str, RewardConfig],
        http: HttpSettings | None = None,
        models: Mapping[str, ModelConfig] | None = None,
    ) -> None:
        self.limits = limits
        self.rewards = dict(rewards)
        self.models = dict(models or {})
        self.http = http or HttpSettings()

    def asked_models(self) -> list[ModelConfig]:
        """The models that rewards ask; others are not served."""
        asked = [r.model for r in self.rewards.values() if r.model is not None]
        return list({model.fingerprint: model for model in asked}.values())

    def as_dict(self) -> dict[str, Any]:
        """As plain data for another process."""
        return {
            "limits": self.limits.model_dump(mode="json"),
            "http": self.http.model_dump(mode="json"),
            "rewards": [reward.as_dict() for reward in self.rewards.values()],
            "models": [model.as_dict() for model in self.models.values()],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ServiceConfig:
        """The configuration of `as_dict`."""
        rewards = [RewardConfig.from_dict(entry) for entry in data["rewards"]]
        named = {reward.name: reward for reward in rewards}
        models = [ModelConfig.from_dict(entry) for entry in data["models"]]
        http = HttpSettings(**data["http"])
        return cls(Limits(**data["limits"]), named, http, {model.name: model for model in models})


def load(path: Path) -> ServiceConfig:
    """Reads a configuration file and imports the custom functions it names; they may lie beside it.

    Raises:
        ConfigError: it cannot be served; all faults at once.
    """
    try:
        document = read(path.read_text(encoding="utf-8"))
    except OSError as error:
        begin = "; `rewardplane init` writes one" if isinstance(error, FileNotFoundError) else ""
        raise ConfigError([f"{path}: {error.strerror}{begin}"]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"{path}: is no text in UTF-8: want YAML"]) from None
    except ValueError as error:
        raise ConfigError([f"{path}: cannot be read: {error}"]) from None
    return parse(document, path.resolve().parent)


def parse(document: object, folder: Path) -> ServiceConfig:
    """A configuration from what a YAML file in `folder` holds.

    Raises:
        ConfigError: it cannot be served; all faults at once.
    """
    if not isinstance(document, dict):
        raise ConfigError(["want a mapping with `rewards:`; `rewardplane init` writes an example"])
    top = cast("dict[object, object]", document)
    faults = [
        f"{key}: unknown; want limits, http, models, rewards" for key in top if key not in _TOP
    ]
    limits, http = Limits(), HttpSettings()
    try:
        limits = Limits.model_validate(top.get("limits") or {})
    except ValidationError as error:
        faults += told("limits", error, Limits.model_fields)
    try:
        http = HttpSettings.model_validate(top.get("http") or {})
    except ValidationError as error:
        faults += told("http", error, HttpSettings.model_fields)
    models, wrong = models_from(top.get("models") or {}, folder)
    faults += wrong
    named = top.get("rewards")
    rewards: dict[str, RewardConfig] = {}
    if not isinstance(named, dict) or not named:
        faults.append("rewards: want at least one reward under its name")
        named = {}
    drafts: dict[str, Draft] = {}
    for name, entry in cast("dict[object, object]", named).items():
        try:
            drafts[str(name)] = _draft(str(name), entry, folder, models, named_code=True)
        except ConfigError as error:
            faults += [f"rewards.{fault}" for fault in error.faults]
    broken = {str(name) for name in cast("dict[object, object]", named)} - drafts.keys()
    for name, why in resolve(drafts, broken, rewards, _resolved):
        faults.append(f"rewards.{name}{why}")
    rewards = {name: rewards[name] for name in drafts if name in rewards}
    faults += _hosted_faults(http)
    if http.reward and http.reward not in named:
        faults.append(f"http.reward: no reward is named {http.reward!r}")
    faults += _url_faults(http, rewards, cast("dict[str, object]", named))
    if faults:
        raise ConfigError(faults)
    return ServiceConfig(limits, rewards, http, models)


def gemini_reward(config: Mapping[str, Any], http: HttpSettings) -> RewardConfig:
    """The reward of one hosted configuration that a request brings, under the operator's settings.

    Raises:
        ConfigError: it cannot be served.
    """
    given = dict(http.gemini)
    cloud_run = {"allowed_origins": (), **given.pop("cloud_run", {})}
    return _hosted("gemini", {**given, "cloud_run": cloud_run, "config": dict(config)})


def openai_reward(grader: Any, http: HttpSettings) -> RewardConfig:
    """The reward of a grader that a request brings, under the operator's settings.

    Raises:
        ConfigError: it cannot be served.
    """
    return _hosted("openai_grader", {**http.openai, "grader": grader})


def _hosted(kind: str, entry: Mapping[str, Any]) -> RewardConfig:
    # What it may reach is the operator's word, not the request's.
    return parse_reward("inline", {**entry, "kind": kind}, None)


def _hosted_faults(http: HttpSettings) -> list[str]:
    """What is wrong with the settings for rewards that requests bring, found out by a plain one."""
    match = {"matchOperation": "EXACT_MATCH", "expression": "x"}
    config = {"stringMatchRewardScorer": {"stringMatchExpression": match}}
    check = {"type": "string_check", "name": "x", "input": "x", "reference": "x"}
    faults: list[str] = []
    for section, made in (
        ("gemini", lambda: gemini_reward(config, http)),
        ("openai", lambda: openai_reward({**check, "operation": "eq"}, http)),
    ):
        try:
            made()
        except ConfigError as error:
            faults += [f"http.{section}: {fault}" for fault in error.faults]
    return faults


_URL_KINDS = {"open_instruct": "code_tests", "sandbox_fusion": "program_run"}
"""The URLs that are of use with rewards of one kind."""


def _url_faults(
    http: HttpSettings, rewards: Mapping[str, RewardConfig], named: Mapping[str, object]
) -> list[str]:
    faults: list[str] = []
    for url, settings in http.urls.items():
        path, reward, kind = f"http.{url}.reward", settings.reward, _URL_KINDS.get(url)
        if reward not in named:
            faults.append(f"{path}: no reward is named {reward!r}")
        elif kind is not None and (config := rewards.get(reward)) is not None:
            default = kinds()[kind].model_fields["program"].default
            if config.settings.kind != kind:
                faults.append(f"{path}: {reward!r} is of kind {config.settings.kind}; want {kind}")
            elif config.params.get("program", default) != "none":
                faults.append(
                    f"{path}: {reward!r} looks for a program in a text; want program: none"
                )
    return faults


_TOP = {"limits", "http", "models", "rewards"}


def parse_reward(
    name: str,
    entry: object,
    folder: Path | None,
    *,
    named_code: bool = True,
    beside: Mapping[str, RewardConfig] | None = None,
    models: Mapping[str, ModelConfig] | None = None,
) -> RewardConfig:
    """One reward from its entry under `rewards:`. Imports what it names, to know its shape.

    `folder` is where custom functions may lie beside the installed packages. `named_code` allows
    kinds whose configuration names code to import. `beside` are the rewards that it may be made of,
    `models` those that it may ask.

    Raises:
        ConfigError: it cannot be served; all faults at once.
        NamedCode: it names code and may not.
    """
    draft = _draft(name, entry, folder, models or {}, named_code=named_code)
    rewards = dict(beside or {})
    faults = resolve({name: draft}, (), rewards, _resolved)
    if faults:
        raise ConfigError([f"{of}{why}" for of, why in faults])
    return rewards[name]


def _draft(
    name: str,
    entry: object,
    folder: Path | None,
    models: Mapping[str, ModelConfig],
    *,
    named_code: bool,
) -> Draft:
    """As `parse_reward`, but for what follows from other rewards."""
    if not NAME.fullmatch(name):
        raise ConfigError([f"{name}: want a name of letters, digits, '.', '_', '-'; at most 128"])
    if not isinstance(entry, dict):
        raise ConfigError([f"{name}: want a mapping with `kind:`"])
    given = {str(k): v for k, v in cast("dict[object, Any]", entry).items()}
    known = RewardSettings.model_fields.keys()
    settings_part = {k: v for k, v in given.items() if k in known}
    params = {k: v for k, v in given.items() if k not in known}
    kind = kinds().get(str(settings_part.get("kind")))
    if kind is not None and kind.runs_named_code and not named_code:
        raise NamedCode([f"{name}.kind: {kind.kind} names code to import; not allowed here"])
    if kind is not None and not named_code:
        # Before anything is built: building might look at what is named, and tell what it saw.
        why = "names addresses, keys or files; not allowed here"
        named = [f"{name}.{key}: {why}" for key in kind.outside if key in params]
        if named:
            raise NamedCode(named)
    try:
        if kind is not None and folder is not None:
            params = kind.at_home(params, str(folder))
        settings = RewardSettings.model_validate(settings_part)
        reward = build(settings.kind, params)
        if reward.reaches_out and not named_code:
            raise NamedCode([f"{name}: names addresses, keys or files; not allowed here"])
        reward.check()
        settings = RewardSettings.model_validate({**reward.defaults, **settings_part})
        model = model_of(reward, models)
        check_settings(settings_part, reward, model)
        return Draft(settings, params, reward, model)
    except ValidationError as error:
        names = [*known, *(kind.model_fields if kind is not None else ())]
        raise ConfigError(told(name, error, names)) from None
    except KeyError as error:
        raise ConfigError([f"{name}.kind: {error.args[0]}"]) from None
    except ValueError as error:
        raise ConfigError([f"{name}: {error}"]) from None


def _resolved(name: str, draft: Draft, members: Mapping[str, RewardConfig]) -> RewardConfig:
    settings, params, reward = draft.settings, draft.params, draft.reward
    facts = reward.facts
    if isinstance(reward, Combining):
        facts = reward.facts_over({alias: one.facts for alias, one in members.items()})
    digest = digest_of(draft, {alias: one.digest for alias, one in members.items()})
    return RewardConfig(name, settings, params, _lane(draft), facts, digest, draft.model)


def _lane(draft: Draft) -> Lane:
    settings, reward = draft.settings, draft.reward
    if draft.model is not None:
        return "model"
    if isinstance(reward, Combining):
        return "composite"
    if reward.isolation:
        return "sandbox"
    return "inline" if reward.fits_inline and settings.lane != "pool" else "pool"
