"""One reward of one service, as an adapter uses it: what is sent, and what a failed item becomes.

Frameworks differ in what they can make of an item without a reward, so each adapter names the
policies that its framework can express:

====== ===========================================================================================
raise  the call raises `ItemsFailed`, which says which items failed and why
none   the item's reward is None, for frameworks that leave such an item out themselves
mask   the item is marked as one that must not train, for frameworks with a mask
value  the item's reward is `value`, a number that the user has chosen
====== ===========================================================================================

Whatever the policy, failed items are counted by reason in the trainer's own log. A call that fails
as a whole (no service, no such reward) raises a `CallError` under every policy.
"""

from __future__ import annotations

import atexit
import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

from rewardplane.client.call_options import DEFAULT_TIMEOUT_S, CallOptionArgs
from rewardplane.client.client import RewardClient
from rewardplane.client.endpoint import Credentials
from rewardplane.client.failures import FailedItem, ItemsFailed, failed_items
from rewardplane.client.rows import example, groups, response
from rewardplane.client.sync_client import SyncRewardClient
from rewardplane.client.target import Target, check, names
from rewardplane.rewards.types import Group, Outcome, Reason, Score

from .failure_log import FailureLog

Policy = Literal["raise", "none", "mask", "value"]

FAILURES = FailureLog()
"""The failed items of this process, by reward."""

atexit.register(FAILURES.flush)


class AdapterArgs(TypedDict, total=False):
    """The keyword arguments that all adapters take, with their defaults."""

    on_error: Policy
    """What an item without a reward becomes; each adapter names its default."""
    value: float
    """The reward of such an item under `on_error="value"`; there is no default."""
    timeout_s: float
    """The longest that a call may take, all tries included; 300."""
    version: str
    """The version of the reward; "": the one served now."""
    job: str
    """The tuning job, a label for the service's metrics and logs; ""."""
    columns: Sequence[str] | None
    """The columns of the data set to send; None: all."""
    rename: Mapping[str, str]
    """Names of columns, each with the name that the reward expects, {"solution": "answer"}; {}."""
    credentials: Credentials | None
    """How to speak to the service; None: in the clear."""
    channels: int
    """The connections to open: as many as gateways share one port; 1."""
    name: str
    """The name by which the trainer logs it; the reward's."""


