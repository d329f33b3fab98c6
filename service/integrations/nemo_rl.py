"""An environment for NeMo RL, single-turn, whose rewards a service gives: one call for each batch.

    from nemo_rl.distributed.ray_actor_environment_registry import ACTOR_ENVIRONMENT_REGISTRY
    from nemo_rl.distributed.virtual_cluster import PY_EXECUTABLES
    from nemo_rl.environments.utils import register_env

    name = "rewardplane.integrations.nemo_rl.RewardplaneEnvironment"
    ACTOR_ENVIRONMENT_REGISTRY[name] = PY_EXECUTABLES.SYSTEM
    register_env("rewardplane", name)

with `env.rewardplane: {reward: math, target: "localhost:50051"}` in the configuration. NeMo RL
7ea279abf calls `step(message_log_batch, metadata)` of a Ray actor
(nemo_rl/environments/interfaces.py); an exception ends the step.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from rewardplane.rewards.types import Outcome

from .columns import by_column
from .remote_reward import Policy, RemoteReward

POLICIES: tuple[Policy, ...] = ("raise", "value")


def remote(settings: Mapping[str, Any]) -> RemoteReward:
    """The reward that an environment's configuration names.

    Raises:
        ValueError: there is no `reward`, or a setting is malformed.
    """
    given = {**settings}
    if not given.get("reward"):
        raise ValueError("no reward: want `reward` in the configuration of the environment")
    return RemoteReward.of(given.pop("reward"), given.pop("target", None), POLICIES, given)


def outcomes_of(
    remote: RemoteReward,
    message_log_batch: Sequence[Sequence[Mapping[str, Any]]],
    metadata: Sequence[Mapping[str, Any] | None],
) -> list[Outcome]:
    """One outcome per conversation: the last message is the completion, the rest the prompt."""
    logs = [[_message(message) for message in log] for log in message_log_batch]
    rows = [row or {} for row in metadata]
    batch = remote.groups_of(
        [log[:-1] for log in logs],
        [log[-1]["content"] if log else "" for log in logs],
        None,
        by_column(rows),
    )
    return remote.score_rows_sync(batch)


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    # NeMo RL keeps token ids and log-probabilities beside what was said.
    return {"role": message["role"], "content": message["content"]}


def __getattr__(name: str) -> Any:
    if name == "RewardplaneEnvironment":
        return _actor_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@functools.cache
def _actor_class() -> Any:
    # Ray, torch and NeMo RL are imported when NeMo RL asks for the class.
    ray = importlib.import_module("ray")
    return ray.remote(max_restarts=-1, max_task_retries=-1)(environment_class())


@functools.cache
def environment_class() -> Any:
    """The class of the actor, without Ray."""
    torch = importlib.import_module("torch")
    interfaces = importlib.import_module("nemo_rl.environments.interfaces")
    base: Any = interfaces.EnvironmentInterface

    class RewardplaneEnvironment(base):
        """One turn, scored by a service; `cfg` has the settings of `RemoteReward`."""

        def __init__(self, cfg: Mapping[str, Any]) -> None:
            self.remote = remote(cfg)

        def step(
            self,
            message_log_batch: Sequence[Sequence[Mapping[str, Any]]],
            metadata: Sequence[Mapping[str, Any] | None],
        ) -> Any:
            outcomes = outcomes_of(self.remote, message_log_batch, metadata)
            rewards = torch.tensor(self.remote.settle(outcomes), dtype=torch.float32)
            n = len(message_log_batch)
            return interfaces.EnvironmentReturn(
                observations=[{"role": "environment", "content": ""} for _ in range(n)],
                metadata=list(metadata),
                next_stop_strings=[None] * n,
                rewards=rewards,
                terminateds=torch.ones(n),
                answers=None,
            )

        def global_post_process_and_metrics(self, batch: Any) -> tuple[Any, dict[str, float]]:
            rewards = batch["rewards"]
            mean = float(rewards.float().mean()) if len(rewards) else 0.0
            return batch, {f"{self.remote.label}/reward_mean": mean}

    return RewardplaneEnvironment
