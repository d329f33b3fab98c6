"""A reward worker for ROLL's RLVR pipeline: one call for each batch.

In a module, `my_workers.py`::

    from rewardplane.integrations.roll import worker

    MathWorker = worker("math", "localhost:50051")

and `worker_cls: my_workers.MathWorker` under `rewards:` in the configuration. ROLL 8eb27cc2 calls
`compute_rewards(data)` with a DataProto
(roll/pipeline/rlvr/rewards/math_rule_reward_worker.py); an exception ends the step.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from rewardplane.client.target import Target
from rewardplane.rewards.text.end_tokens import without_end_tokens
from rewardplane.rewards.types import Outcome

from .remote_reward import AdapterArgs, Policy, RemoteReward

POLICIES: tuple[Policy, ...] = ("raise", "value")

NOT_SENT = frozenset({"prompt_id", "sampling_params", "messages", "domain"})


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


def worker(reward: str, target: Target | None = None, **args: Unpack[AdapterArgs]) -> type:
    """A reward worker class, for a module that `worker_cls` names.

    The columns are those of the batch. `on_error`: "raise" (the default) ends the step, "value"
    gives `value`; ROLL has no mask.

    Raises:
        ValueError: the target or a setting is malformed.
    """
    remote = RemoteReward.of(reward, target, POLICIES, args)
    # ROLL and torch are imported when a worker is made.
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

        @decorator.register(dispatch_mode=decorator.Dispatch.ONE_TO_ALL)
        def initialize(self, pipeline_config: Any) -> None:
            pass

        @decorator.register(dispatch_mode=decorator.Dispatch.DP_MP_COMPUTE, clear_cache=False)
        def compute_rewards(self, data: Any) -> Any:
            decode = self.tokenizer.batch_decode
            outcomes = outcomes_of(
                remote,
                decode(data.batch["prompts"], skip_special_tokens=False),
                decode(data.batch["responses"], skip_special_tokens=False),
                data.non_tensor_batch,
            )
            # float16, as ROLL's own workers give.
            rewards = torch.tensor(remote.settle(outcomes), dtype=torch.float16)
            by_token = torch.zeros_like(data.batch["responses"], dtype=torch.float16)
            return data_proto.from_dict(
                tensors={
                    "token_level_rewards": by_token,
                    "response_level_rewards": rewards,
                    "scores": rewards.clone(),
                }
            )

    return RewardplaneWorker
