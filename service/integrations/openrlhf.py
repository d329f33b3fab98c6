"""A reward file for OpenRLHF (`--reward.remote_url reward.py`).

The file::

    from rewardplane.integrations.openrlhf import reward_fn

    reward_func = reward_fn("math", "localhost:50051")

OpenRLHF 0.11.2 calls `reward_func(queries, prompts, labels)` in a thread, with one sample
(openrlhf/utils/agent.py, `SingleTurnAgentExecutor`). A query is the prompt and the response with
their special tokens. What the function raises OpenRLHF writes to its log at INFO and goes on
without a reward, until "reward_model_group is required" ends the step: so the reason is logged
here, as an error.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Unpack

from rewardplane.client.failures import ItemsFailed
from rewardplane.client.target import Target
from rewardplane.rewards.formats.openrlhf import response_of
from rewardplane.rewards.text.end_tokens import END_TOKENS, without_end_tokens
from rewardplane.rewards.types import Score
from rewardplane.wire.errors import CallError

from .columns import by_column, gold_columns
from .named_function import NamedFunction
from .remote_reward import AdapterArgs, Policy, RemoteReward

POLICIES: tuple[Policy, ...] = ("raise", "value")

_log = logging.getLogger("rewardplane.integrations")


class OpenRlhfArgs(AdapterArgs, total=False):
    """The keyword arguments of `reward_fn`; `on_error` is "raise" by default."""

    gold: str
    """The reference that a label becomes; "answer"."""
    end_tokens: Sequence[str]
    """What is cut from a response's end; those of common tokenizers."""


def reward_fn(
    reward: str, target: Target | None = None, **args: Unpack[OpenRlhfArgs]
) -> RewardFunc:
    """The function `reward_func` of an OpenRLHF reward file.

    A label becomes the reference `gold`; a label that is a mapping becomes references by its keys.
    `on_error`: "raise" (the default) raises, "value" gives `value`; OpenRLHF has no mask.

    Raises:
        ValueError: the target or a setting is malformed.
    """
    settings: dict[str, Any] = dict(args)
    gold = settings.pop("gold", "answer")
    end_tokens = tuple(settings.pop("end_tokens", END_TOKENS))
    return RewardFunc(RemoteReward.of(reward, target, POLICIES, settings), gold, end_tokens)


class RewardFunc(NamedFunction):
    """What `reward_fn` makes."""

    def __init__(self, remote: RemoteReward, gold: str, end_tokens: Sequence[str]) -> None:
        super().__init__(remote)
        self.gold = gold
        self.end_tokens = end_tokens

    def __call__(
        self,
        queries: Sequence[str],
        prompts: Sequence[str],
        labels: Sequence[Any],
        **_: Any,
    ) -> dict[str, Any]:
        """`rewards`, `scores` and `extra_logs`: a number each for one query, else a list each.

        Raises:
            ItemsFailed: an item has no reward, and `on_error` is "raise".
            CallError: the call failed as a whole.
            ValueError: a query does not begin with its prompt.
        """
        try:
            rewards, failed = self._rewards(queries, prompts, labels)
        except (CallError, ItemsFailed, ValueError) as error:
            _log.error("reward %r: OpenRLHF goes on without it: %s", self.remote.label, error)
            raise
        if len(queries) == 1:
            ok = 0.0 if failed[0] else 1.0
            return {"rewards": rewards[0], "scores": rewards[0], "extra_logs": _logs(ok)}
        return {
            "rewards": rewards,
            "scores": list(rewards),
            "extra_logs": _logs([0.0 if bad else 1.0 for bad in failed]),
        }

    def _rewards(
        self, queries: Sequence[str], prompts: Sequence[str], labels: Sequence[Any]
    ) -> tuple[list[float], list[bool]]:
        completions = [
            without_end_tokens(response_of(query, prompt), self.end_tokens)
            for query, prompt in zip(queries, prompts, strict=True)
        ]
        rows = [gold_columns(label, self.gold) for label in labels]
        if len(rows) == 1:
            # What OpenRLHF does, from hundreds of threads at once: these calls are batched.
            outcomes = [self.remote.score_row_sync(prompts[0], completions[0], rows[0])]
        else:
            batch = self.remote.groups_of(prompts, completions, None, by_column(rows))
            outcomes = self.remote.score_rows_sync(batch)
        settled = self.remote.settle(outcomes)
        rewards = [reward for reward in settled if reward is not None]
        return rewards, [not isinstance(outcome, Score) for outcome in outcomes]


def _logs(ok: object) -> dict[str, Any]:
    return {"rewardplane_ok": ok}
