"""Reward functions for TRL and for trainers that call theirs as TRL does.

Use it so::

    from rewardplane.integrations.trl import reward_fn

    GRPOTrainer(..., reward_funcs=[reward_fn("math", "localhost:50051")])

The shape: https://huggingface.co/docs/trl/grpo_trainer#using-a-custom-reward-function
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Unpack

from rewardplane.client.failures import FailedItem, ItemsFailed, counts
from rewardplane.client.target import Target
from rewardplane.rewards.types import Group, Outcome, Reason, Score

from .named_function import NamedFunction
from .remote_reward import AdapterArgs, Policy, RemoteReward

__all__ = ["ItemsFailed", "RewardFn", "SyncRewardFn", "reward_fn", "sync_reward_fn"]

NOT_SENT = ("trainer_state", "log_extra", "log_metric", "environments")
"""What TRL hands over beside the columns of the data set."""

POLICIES: tuple[Policy, ...] = ("none", "raise", "value")


class RewardFnArgs(AdapterArgs, total=False):
    """The keyword arguments of `reward_fn`; `on_error` is "none" by default."""

    group_size: int
    """The responses of one group, TRL's `num_generations`; 0: as many as there are."""


def reward_fn(reward: str, target: Target | None = None, **args: Unpack[RewardFnArgs]) -> RewardFn:
    """An async reward function for TRL, which runs several of them at once.

    It can be pickled, is a coroutine function to `inspect`, and its `__name__` is the reward's or
    `name`. Consecutive rows with the same prompt and the same columns form one group. String values
    of columns become references, all others JSON references; `completion_ids` give the token
    counts.

    Where the reward does not apply to an item it gives None, which TRL leaves out of the group's
    mean, and where an item failed it does what `on_error` says: "none" (the default) gives None,
    "raise" raises, "value" gives `value`. It raises in any case when every item of a call failed.

    To the trainer it logs `rewardplane/NAME/error_fraction`, one `rewardplane/NAME/errors/REASON`
    (items per call) for each reason met so far, and to the completions table a column
    `rewardplane/NAME/error` with the reason of each failed row.

    Raises:
        ValueError: the target, `on_error` or `value` is malformed.
    """
    return RewardFn(RemoteReward.of(reward, target, POLICIES, args))


def sync_reward_fn(
    reward: str, target: Target | None = None, **args: Unpack[RewardFnArgs]
) -> SyncRewardFn:
    """`reward_fn` as a plain function, for trainers that do not await (Unsloth's MLX, tunix)."""
    return SyncRewardFn(RemoteReward.of(reward, target, POLICIES, args))


class _TrlFunction(NamedFunction):
    def __init__(self, remote: RemoteReward) -> None:
        super().__init__(remote)
        self._seen: set[Reason] = set()

    def _prepare(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]] | None,
        columns: dict[str, Any],
    ) -> tuple[list[Group], int, _Log]:
        state, log_extra, log_metric, _ = (columns.pop(name, None) for name in NOT_SENT)
        batch = self.remote.groups_of(prompts, completions, completion_ids, columns)
        step = int(getattr(state, "global_step", 0))
        return batch, step, _Log(self.remote, self._seen, log_metric, log_extra)


# Positional only: a data set may have a column of any name.
class RewardFn(_TrlFunction):
    """What `reward_fn` makes."""

    async def __call__(
        self,
        /,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]] | None = None,
        **columns: Any,
    ) -> list[float | None]:
        """One reward per row, in the order of the rows.

        Raises:
            ItemsFailed: all failed, or one did and `on_error` says so.
            CallError: the call failed as a whole.
        """
        batch, step, log = self._prepare(prompts, completions, completion_ids, columns)
        outcomes = await self.remote.score_rows(batch, step)
        log.write(outcomes)
        return self.remote.settle(outcomes)


class SyncRewardFn(_TrlFunction):
    """What `sync_reward_fn` makes."""

    def __call__(
        self,
        /,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]] | None = None,
        **columns: Any,
    ) -> list[float | None]:
        """As `RewardFn.__call__`."""
        batch, step, log = self._prepare(prompts, completions, completion_ids, columns)
        outcomes = self.remote.score_rows_sync(batch, step)
        log.write(outcomes)
        return self.remote.settle(outcomes)


class _Log:
    """The trainer's own metrics and table, where it has them."""

    def __init__(
        self,
        remote: RemoteReward,
        seen: set[Reason],
        log_metric: Callable[[str, float], object] | None,
        log_extra: Callable[[str, list[Any]], object] | None,
    ) -> None:
        self._remote = remote
        self._seen = seen
        self._log_metric = log_metric
        self._log_extra = log_extra

    def write(self, outcomes: Sequence[Outcome]) -> None:
        prefix = f"rewardplane/{self._remote.label}"
        failures = self._remote.failures(outcomes)
        if self._log_metric is not None:
            for name, value in self._metrics(outcomes, failures).items():
                self._log_metric(f"{prefix}/{name}", value)
        # In every call: the columns of the trainer's table must stay of one length.
        if self._log_extra is not None and outcomes:
            texts = [""] * len(outcomes)
            for failure in failures:
                texts[failure.index] = f"{failure.reason.name} {failure.message}"
            self._log_extra(f"{prefix}/error", texts)

    def _metrics(
        self, outcomes: Sequence[Outcome], failures: Sequence[FailedItem]
    ) -> Mapping[str, float]:
        applicable = sum(
            isinstance(o, Score) or o.reason is not Reason.NOT_APPLICABLE for o in outcomes
        )
        self._seen.update(failure.reason for failure in failures)
        numbers = counts(failures)
        # A reason that was met once is logged ever after: trainers average over the calls that log.
        by_reason = {
            f"errors/{reason.name}": float(numbers.get(reason.name, 0)) for reason in self._seen
        }
        return {"error_fraction": len(failures) / applicable if applicable else 0.0, **by_reason}
