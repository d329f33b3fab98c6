"""What a call asks for apart from its groups."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TypedDict, cast

from google.protobuf.duration_pb2 import Duration
from rewardplane.rewards.types import ISOLATION_LEVELS
from rewardplane.v1 import reward_service_pb2 as pb
from rewardplane.wire.messages import clean

DEFAULT_TIMEOUT_S = 300.0


class CallOptionArgs(TypedDict, total=False):
    """The keyword arguments of every method that scores, with their defaults."""

    version: str
    """The version of the reward; "": the one served now."""
    job: str
    """The tuning job, a label for metrics and logs; ""."""
    step: int
    """The training step, for logs; 0: not known."""
    timeout_s: float
    """The longest that the call may take, all tries included; 300."""
    include_components: bool
    """Whether scores come with their components; False."""
    include_explanations: bool
    """Whether scores come with the explanation of the reward; False."""
    include_step_rewards: bool
    """Whether scores come with rewards per step; False."""
    include_health: bool
    """Whether the answer says how the rewards do over the job; False."""
    include_details: bool
    """Whether scores come with the details that the reward tells to programs; False."""
    item_timeout_s: float | None
    """The longest that one item may execute; None: as the reward is configured."""
    queue_timeout_s: float | None
    """The longest that one item may wait for its execution to start; None: as configured."""
    min_isolation: str
    """The isolation that untrusted code must have, of `ISOLATION_LEVELS`; "": as configured."""


@dataclass(slots=True, frozen=True)
class CallOptions:
    """What a call asks for; calls with equal options may travel together."""

    reward: str
    version: str = ""
    job: str = ""
    step: int = 0
    timeout_s: float = DEFAULT_TIMEOUT_S
    include_components: bool = False
    include_explanations: bool = False
    include_step_rewards: bool = False
    include_health: bool = False
    include_details: bool = False
    item_timeout_s: float | None = None
    queue_timeout_s: float | None = None
    min_isolation: str = ""

    def __post_init__(self) -> None:
        if self.min_isolation not in ISOLATION_LEVELS:
            raise ValueError(
                f"min_isolation is {self.min_isolation!r}, want one of {ISOLATION_LEVELS[1:]}"
            )

    def head(self, request_id: str) -> bytes:
        """A serialized ScoreRequest without groups."""
        request = pb.ScoreRequest(
            reward=clean(self.reward),
            version=clean(self.version),
            job=clean(self.job),
            step=self.step,
            request_id=clean(request_id),
        )
        options = request.options
        if self.include_components:
            options.include_components = True
        if self.include_explanations:
            options.include_explanations = True
        if self.include_step_rewards:
            options.include_step_rewards = True
        if self.include_health:
            options.include_health = True
        if self.include_details:
            options.include_details = True
        if self.item_timeout_s is not None:
            options.item_timeout.CopyFrom(_duration(self.item_timeout_s))
        if self.queue_timeout_s is not None:
            options.queue_timeout.CopyFrom(_duration(self.queue_timeout_s))
        if self.min_isolation:
            level = ISOLATION_LEVELS.index(self.min_isolation)
            options.min_isolation = cast("pb.IsolationLevel", level)
        return request.SerializeToString()


def new_request_id() -> str:
    """A name for a call in logs: all its chunks and tries bear it."""
    return secrets.token_hex(8)


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(round(seconds * 1e9))
    return duration
