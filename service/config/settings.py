"""What a configuration may set: the limits of the service, its HTTP port, and each reward's.

Bytes are of protobuf, times in seconds. What is not known is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from rewardplane.rewards.text.end_tokens import END_TOKENS
from rewardplane.rewards.types import Reason
from typing_extensions import TypedDict

from .replicas import Replicas


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


class CodeUrl(_Settings):
    """A URL that runs programs: the reward it answers with."""

    reward: str


class _Lasting(_Settings):
    """What becomes of an item that has no reward and would have none the next time."""

    on_error: Literal["error"] | OnError = "error"

    @property
    def value_on_error(self) -> float | None:
        """The reward in place of a lasting error; None: an error is told as one."""
        return self.on_error.value if isinstance(self.on_error, OnError) else None

    @property
    def tells(self) -> Literal["none", "lasting"]:
        """Which errors an answer can tell: those that are a number."""
        return "none" if self.value_on_error is None else "lasting"


class RewardUrl(_Lasting):
    """A URL that trainers call for rewards: the reward it answers with, and how."""

    reward: str
    gold: str = "answer"
    """The reference that a label becomes; a label that is an object becomes references."""
    end_tokens: tuple[str, ...] = END_TOKENS
    """What is cut from the end of a response that was decoded with its special tokens."""
    on_error: Literal["error"] | OnError = "error"
    """What an item gets that has no reward and would have none the next time: an HTTP error, or
    `{value: x}`, this reward."""


class NemoGymUrl(_Settings):
    """A resources server of NeMo Gym: the reward it answers with, and how."""

    reward: str
    end_tokens: tuple[str, ...] = END_TOKENS
    """What is cut from the end of a response that was decoded with its special tokens."""
    on_error: Literal["mask", "error"] | OnError = "mask"
    """What a sample without a reward becomes: one that does not count (`mask_sample`), an HTTP
    error, or, where it would have none the next time, `{value: x}`, this reward."""

    @property
    def value_on_error(self) -> float | None:
        """The reward in place of a lasting error; None: there is none."""
        return self.on_error.value if isinstance(self.on_error, OnError) else None

    @property
    def tells(self) -> Literal["none", "lasting", "all"]:
        """Which errors an answer can tell."""
        if self.on_error == "mask":
            return "all"
        return "none" if self.value_on_error is None else "lasting"


class HttpSettings(_Lasting):
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
    open_instruct: CodeUrl | None = None
    """`POST /test_program` and `/test_program_stdio`, as open-instruct calls its `--code_api_url`;
    a reward of kind `code_tests` with `program: none`."""
    nemo_gym: NemoGymUrl | None = None
    """`POST /verify` and what else NeMo Gym calls a resources server for."""
    eval_protocol: RewardUrl | None = None
    """`POST /evaluate`, as eval-protocol calls a remote reward function."""
    sandbox_fusion: CodeUrl | None = None
    """`POST /run_code`, as SandboxFusion's clients call it; a reward of kind `program_run`."""
    invalid_as_zero: bool = False
    """What `/graders/run` answers for a grade that is none: 0, as at OpenAI, else null."""

    @property
    def urls(self) -> Mapping[str, RewardUrl | CodeUrl | NemoGymUrl]:
        """The URLs that are switched on, each by its setting's name."""
        found = {name: getattr(self, name) for name in type(self).model_fields}
        return {k: v for k, v in found.items() if isinstance(v, RewardUrl | CodeUrl | NemoGymUrl)}


class Fixture(_Settings):
    """A case that a reward is tried on by `rewardplane check --fixtures`."""

    name: str = ""
    prompt: str = ""
    references: Mapping[str, Any] = Field(default_factory=dict)
    """Text, or any JSON value."""
    response: str
    reward: float | tuple[float, float] | None = None
    """The reward that is due, or the range [low, high] that it must be in."""
    error: str = ""
    """The reason of the error that is due, such as INVALID_REFERENCE."""

    @model_validator(mode="after")
    def _one_end(self) -> Fixture:
        if (self.reward is None) == (not self.error):
            raise ValueError("want either `reward` or `error`")
        if self.error and self.error not in Reason.__members__:
            raise ValueError(f"error: no reason is named {self.error!r}")
        return self