@dataclass(slots=True, frozen=True)
class RemoteReward:
    """A reward and the settings of an adapter. It can be pickled; each process makes its client.

    `policies` are those that the framework can express.

    Raises:
        ValueError: the target or a setting is malformed, or the policy is none of `policies`.
    """

    reward: str
    target: Target | None = None
    on_error: Policy = "raise"
    value: float | None = None
    timeout_s: float = DEFAULT_TIMEOUT_S
    version: str = ""
    job: str = ""
    columns: Sequence[str] | None = None
    rename: Mapping[str, str] = field(default_factory=dict[str, str])
    credentials: Credentials | None = None
    channels: int = 1
    group_size: int = 0
    name: str = ""
    policies: Sequence[Policy] = ("raise", "value")

    def __post_init__(self) -> None:
        check(self.target)
        if self.on_error not in self.policies:
            known = " or ".join(map(repr, self.policies))
            raise ValueError(f"on_error is {self.on_error!r}; this trainer can do {known}")
        if (self.value is not None) != (self.on_error == "value"):
            raise ValueError('`value` goes with on_error="value", and only with it')
        if self.value is not None and not math.isfinite(self.value):
            raise ValueError(f"value is {self.value}, want a finite number")

    @classmethod
    def of(
        cls, reward: str, target: Target | None, policies: Sequence[Policy], args: Mapping[str, Any]
    ) -> RemoteReward:
        """The reward with an adapter's keyword arguments; the first policy is the default.

        Raises:
            ValueError: as for the class.
        """
        settings: dict[str, Any] = {"on_error": policies[0], **args}
        return cls(reward, target, policies=tuple(policies), **settings)

    @property
    def label(self) -> str:
        """The name by which the trainer logs it."""
        return self.name or self.reward

    # ---- calls -----------------------------------------------------------------------------------

    async def score_rows(self, batch: Sequence[Group], step: int = 0) -> list[Outcome]:
        """One outcome per row of `groups_of`, in their order."""
        if not batch:
            return []
        scores = await self.client().score(self.reward, batch, **self._options(step))
        return [outcome for group in scores for outcome in group]

    def score_rows_sync(self, batch: Sequence[Group], step: int = 0) -> list[Outcome]:
        """As `score_rows`, for code without an event loop."""
        if not batch:
            return []
        scores = self.sync_client().score(self.reward, batch, **self._options(step))
        return [outcome for group in scores for outcome in group]

    async def score_row(
        self,
        prompt: object,
        completion: object,
        columns: Mapping[str, Any],
        *,
        token_count: int | None = None,
        include_components: bool = False,
    ) -> Outcome:
        """The outcome of one row. Concurrent calls of one event loop are batched."""
        options = self._options(include_components=include_components)
        return await self.client().score_one(
            self.reward,
            example(prompt, self._selected(columns), self.rename),
            response(completion, token_count),
            **options,
        )

    def score_row_sync(
        self,
        prompt: object,
        completion: object,
        columns: Mapping[str, Any],
        *,
        token_count: int | None = None,
        include_components: bool = False,
    ) -> Outcome:
        """As `score_row`, for code without an event loop; calls of many threads are batched."""
        options = self._options(include_components=include_components)
        return self.sync_client().score_one(
            self.reward,
            example(prompt, self._selected(columns), self.rename),
            response(completion, token_count),
            **options,
        )

    def groups_of(
        self,
        prompts: Sequence[Any] | None,
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]] | None,
        columns: Mapping[str, Any],
    ) -> list[Group]:
        """The rows as groups, with those columns that are to be sent.

        Raises:
            ValueError: a column is not there, or has not one value per row.
            TypeError: a value is of a type that cannot be sent.
        """
        return groups(
            prompts,
            completions,
            completion_ids,
            self._selected(columns),
            self.group_size,
            self.rename,
        )

    def client(self) -> RewardClient:
        """This process's client; `target` comes from the environment where it was not given."""
        return _client(names(self.target), self.credentials, self.channels)

    def sync_client(self) -> SyncRewardClient:
        """This process's client for code without an event loop."""
        return _sync_client(names(self.target), self.credentials, self.channels)

    # ---- failures --------------------------------------------------------------------------------

    def settle(self, outcomes: Sequence[Outcome]) -> list[float | None]:
        """One reward per outcome, in their order; None for an item to leave out or to mask.

        An item that the reward does not apply to is left out by a framework that can leave items
        out; for any other it is an item without a reward, and the policy decides.

        Raises:
            ItemsFailed: the policy says so; or, under "none", every item failed.
        """
        failures = self.failures(outcomes)
        FAILURES.record(self.label, failures, len(outcomes))
        if failures and (
            self.on_error == "raise" or (self.on_error == "none" and not _any(outcomes))
        ):
            raise ItemsFailed(self.reward, failures, len(outcomes))
        return [
            outcome.reward if isinstance(outcome, Score) else self._missing(outcome.reason)
            for outcome in outcomes
        ]

    def settle_one(self, outcome: Outcome) -> float:
        """The reward of one item, for a framework that wants a float.

        Raises:
            ItemsFailed: the policy says so.
        """
        (reward,) = self.settle([outcome])
        if reward is None:
            raise ItemsFailed(self.reward, failed_items([outcome]), 1)
        return reward

    def failures(self, outcomes: Sequence[Outcome]) -> list[FailedItem]:
        """The items that failed, without those that the framework leaves out in peace."""
        failed = failed_items(outcomes)
        if self._can_leave_out:
            return [item for item in failed if item.reason is not Reason.NOT_APPLICABLE]
        return failed

    @property
    def _can_leave_out(self) -> bool:
        return "none" in self.policies or "mask" in self.policies

    def _missing(self, reason: Reason) -> float | None:
        if reason is Reason.NOT_APPLICABLE and self._can_leave_out:
            return None
        return self.value

    def _selected(self, columns: Mapping[str, Any]) -> Mapping[str, Any]:
        if self.columns is None:
            return columns
        missing = [name for name in self.columns if name not in columns]
        if missing:
            raise ValueError(f"the data set has no column {missing}, only {list(columns)}")
        return {name: columns[name] for name in self.columns}

    def _options(self, step: int = 0, *, include_components: bool = False) -> CallOptionArgs:
        return {
            "version": self.version,
            "job": self.job,
            "step": step,
            "timeout_s": self.timeout_s,
            "include_components": include_components,
        }


def _any(outcomes: Sequence[Outcome]) -> bool:
    return any(isinstance(outcome, Score) for outcome in outcomes)


@functools.lru_cache
def _client(target: Target, credentials: Credentials | None, channels: int) -> RewardClient:
    return RewardClient(target, credentials=credentials, channels=channels)


@functools.lru_cache
def _sync_client(
    target: Target, credentials: Credentials | None, channels: int
) -> SyncRewardClient:
    return SyncRewardClient(target, credentials=credentials, channels=channels)
