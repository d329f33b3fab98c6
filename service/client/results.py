"""What the calls of a client return."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

from rewardplane.rewards.models.model_facts import ModelFacts
from rewardplane.rewards.types import Outcome


@dataclass(slots=True, frozen=True)
class ModelUsed:
    """A model as it was when it was asked; `digest` is of its configuration and files."""

    name: str
    digest: str
    facts: ModelFacts


@dataclass(slots=True, frozen=True)
class RewardUsed:
    """A reward as it was when it scored; `digest` is of all that decides a score."""

    name: str
    version: str
    digest: str
    component_names: tuple[str, ...] = ()
    model: ModelUsed | None = None
    """The model that it asked, where it asked one."""


@dataclass(slots=True, frozen=True)
class RewardHealth:
    """How a reward did for the job in the last ten minutes; NaN where it cannot be told yet.

    Ratios are between 0 and 1: items without a reward; groups whose rewards are all equal; rewards
    equal to the lowest or the highest, the larger share; rewards at an end of the range that they
    are clipped to. `advice` says in words what is out of the ordinary; one that begins with STOP
    says to stop the job.
    """

    reward: str
    items: int
    error_ratio: float
    mean: float
    deviation: float
    p10: float
    p50: float
    p90: float
    alike_ratio: float
    saturation: float
    clip_ratio: float
    length_correlation: float
    advice: tuple[str, ...]


@dataclass(slots=True)
class Scores(Sequence[list[Outcome]]):
    """The outcomes of a call: per group a list with one outcome per response, in the order sent.

    `used[g]` is the reward that scored group g: None where its part of a large call failed for good
    while others succeeded. `queue_us[g]` is the longest wait of a response of the group for its
    execution to start, `execution_us[g]` the execution time of all of them, both in microseconds.
    `isolation[g]` is the lowest of `ISOLATION_LEVELS` that untrusted code ran under for it.
    `health` has one entry for each reward used, where the call asked for it.
    """

    outcomes: list[list[Outcome]]
    used: list[RewardUsed | None]
    queue_us: list[int]
    execution_us: list[int]
    isolation: list[str]
    request_id: str
    health: tuple[RewardHealth, ...] = ()

    @property
    def rewards(self) -> tuple[RewardUsed, ...]:
        """The rewards that were used, each once. Two versions of one name: it was reloaded."""
        return tuple(dict.fromkeys(used for used in self.used if used is not None))

    @property
    def models(self) -> tuple[ModelUsed, ...]:
        """The models that were asked, each once."""
        return tuple(dict.fromkeys(used.model for used in self.rewards if used.model is not None))

    @overload
    def __getitem__(self, index: int) -> list[Outcome]: ...
    @overload
    def __getitem__(self, index: slice) -> list[list[Outcome]]: ...
    def __getitem__(self, index: int | slice) -> list[Outcome] | list[list[Outcome]]:
        return self.outcomes[index]

    def __len__(self) -> int:
        return len(self.outcomes)


@dataclass(slots=True, frozen=True)
class StreamedOutcome:
    """One item's outcome as it arrives: the item is `(group_index, response_index)`."""

    group_index: int
    response_index: int
    outcome: Outcome
    used: RewardUsed


@dataclass(slots=True)
class Validation:
    """What a reward made of one response, with remarks for the reward's author."""

    outcome: Outcome
    used: RewardUsed
    messages: tuple[str, ...] = ()
    queue_us: int = 0
    execution_us: int = 0
    isolation: str = ""


@dataclass(slots=True, frozen=True)
class RewardInfo:
    """A reward as it is served.

    `lane` is "inline", "pool", "sandbox" or "composite" and `scope` "item" or "group"; a value that
    this version does not know is "". Times are in seconds; `max_request_items`, `max_item_bytes`
    and `max_request_bytes` are the service's limits. `isolation` is what its untrusted code has at
    least, of `ISOLATION_LEVELS`.
    """

    name: str
    version: str
    digest: str
    kind: str
    lane: str
    scope: str
    deterministic: bool
    component_names: tuple[str, ...] = ()
    reference_keys: tuple[str, ...] = ()
    item_timeout_s: float = 0.0
    queue_timeout_s: float = 0.0
    max_request_items: int = 0
    max_item_bytes: int = 0
    max_request_bytes: int = 0
    isolation: str = ""