def _whole_above_one(gpus: float) -> float:
    if gpus > 1 and gpus != int(gpus):
        raise ValueError("want a whole number, or less than 1: a share of one card")
    return gpus


def _no_own_names(resources: dict[str, float]) -> dict[str, float]:
    for name, setting in (("CPU", "num_cpus"), ("GPU", "num_gpus"), ("memory", "memory")):
        if name in resources:
            raise ValueError(f"{name} is set by {setting}")
    return resources


def _uris_alone(env: dict[str, Any]) -> dict[str, Any]:
    for key in ("working_dir", "py_modules"):
        given = env.get(key)
        named = cast("list[object]", given if isinstance(given, list) else [given])
        if bad := [str(path) for path in named if path is not None and "://" not in str(path)]:
            raise ValueError(
                f"{key}: {bad[0]!r} is no URI, which Ray Serve wants (https://, s3://, local://); "
                "modules beside the configuration file need none"
            )
    return env


class RayActorOptions(TypedDict, total=False):
    """What Ray gives each replica (https://docs.ray.io/en/latest/serve/resource-allocation.html)."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc] - pydantic's own name

    num_cpus: Annotated[float, Field(ge=0)]
    num_gpus: Annotated[float, Field(ge=0), AfterValidator(_whole_above_one)]
    memory: Annotated[int, Field(ge=0)]
    resources: Annotated[dict[str, Annotated[float, Field(ge=0)]], AfterValidator(_no_own_names)]
    accelerator_type: str
    label_selector: dict[str, str]
    fallback_strategy: list[dict[str, Any]]
    runtime_env: Annotated[dict[str, Any], AfterValidator(_uris_alone)]


class RewardSettings(_Settings):
    """How a reward is served, whatever its kind."""

    kind: str
    version: Annotated[str, Field(min_length=1, max_length=128)] = "1"
    """What the author calls this version; a change of anything else gives a new digest anyway."""
    lane: Literal["auto", "inline", "pool"] = "auto"
    """`auto`: inline where the kind fits, else pool. What runs untrusted code has a lane of its
    own, `sandbox`, and no choice."""
    replicas: Replicas = 1
    """Replicas of the pool: a number, or `{min: 1, max: 16}` for as many as the work wants. An
    inline reward has one too, for responses over 64 kB."""
    ray_actor_options: RayActorOptions = Field(default_factory=RayActorOptions)
    """Passed to Ray for each replica: num_cpus, num_gpus, resources, runtime_env …"""
    timeout_s: Annotated[float, Field(gt=0, le=86_400)] = 30.0
    """The longest that one item may execute."""
    queue_timeout_s: Annotated[float, Field(gt=0, le=86_400)] = 300.0
    """The longest that one item may wait for its execution to start."""
    memory_limit_mb: Annotated[int, Field(ge=64, le=2**24)] = 2048
    """The memory of the process that runs the reward, in MiB."""
    concurrency: Annotated[int, Field(ge=1, le=4096)] = 64
    """Calls of an async reward in flight per replica."""
    clip: tuple[float, float] | None = None
    """The range that rewards are clipped to. None: as they are."""

    fixtures: Annotated[tuple[Fixture, ...], Field(exclude=True)] = ()
    """What the reward must give for some cases; read by `rewardplane check --fixtures` only."""

    @model_validator(mode="after")
    def _clip_is_a_range(self) -> RewardSettings:
        if self.clip is not None and not self.clip[0] < self.clip[1]:
            raise ValueError("clip: want [low, high] with low < high")
        return self
