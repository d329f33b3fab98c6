"""Reward functions for TRL and what follows its shape (Unsloth, axolotl, open-r1, ms-swift).

Use it so::

    GRPOTrainer(..., reward_funcs=[reward_fn("math", "localhost:50051")])

The shape: https://huggingface.co/docs/trl/grpo_trainer#using-a-custom-reward-function
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, Unpack, cast

from rewardplane.client.call_options import DEFAULT_TIMEOUT_S, TermArgs
from rewardplane.client.client import RewardClient
from rewardplane.client.endpoint import TARGET_VARIABLE, Credentials
from rewardplane.client.rows import groups
from rewardplane.client.sync_client import SyncRewardClient
from rewardplane.rewards.types import Group, Outcome, Reason, Score

NOT_SENT = ("trainer_state", "log_extra", "log_metric", "environments")
"""What TRL hands over beside the columns of the data set."""

ERROR_METRIC = "rewardplane/error_fraction"
"""The metric for the share of failed items, of those that the reward applies to."""

_SHOWN_FAILURES = 3


class ItemsFailed(RuntimeError):
    """Items have no reward; the message names the first of them."""


class RewardFnArgs(TypedDict, total=False):
    """What `reward_fn` may be told by keyword, with its default."""

    on_error: Literal["none", "raise"]
    """What an item without a reward does: gives None, or raises `ItemsFailed`; "none"."""
    timeout_s: float
    """The longest that a call may take, all tries included; 300."""
    name: str
    """The function's `__name__`, by which trainers log it; the reward's."""
    version: str
    """The version of the reward; "": the one served now."""
    job: str
    """The tuning job, a label for the service's metrics and logs; ""."""
    columns: Sequence[str] | None
    """The columns that rewards need to know; None: all."""
    group_size: int
    """The responses of one group, TRL's `num_generations`; 0: as many as there are."""
    credentials: Credentials | None
    """How to speak to the service; None: in the clear."""
    channels: int
    """The connections to open: as many as gateways share one port; 1."""


def reward_fn(
    reward: str, target: str | None = None, **args: Unpack[RewardFnArgs]
) -> Callable[..., Coroutine[Any, Any, list[float | None]]]:
    """An async reward function for TRL, which runs several of them at once.

    It can be pickled, is a coroutine function to `inspect`, and has a `__name__`. Consecutive rows
    with the same prompt and the same columns form one group. String values of columns become
    references, all others JSON references; `completion_ids` give the token counts.

    Where the reward does not apply to an item it gives None, which TRL leaves out of the group's
    mean, and where an item failed it does what `on_error` says. It raises, whatever that says, when
    every item of a call failed.

    Raises:
        ValueError: `on_error` is neither of the two.
    """
    settings = _Settings(reward, target, **args)
    return _named(functools.partial(_rewards, settings), settings.name)


def sync_reward_fn(
    reward: str, target: str | None = None, **args: Unpack[RewardFnArgs]
) -> Callable[..., list[float | None]]:
    """`reward_fn` as a plain function, for trainers that do not await (Unsloth's MLX, tunix)."""
    settings = _Settings(reward, target, **args)
    return _named(functools.partial(_rewards_sync, settings), settings.name)


@dataclass(slots=True, frozen=True)
class _Settings:
    reward: str
    target: str | None
    on_error: Literal["none", "raise"] = "none"
    timeout_s: float = DEFAULT_TIMEOUT_S
    name: str = ""
    version: str = ""
    job: str = ""
    columns: Sequence[str] | None = None
    group_size: int = 0
    credentials: Credentials | None = None
    channels: int = 1

    def __post_init__(self) -> None:
        if self.on_error not in ("none", "raise"):
            raise ValueError(f'on_error is {self.on_error!r}, want "none" or "raise"')


_Function = functools.partial[Any]


def _named(function: _Function, name: str) -> _Function:
    # A partial's attributes are pickled with it.
    cast("Any", function).__name__ = name or function.args[0].reward
    return function


# Positional only: a data set may have a column of any name.
async def _rewards(
    settings: _Settings,
    /,
    prompts: Sequence[Any],
    completions: Sequence[Any],
    completion_ids: Sequence[Sequence[int]] | None = None,
    **columns: Any,
) -> list[float | None]:
    ask = _Ask(settings, prompts, completions, completion_ids, columns)
    if not ask.groups:
        return []
    client = _client(_target(settings), settings.credentials, settings.channels)
    return ask.rewards(await client.score(settings.reward, ask.groups, **ask.terms))


def _rewards_sync(
    settings: _Settings,
    /,
    prompts: Sequence[Any],
    completions: Sequence[Any],
    completion_ids: Sequence[Sequence[int]] | None = None,
    **columns: Any,
) -> list[float | None]:
    ask = _Ask(settings, prompts, completions, completion_ids, columns)
    if not ask.groups:
        return []
    client = _sync_client(_target(settings), settings.credentials, settings.channels)
    return ask.rewards(client.score(settings.reward, ask.groups, **ask.terms))


class _Ask:
    """What one call of the trainer asks, and what is made of the answer."""

    def __init__(
        self,
        settings: _Settings,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]] | None,
        columns: dict[str, Any],
    ) -> None:
        self._settings = settings
        state, _, self._log_metric, _ = (columns.pop(name, None) for name in NOT_SENT)
        if settings.columns is not None:
            missing = [name for name in settings.columns if name not in columns]
            if missing:
                raise ValueError(f"the data set has no column {missing}, only {list(columns)}")
            columns = {name: columns[name] for name in settings.columns}
        self.groups: list[Group] = groups(
            prompts, completions, completion_ids, columns, settings.group_size
        )
        self.terms: TermArgs = {
            "version": settings.version,
            "job": settings.job,
            "step": getattr(state, "global_step", 0),
            "timeout_s": settings.timeout_s,
        }

    def rewards(self, answer: Sequence[Sequence[Outcome]]) -> list[float | None]:
        """One reward per row, in the order of the rows.

        Raises:
            ItemsFailed: all failed, or one did and `on_error` says so.
        """
        outcomes = [outcome for group in answer for outcome in group]
        failures = [
            (row, outcome)
            for row, outcome in enumerate(outcomes)
            if not isinstance(outcome, Score) and outcome.reason is not Reason.NOT_APPLICABLE
        ]
        applicable = sum(
            isinstance(o, Score) or o.reason is not Reason.NOT_APPLICABLE for o in outcomes
        )
        if self._log_metric is not None:
            self._log_metric(ERROR_METRIC, len(failures) / applicable if applicable else 0.0)
        if failures and (self._settings.on_error == "raise" or len(failures) == applicable):
            shown = "; ".join(
                f"row {row}: {error.reason.name} {error.message}"
                for row, error in failures[:_SHOWN_FAILURES]
            )
            raise ItemsFailed(
                f"{len(failures)} of {applicable} items have no reward "
                f"{self._settings.reward!r}: {shown}"
            )
        return [o.reward if isinstance(o, Score) else None for o in outcomes]


def _target(settings: _Settings) -> str | None:
    # Where the function runs, which may be elsewhere than where it was made.
    return settings.target or os.environ.get(TARGET_VARIABLE)


@functools.lru_cache
def _client(target: str | None, credentials: Credentials | None, channels: int) -> RewardClient:
    return RewardClient(target, credentials=credentials, channels=channels)


@functools.lru_cache
def _sync_client(
    target: str | None, credentials: Credentials | None, channels: int
) -> SyncRewardClient:
    return SyncRewardClient(target, credentials=credentials, channels=channels)
