"""The configuration: one YAML file of named rewards and the limits of the service.

    limits: {max_in_flight_items: 100000}
    rewards:
      math:
        kind: math
        replicas: 4
        timeout_s: 20
      tone:
        kind: python
        path: my_rewards:tone
        version: "2026-11-20"

What is not a setting of `RewardSettings` is a parameter of the kind. All faults are told at once.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..rewards.base import Reward
from ..rewards.registry import build

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
INLINE_BYTES = 64 * 1024
"""The largest response of the inline lane; larger ones go to the reward's pool."""


class ConfigError(Exception):
    """The configuration cannot be served; `faults` are all that is wrong with it."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Limits(_Settings):
    """What the service takes at most. Bytes of protobuf, seconds."""

    max_in_flight_items: Annotated[int, Field(ge=1)] = 100_000
    """Items admitted and not yet answered, per gateway; more are refused (RESOURCE_EXHAUSTED)."""
    max_in_flight_bytes: Annotated[int, Field(ge=2**20)] = 512 * 2**20
    """Bytes of requests admitted and not yet answered, per gateway."""
    max_request_items: Annotated[int, Field(ge=1)] = 65_536
    """Items of one call."""
    max_request_bytes: Annotated[int, Field(ge=2**20, lt=2**31)] = 64 * 2**20
    """Bytes of one call."""
    max_item_bytes: Annotated[int, Field(ge=1024, lt=2**30)] = 32 * 2**20
    """Bytes of one item, example and response together."""
    default_deadline_s: Annotated[float, Field(gt=0, le=86_400)] = 300.0
    """The deadline of a call that sets none."""


class RewardSettings(_Settings):
    """How a reward is served, whatever its kind."""

    kind: str
    version: Annotated[str, Field(min_length=1, max_length=128)] = "1"
    """What the author calls this version; a change of anything else gives a new digest anyway."""
    lane: Literal["auto", "inline", "pool"] = "auto"
    """`auto`: inline where the kind fits, else pool."""
    replicas: Annotated[int, Field(ge=1, le=10_000)] = 1
    """Replicas of the pool. An inline reward has one too, for responses over 64 kB."""
    ray_actor_options: Mapping[str, Any] = Field(default_factory=dict)
    """Passed to Ray for each replica: num_cpus, num_gpus, resources, runtime_env …"""
    timeout_s: Annotated[float, Field(gt=0, le=86_400)] = 30.0
    """The longest that one item may execute."""
    queue_timeout_s: Annotated[float, Field(gt=0, le=86_400)] = 300.0
    """The longest that one item may wait for its execution to start."""
    memory_limit_mb: Annotated[int, Field(ge=64)] = 2048
    """The memory of the process that runs the reward, in MiB."""
    concurrency: Annotated[int, Field(ge=1, le=4096)] = 64
    """Calls of an async reward in flight per replica."""
    clip: tuple[float, float] | None = None
    """The range that rewards are clipped to. None: as they are."""

    @model_validator(mode="after")
    def _clip_is_a_range(self) -> RewardSettings:
        if self.clip is not None and not self.clip[0] < self.clip[1]:
            raise ValueError("clip: want [low, high] with low < high")
        return self


class RewardConfig:
    """One reward, checked: its settings, its function and the digest of all that decides a score."""

    __slots__ = ("digest", "lane", "name", "params", "reward", "settings")

    def __init__(self, name: str, settings: RewardSettings, params: Mapping[str, Any]) -> None:
        self.name = name
        self.settings = settings
        self.params = dict(params)
        self.reward: Reward = build(settings.kind, params)
        if settings.lane == "inline" and not self.reward.fits_inline:
            raise ValueError(f"lane: kind {settings.kind!r} does not fit the inline lane; use pool")
        fits = self.reward.fits_inline and settings.lane != "pool"
        self.lane: Literal["inline", "pool"] = "inline" if fits else "pool"
        self.digest = _digest(self)

    @property
    def clip(self) -> tuple[float, float]:
        """The range that rewards are clipped to."""
        return self.settings.clip or (-math.inf, math.inf)

    def as_dict(self) -> dict[str, Any]:
        """As plain data, from which `from_dict` makes the same reward in another process."""
        settings = self.settings.model_dump(mode="json")
        return {"name": self.name, "settings": settings, "params": self.params}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RewardConfig:
        """The reward of `as_dict`."""
        return cls(data["name"], RewardSettings(**data["settings"]), data["params"])


class ServiceConfig:
    """What one service serves: rewards by name, and its limits."""

    __slots__ = ("limits", "rewards")

    def __init__(self, limits: Limits, rewards: Mapping[str, RewardConfig]) -> None:
        self.limits = limits
        self.rewards = dict(rewards)

    def as_dict(self) -> dict[str, Any]:
        """As plain data for another process."""
        return {
            "limits": self.limits.model_dump(mode="json"),
            "rewards": [reward.as_dict() for reward in self.rewards.values()],
        }


def load(path: Path) -> ServiceConfig:
    """Reads a configuration file. Custom functions are found beside it, but not imported.

    Raises:
        ConfigError: it cannot be served; all faults at once.
    """
    try:
        document = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror}"]) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: not YAML: {error}"]) from None
    return parse(document, path.resolve().parent)


def parse(document: object, folder: Path) -> ServiceConfig:
    """A configuration from what a YAML file in `folder` holds.

    Raises:
        ConfigError: it cannot be served; all faults at once.
    """
    if not isinstance(document, dict):
        raise ConfigError(["want a mapping with `rewards:`"])
    faults = [f"{key}: unknown; want limits, rewards" for key in document.keys() - _TOP]
    limits = Limits()
    try:
        limits = Limits.model_validate(document.get("limits") or {})
    except ValidationError as error:
        faults += _faults("limits", error)
    named = document.get("rewards")
    if not isinstance(named, dict) or not named:
        faults.append("rewards: want at least one reward under its name")
        named = {}
    rewards: dict[str, RewardConfig] = {}
    for name, entry in named.items():
        try:
            rewards[name] = parse_reward(str(name), entry, folder)
        except ConfigError as error:
            faults += [f"rewards.{fault}" for fault in error.faults]
    if faults:
        raise ConfigError(faults)
    return ServiceConfig(limits, rewards)


_TOP = {"limits", "rewards"}


def parse_reward(name: str, entry: object, folder: Path | None) -> RewardConfig:
    """One reward from its entry under `rewards:`. `folder`: where custom functions may lie.

    Raises:
        ConfigError: it cannot be served; all faults at once.
    """
    if not NAME.fullmatch(name):
        raise ConfigError([f"{name}: want a name of letters, digits, '.', '_', '-'; at most 128"])
    if not isinstance(entry, dict):
        raise ConfigError([f"{name}: want a mapping with `kind:`"])
    known = RewardSettings.model_fields.keys()
    settings_part = {k: v for k, v in entry.items() if k in known}
    params = {str(k): v for k, v in entry.items() if k not in known}
    if settings_part.get("kind") == "python" and folder is not None:
        params.setdefault("python_path", [str(folder)])
    try:
        return RewardConfig(name, RewardSettings.model_validate(settings_part), params)
    except ValidationError as error:
        raise ConfigError(_faults(name, error)) from None
    except KeyError as error:
        raise ConfigError([f"{name}.kind: {error.args[0]}"]) from None
    except ValueError as error:
        raise ConfigError([f"{name}: {error}"]) from None


def _faults(path: str, error: ValidationError) -> list[str]:
    return [
        ".".join([path, *(str(part) for part in fault["loc"])]) + f": {fault['msg']}"
        for fault in error.errors()
    ]


def _digest(config: RewardConfig) -> str:
    """16 hex digits of all that decides a score: settings, parameters, source, libraries."""
    settings = config.settings
    deciding = {
        "kind": settings.kind,
        "clip": settings.clip,
        "version": settings.version,
        "params": {k: v for k, v in config.params.items() if k != "python_path"},
        "libraries": {
            name: importlib.metadata.version(name)
            for name in ("rewardplane", *config.reward.libraries)
        },
        "sources": [
            hashlib.sha256(Path(path).read_bytes()).hexdigest()
            for path in config.reward.source_files
        ],
    }
    canonical = json.dumps(deciding, sort_keys=True, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
