"""Reward classes for ms-swift's GRPO (`--external_plugins`, `--reward_funcs`).

In a plugin file::

    from swift.rewards import orms
    from rewardplane.integrations.ms_swift import orm

    orms["math"] = orm("math", "localhost:50051", rename={"solution": "answer"})

ms-swift 4.6.0 calls `reward(completions, **columns)`, completions being texts and `messages` the
whole conversations (swift/rl_core/grpo_algorithm.py, `compute_rewards_per_func`); it logs a reward
by the name of its class. None becomes NaN, which it leaves out of the sum of rewards.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from rewardplane.client.target import Target

from .remote_reward import AdapterArgs, Policy, RemoteReward

POLICIES: tuple[Policy, ...] = ("none", "raise", "value")

NOT_SENT = frozenset(
    {
        *("trainer_state", "messages", "prompt_id", "request_id", "finish_reason", "is_truncated"),
        *("rollout_infos", "response_token_ids", "encoded"),
    }
)
"""What ms-swift hands over beside the columns of the data set: of one response each, they would
part every group."""


class Orm:
    """The base of the classes that `orm` makes: one reward of one service."""

    remote: RemoteReward

    def __init__(self, args: Any = None, **_: Any) -> None:
        self.args = args

    def __reduce__(self) -> tuple[object, ...]:
        return _instance, (self.remote,)

    async def __call__(
        self, completions: Sequence[Any], messages: Sequence[Any] | None = None, **columns: Any
    ) -> list[float | None]:
        """One reward per completion, in their order; None where there is none.

        Raises:
            ItemsFailed: all failed, or one did and `on_error` says so.
            CallError: the call failed as a whole.
        """
        step = int(getattr(columns.get("trainer_state"), "global_step", 0))
        sent = {name: values for name, values in columns.items() if name not in NOT_SENT}
        # The last message is the completion's.
        prompts = None if messages is None else [list(said)[:-1] for said in messages]
        batch = self.remote.groups_of(prompts, completions, None, sent)
        return self.remote.settle(await self.remote.score_rows(batch, step))


def orm(reward: str, target: Target | None = None, **args: Unpack[AdapterArgs]) -> type[Orm]:
    """A class for ms-swift's table `orms`; its name is the reward's or `name`.

    `on_error`: "none" (the default) gives None, "raise" raises, "value" gives `value`.

    Raises:
        ValueError: the target or a setting is malformed.
    """
    return _class(RemoteReward.of(reward, target, POLICIES, args))


def _class(remote: RemoteReward) -> type[Orm]:
    return type(remote.label, (Orm,), {"remote": remote, "__doc__": Orm.__doc__})


def _instance(remote: RemoteReward) -> Orm:
    return _class(remote)()
