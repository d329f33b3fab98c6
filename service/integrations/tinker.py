"""Group rewards for the Tinker cookbook: one call for each group of trajectories.

    from rewardplane.integrations.tinker import RemoteGroupRewards, remote
    from tinker_cookbook.rl.problem_env import ProblemGroupBuilder

    class Builder(RemoteGroupRewards, ProblemGroupBuilder):
        remote = remote("math", "localhost:50051")

tinker-cookbook 0.6.1 awaits `compute_group_rewards(trajectory_group, env_group)` and adds what it
gives to the rewards of the steps (tinker_cookbook/rl/types.py, `EnvGroupBuilder`): an environment
whose reward comes from here gives 0 in `step`. It has no mask; an exception ends the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Unpack

from rewardplane.client.target import Target
from rewardplane.rewards.types import Outcome, Score

from .columns import by_column
from .remote_reward import AdapterArgs, Policy, RemoteReward

POLICIES: tuple[Policy, ...] = ("raise", "value")


def remote(reward: str, target: Target | None = None, **args: Unpack[AdapterArgs]) -> RemoteReward:
    """The reward of a builder. `on_error`: "raise" (the default), or "value" with `value`.

    Raises:
        ValueError: the target or a setting is malformed.
    """
    return RemoteReward.of(reward, target, POLICIES, args)


class RemoteGroupRewards:
    """A mixin for a group builder, put before it; it holds settings only, so it can be pickled.

    `row` is asked for each environment's prompt and columns; the default reads a `ProblemEnv`: its
    conversation, and the reference answer as "answer".
    """

    remote: ClassVar[RemoteReward]

    def row(self, env: Any) -> tuple[Any, dict[str, Any]]:
        """The prompt and the columns of one environment."""
        prompt = [*env.convo_prefix, {"role": "user", "content": env.get_question()}]
        return prompt, {"answer": env.get_reference_answer()}

    async def compute_group_rewards(
        self, trajectory_group: Sequence[Any], env_group: Sequence[Any]
    ) -> list[tuple[float, dict[str, float]]]:
        """A reward and its metrics for each trajectory, in their order; one call for the group.

        Raises:
            ItemsFailed: a trajectory has no reward, and `on_error` is "raise".
            CallError: the call failed as a whole.
        """
        return await compute_group_rewards(self.remote, trajectory_group, env_group, self.row)


async def compute_group_rewards(
    remote: RemoteReward,
    trajectory_group: Sequence[Any],
    env_group: Sequence[Any],
    row: Callable[[Any], tuple[Any, dict[str, Any]]],
) -> list[tuple[float, dict[str, float]]]:
    """As `RemoteGroupRewards.compute_group_rewards`."""
    rows = [row(env) for env in env_group]
    completions = [
        _message(trajectory, env)
        for trajectory, env in zip(trajectory_group, env_group, strict=True)
    ]
    batch = remote.groups_of(
        [prompt for prompt, _ in rows],
        completions,
        None,
        by_column([columns for _, columns in rows]),
    )
    outcomes = await remote.score_rows(batch)
    rewards = remote.settle(outcomes)
    return [
        (reward, _metrics(outcome))
        for reward, outcome in zip(rewards, outcomes, strict=True)
        if reward is not None
    ]


def _message(trajectory: Any, env: Any) -> Any:
    """What the model said at last, as the environment's own renderer reads it."""
    if not trajectory.transitions:
        return ""
    message, _ = env.renderer.parse_response(trajectory.transitions[-1].ac.tokens)
    content = message["content"]
    return content if isinstance(content, str) else [message]


def _metrics(outcome: Outcome) -> dict[str, float]:
    return {"rewardplane_ok": 1.0 if isinstance(outcome, Score) else 0.0}
