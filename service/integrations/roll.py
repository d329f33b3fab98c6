"""A reward worker for ROLL's RLVR pipeline: one call for each batch.

    rewards:
      math:
        worker_cls: rewardplane.integrations.roll.RewardplaneWorker
        rewardplane: {reward: math, target: "localhost:50051"}

ROLL 8eb27cc2 calls `compute_rewards(data)` with a DataProto
(roll/pipeline/rlvr/rewards/math_rule_reward_worker.py); an exception ends the step.
"""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

from rewardplane.rewards.types import Outcome

from .end_tokens import without_end_tokens
from .remote_reward import Policy, RemoteReward

POLICIES: tuple[Policy, ...] = ("raise", "value")

NOT_SENT = frozenset({"prompt_id", "sampling_params", "messages", "domain"})


def remote(settings: Mapping[str, Any] | None) -> RemoteReward:
    """The reward that a worker's configuration names, or the environment's REWARDPLANE_REWARD.

    Raises:
        ValueError: there is no reward, or a setting is malformed.
    """
    given = {**(settings or {})}
    reward = given.pop("reward", "") or os.environ.get("REWARDPLANE_REWARD", "")
    if not reward:
        raise ValueError(
            "no reward: want `rewardplane: {reward: NAME}` in the worker's configuration, or "
            "REWARDPLANE_REWARD in its environment"
        )
    return RemoteReward.of(reward, given.pop("target", None), POLICIES, given)


def outcomes_of(
    remote: RemoteReward,
    prompts: Sequence[str],
    responses: Sequence[str],
    columns: Mapping[str, Sequence[Any]],
) -> list[Outcome]:
    """One outcome per response, in their order; end and padding tokens are cut."""
    sent = {name: values for name, values in columns.items() if name not in NOT_SENT}
    texts = [without_end_tokens(text) for text in responses]
    batch = remote.groups_of([without_end_tokens(p) for p in prompts], texts, None, sent)
    return remote.score_rows_sync(batch)


def __getattr__(name: str) -> Any:
    if name == "RewardplaneWorker":
        return _worker_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@functools.cache
def _worker_class() -> Any:
    # ROLL and torch are imported when ROLL asks for the class.
    torch = importlib.import_module("torch")
    base: Any = importlib.import_module("roll.distributed.executor.worker").Worker
    decorator = importlib.import_module("roll.distributed.scheduler.decorator")
    data_proto: Any = importlib.import_module("roll.distributed.scheduler.protocol").DataProto
    providers = importlib.import_module("roll.models.model_providers")

    class RewardplaneWorker(base):
        """One reward of one service as a reward worker."""

        def __init__(self, worker_config: Any) -> None:
            base.__init__(self, worker_config=worker_config)
            self.rank_info.dp_rank = self.rank_info.rank
            self.rank_info.dp_size = self.rank_info.world_size
            self.tokenizer = providers.default_tokenizer_provider(
                model_args=self.worker_config.model_args
            )
            self.remote = remote(getattr(worker_config, "rewardplane", None))

        @decorator.register(dispatch_mode=decorator.Dispatch.ONE_TO_ALL)
        def initialize(self, pipeline_config: Any) -> None:
            pass

        @decorator.register(dispatch_mode=decorator.Dispatch.DP_MP_COMPUTE, clear_cache=False)
        def compute_rewards(self, data: Any) -> Any:
            decode = self.tokenizer.batch_decode
            outcomes = outcomes_of(
                self.remote,
                decode(data.batch["prompts"], skip_special_tokens=False),
                decode(data.batch["responses"], skip_special_tokens=False),
                data.non_tensor_batch,
            )
            # float16, as ROLL's own workers give.
            rewards = torch.tensor(self.remote.settle(outcomes), dtype=torch.float16)
            by_token = torch.zeros_like(data.batch["responses"], dtype=torch.float16)
            return data_proto.from_dict(
                tensors={
                    "token_level_rewards": by_token,
                    "response_level_rewards": rewards,
                    "scores": rewards.clone(),
                }
            )

    return RewardplaneWorker
