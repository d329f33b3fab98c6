"""What a configuration may set: the limits of the service, its HTTP port, and each reward's.

Bytes are of protobuf, times in seconds. What is not known is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from rewardplane.rewards.text.end_tokens import END_TOKENS


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
    cache_mb: Annotated[int, Field(ge=0, le=65_536)] = 64
    """Memory for the scores of deterministic rewards that are not cheap, in MiB: an item that is
    equal byte by byte to one that was scored, or that executes, is not executed again. 0: off."""


class OnError(_Settings):
    """The reward that an item gets in place of an error that would not pass."""

    value: Annotated[float, Field(allow_inf_nan=False)]


class RewardUrl(_Settings):
    """A URL that trainers call for rewards: the reward it answers with, and how."""

    reward: str
    gold: str = "answer"
    """The reference that a label becomes; a label that is an object becomes references."""
    end_tokens: tuple[str, ...] = END_TOKENS
    """What is cut from the end of a response that was decoded with its special tokens."""
    on_error: Literal["error"] | OnError = "error"
    """What an item gets that has no reward and would have none the next time: an HTTP error, or
    `{value: x}`, this reward."""

    @property
    def value_on_error(self) -> float | None:
        """The reward in place of a lasting error; None: an error is told as one."""
        return self.on_error.value if isinstance(self.on_error, OnError) else None


class HttpSettings(_Settings):
    """What the HTTP port answers with, where one is open."""

    reward: str = ""
    """The reward that `POST /` scores with; `POST /rewards/NAME` needs none."""
    on_error: Literal["error"] | OnError = "error"
    """What a tuning job gets for an item that has no reward and would have none the next time:
    HTTP 500, which it repeats and then takes for NaN; or `{value: x}`, this reward."""

    gemini: Mapping[str, Any] = Field(default_factory=dict)
    """Parameters of kind `gemini` for configurations that a validation brings: `judge`,
    `cloud_run`, `undocumented`, `isolation` …. Cloud Run services are called at
    `cloud_run.allowed_origins` only; none where it is not set."""
    openai: Mapping[str, Any] = Field(default_factory=dict)
    """Parameters of kind `openai_grader` for graders that a run brings: `judge`, `isolation` …."""
    openrlhf: RewardUrl | None = None
    """`POST /get_reward`, as OpenRLHF calls its `--reward.remote_url`."""
    remote_rm: RewardUrl | None = None
    """`POST /remote_rm`, as slime and miles call their `--rm-url`."""
    invalid_as_zero: bool = False
    """What `/graders/run` answers for a grade that is none: 0, as at OpenAI, else null."""

    @property
    def value_on_error(self) -> float | None:
        """The reward in place of a lasting error; None: an error is told as one."""
        return self.on_error.value if isinstance(self.on_error, OnError) else None


class RewardSettings(_Settings):
    """How a reward is served, whatever its kind."""

    kind: str
    version: Annotated[str, Field(min_length=1, max_length=128)] = "1"
    """What the author calls this version; a change of anything else gives a new digest anyway."""
    lane: Literal["auto", "inline", "pool"] = "auto"
    """`auto`: inline where the kind fits, else pool. What runs untrusted code has a lane of its
    own, `sandbox`, and no choice."""
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
