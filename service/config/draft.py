"""A reward whose entry was read, before the rewards that it is made of are known."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, TypeVar

from rewardplane.rewards.compose.combining import Combining
from rewardplane.rewards.reward import Reward

from .models import ModelConfig
from .settings import RewardSettings


@dataclass(frozen=True, slots=True)
class Draft:
    """One entry under `rewards:`, checked by itself."""

    settings: RewardSettings
    params: Mapping[str, Any]
    reward: Reward
    model: ModelConfig | None = None
    """The model that it asks."""

    @property
    def members(self) -> Mapping[str, str]:
        """The rewards that it is made of, by the names that they have in it."""
        return self.reward.members if isinstance(self.reward, Combining) else {}


def check_settings(
    given: Mapping[str, Any], reward: Reward, model: ModelConfig | None = None
) -> None:
    """Refuses settings that do not suit a reward; `model` is the one that it asks.

    Raises:
        ValueError: it does not fit the lane, or it has no replicas of its own and has a setting of
            what does.
    """
    if model is not None and given.get("lane", "auto") != "auto":
        raise ValueError(f"lane: it runs beside its model {model.name!r}; leave it out")
    if model is not None and given.get("replicas", 1) != 1:
        raise ValueError(f"replicas: it runs on those of its model {model.name!r}; set them there")
    if not isinstance(reward, Combining):
        if given.get("lane") == "inline" and not reward.fits_inline:
            raise ValueError(f"lane: kind {reward.kind!r} does not fit the inline lane; use pool")
        return
    unfit = [key for key in given if key not in ("kind", "version", "clip")]
    if unfit:
        raise ValueError(f"{', '.join(unfit)}: has no effect here; set it at the members")


def digest_of(draft: Draft, members: Mapping[str, str]) -> str:
    """16 hex digits of all that decides a score: settings, parameters, source, libraries, model.

    `members` are the digests of what it is made of.
    """
    settings, params, reward = draft.settings, draft.params, draft.reward
    deciding: dict[str, Any] = {
        "kind": settings.kind,
        "clip": settings.clip,
        "version": settings.version,
        "params": {k: v for k, v in params.items() if k != "python_path"},
        "libraries": {
            name: importlib.metadata.version(name) for name in ("rewardplane", *reward.libraries)
        },
        "decided_by": dict(reward.decided_by),
        **({"model": draft.model.digest} if draft.model is not None else {}),
        "sources": [
            hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in reward.source_files
        ],
    }
    if members:
        deciding["members"] = dict(members)
    canonical = json.dumps(deciding, sort_keys=True, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


_T = TypeVar("_T")


def resolve(
    drafts: Mapping[str, Draft],
    broken: Collection[str],
    made: dict[str, _T],
    make: Callable[[str, Draft, Mapping[str, _T]], _T],
) -> list[tuple[str, str]]:
    """Adds what `make` makes of each draft to `made`, members before what is made of them.

    Returns the faults: the reward's name, and what is wrong. `broken` are names whose own faults
    are told elsewhere.
    """
    faults: list[tuple[str, str]] = []
    for name in _in_order(drafts, faults):
        draft = drafts[name]
        members: dict[str, _T] = {}
        for alias, of in draft.members.items():
            # One with faults of its own, or of a circle, is told elsewhere.
            if of in made:
                members[alias] = made[of]
            elif of not in broken and of not in drafts:
                near = get_close_matches(of[:128], {*made, *drafts}, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                faults.append((name, f": member {alias!r}: no reward is named {of!r}{hint}"))
        if len(members) == len(draft.members):
            try:
                made[name] = make(name, draft, members)
            except ValueError as error:
                faults.append((name, f": {error}"))
    return faults


def _in_order(drafts: Mapping[str, Draft], faults: list[tuple[str, str]]) -> list[str]:
    """The names, each after those of its members; none of a circle, which `faults` gets."""
    left = dict(drafts)
    while True:
        graph = {
            name: [of for of in draft.members.values() if of in left]
            for name, draft in left.items()
        }
        try:
            return list(TopologicalSorter(graph).static_order())
        except CycleError as circle:
            names: list[str] = circle.args[1]
            # The circle is told from what depends on to what it depends on.
            told = " of ".join(reversed(names))
            faults.append((names[0], f": is made of itself: {told}"))
            for name in names:
                left.pop(name, None)
