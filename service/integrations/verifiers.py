"""Rewards for verifiers and for prime-rl, which scores with verifiers.

In a module, `my_rewards.py`::

    from rewardplane.integrations.verifiers import reward_fn

    math = reward_fn("math", "localhost:50051")

and in the configuration::

    [env.taskset.task.rewards]
    math = { fn = "my_rewards:math", weight = 1.0 }

verifiers 0.4.0 calls `await fn(task=…, trace=…)` with the arguments that it finds by name
(verifiers/v1/utils/decorators.py, `invoke_all`). What it raises becomes a `TaskError` on the trace,
whose reward stays None; prime-rl leaves traces with errors out of training.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack, cast

from rewardplane.client.target import Target

from .named_function import NamedFunction
from .remote_reward import AdapterArgs, Policy, RemoteReward

POLICIES: tuple[Policy, ...] = ("raise", "value")

NOT_SENT = frozenset(
    {
        *("idx", "name", "description", "prompt", "system_prompt", "image", "workdir"),
        *("agent_user", "skills", "network_allow", "network_block", "artifacts"),
        *("artifact_max_bytes", "timeout", "resources"),
    }
)
"""The fields of every task of verifiers: how it runs, and its prompt."""


def reward_fn(reward: str, target: Target | None = None, **args: Unpack[AdapterArgs]) -> TaskReward:
    """An async reward for verifiers.

    The task's own fields become references. `on_error`: "raise" (the default) leaves the trace
    without a reward and with the error, "value" gives `value`.

    Raises:
        ValueError: the target or a setting is malformed.
    """
    return TaskReward(RemoteReward.of(reward, target, POLICIES, args))


class TaskReward(NamedFunction):
    """What `reward_fn` makes."""

    async def __call__(self, task: Any, trace: Any) -> float:
        """The reward of a trace's last reply; concurrent calls are batched.

        Raises:
            ItemsFailed: it has no reward, and `on_error` is "raise".
            CallError: the call failed as a whole.
        """
        fields = _fields(task)
        columns = {k: v for k, v in fields.items() if k not in NOT_SENT}
        outcome = await self.remote.score_row(_prompt(fields), trace.last_reply, columns)
        return self.remote.settle_one(outcome)


def _fields(task: object) -> Mapping[str, Any]:
    if isinstance(task, Mapping):
        return cast("Mapping[str, Any]", task)
    if hasattr(task, "model_dump"):
        return cast("Any", task).model_dump()
    return vars(task)


def _prompt(fields: Mapping[str, Any]) -> Any:
    prompt, system = fields.get("prompt"), fields.get("system_prompt")
    if not system:
        return prompt
    said = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt or ())
    return [{"role": "system", "content": system}, *said]
