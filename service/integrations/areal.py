"""A reward function for AReaL's workflows (`RLVRWorkflow(reward_fn=…)`).

    from rewardplane.integrations.areal import reward_fn

    workflow = RLVRWorkflow(reward_fn=reward_fn("math", "localhost:50051"), ...)

AReaL 1.0.4 calls `fn(prompt, completion, prompt_ids, completion_ids, **columns)` in a pool of
processes, gives it 15 s, tries it 4 times, and takes the last time-out for the reward 0
(areal/api/reward_api.py, `AsyncRewardWrapper`). So the call ends before AReaL does, and an item
without a reward raises.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from rewardplane.client.target import Target
from rewardplane.rewards.text.end_tokens import END_TOKENS, without_end_tokens

from .named_function import NamedFunction
from .remote_reward import AdapterArgs, Policy, RemoteReward

POLICIES: tuple[Policy, ...] = ("raise", "value")
TIMEOUT_S = 14.0
"""Below the 15 s of AReaL, whose time-out would be a reward of 0."""


class ArealArgs(AdapterArgs, total=False):
    """The keyword arguments of `reward_fn`; `on_error` is "raise", `timeout_s` 14 by default."""

    end_tokens: Sequence[str]
    """What is cut from a completion's end; those of common tokenizers."""


def reward_fn(
    reward: str, target: Target | None = None, **args: Unpack[ArealArgs]
) -> RewardFunction:
    """A function for AReaL's workflows; it can be pickled.

    The columns of the data set become references. `on_error`: "raise" (the default) raises, after
    AReaL's 4 tries; "value" gives `value`; AReaL has no mask. `timeout_s` must stay below
    `AsyncRewardWrapper`'s own.

    Raises:
        ValueError: the target or a setting is malformed.
    """
    settings: dict[str, Any] = {"timeout_s": TIMEOUT_S, **args}
    end_tokens = tuple(settings.pop("end_tokens", END_TOKENS))
    return RewardFunction(RemoteReward.of(reward, target, POLICIES, settings), end_tokens)


class RewardFunction(NamedFunction):
    """What `reward_fn` makes."""

    def __init__(self, remote: RemoteReward, end_tokens: Sequence[str]) -> None:
        super().__init__(remote)
        self.end_tokens = end_tokens

    def __call__(
        self,
        /,
        prompt: Any,
        completions: str,
        prompt_ids: Sequence[int] | None = None,
        completion_ids: Sequence[int] | None = None,
        **columns: Any,
    ) -> float:
        """The reward of one completion; calls of many threads of a process are batched.

        Raises:
            ItemsFailed: it has no reward, and `on_error` is "raise".
            CallError: the call failed as a whole.
        """
        del prompt_ids
        outcome = self.remote.score_row_sync(
            prompt,
            without_end_tokens(completions, self.end_tokens),
            columns,
            token_count=None if completion_ids is None else len(completion_ids),
        )
        return self.remote.settle_one(outcome)
