"""A reward function and a reward manager for verl, named in its configuration.

No file is needed (a `+`, as verl's configuration has no `reward_kwargs` of its own)::

    reward.custom_reward_function.path=pkg://rewardplane.integrations.verl
    reward.custom_reward_function.name=compute_score
    +reward.custom_reward_function.reward_kwargs.target=localhost:50051
    +reward.custom_reward_function.reward_kwargs.reward=math

`compute_score` fits the managers `naive`, `dapo` and `rate_limited`, `compute_score_sync` also
`remote`. verl gives a reward function no prompt: rewards that need it (judges, reward models) use
the manager below, which adds `raw_prompt`::

    reward.reward_manager.source=importlib
    reward.reward_manager.name=RawPromptRewardManager
    reward.reward_manager.module.path=pkg://rewardplane.integrations.verl

Read: verl 0.9.1, verl/trainer/ppo/reward.py and verl/experimental/reward_loop.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from rewardplane.client.target import Target
from rewardplane.rewards.types import Outcome, Score

from .remote_reward import Policy, RemoteReward

POLICIES: tuple[Policy, ...] = ("raise", "value")

NOT_SENT = frozenset({"num_turns", "rollout_reward_scores"})
"""What verl's managers add to `extra_info`."""

PROMPT_KEY = "rewardplane_prompt"
"""Where `RawPromptRewardManager` puts the prompt in `extra_info`."""

_PROMPT_KEYS = (PROMPT_KEY, "raw_prompt", "prompt", "question")

_MISSING = float("nan")


async def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Mapping[str, Any] | None = None,
    *,
    reward: str = "",
    routes: Mapping[str, str] | None = None,
    target: Target | None = None,
    components: Sequence[str] = (),
    reward_router_address: object = None,
    reward_model_tokenizer: object = None,
    **settings: Any,
) -> dict[str, Any]:
    """The reward of one response, as verl wants it; concurrent calls are batched.

    `routes` maps a data source to the reward's name; `reward` is for those it does not list. The
    references are `ground_truth`, `data_source` and the entries of `extra_info`. `settings` are the
    other keyword arguments of `AdapterArgs`: `on_error` is "raise" by default, or "value" with
    `value`, as verl has no mask.

    Returns `score`, `acc` (the same), `rewardplane_ok` (1 or 0), `rewardplane_reason` (empty where
    all is well) and those of `components`, NaN where there is none: always the same keys, since
    verl takes those of the first sample for all.

    Raises:
        ItemsFailed: the item has no reward, and `on_error` is "raise".
        CallError: the call failed as a whole.
        ValueError: a setting is malformed, or no reward is named for the data source.
    """
    del reward_router_address, reward_model_tokenizer
    remote = _remote(data_source, reward, routes, target, settings)
    prompt, columns = _row(data_source, ground_truth, extra_info)
    outcome = await remote.score_row(
        prompt, solution_str, columns, include_components=len(components) > 0
    )
    return _result(remote, outcome, components)


def compute_score_sync(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Mapping[str, Any] | None = None,
    *,
    reward: str = "",
    routes: Mapping[str, str] | None = None,
    target: Target | None = None,
    components: Sequence[str] = (),
    reward_router_address: object = None,
    reward_model_tokenizer: object = None,
    **settings: Any,
) -> dict[str, Any]:
    """As `compute_score`, for the manager `remote` and for verl's older, synchronous managers."""
    del reward_router_address, reward_model_tokenizer
    remote = _remote(data_source, reward, routes, target, settings)
    prompt, columns = _row(data_source, ground_truth, extra_info)
    outcome = remote.score_row_sync(
        prompt, solution_str, columns, include_components=len(components) > 0
    )
    return _result(remote, outcome, components)


def _remote(
    data_source: str,
    reward: str,
    routes: Mapping[str, str] | None,
    target: Target | None,
    settings: Mapping[str, Any],
) -> RemoteReward:
    name = (routes or {}).get(data_source) or reward
    if not name:
        known = ", ".join(routes or ()) or "none"
        raise ValueError(
            f"no reward for data source {data_source!r}: set `reward`, or add it to `routes` "
            f"(there are: {known})"
        )
    return RemoteReward.of(name, target, POLICIES, settings)


def _row(
    data_source: str, ground_truth: Any, extra_info: Mapping[str, Any] | None
) -> tuple[Any, dict[str, Any]]:
    extra = {k: v for k, v in (extra_info or {}).items() if k not in NOT_SENT}
    prompt = next((extra[key] for key in _PROMPT_KEYS if extra.get(key) is not None), None)
    extra.pop(PROMPT_KEY, None)
    return prompt, {**extra, "data_source": data_source, "ground_truth": ground_truth}


def _result(remote: RemoteReward, outcome: Outcome, components: Sequence[str]) -> dict[str, Any]:
    score = remote.settle_one(outcome)
    parts: Mapping[str, float] = {}
    ok, reason = 0, ""
    if isinstance(outcome, Score):
        ok, parts = 1, outcome.components
    else:
        reason = outcome.reason.name
    return {
        "score": score,
        "acc": score,
        "rewardplane_ok": ok,
        "rewardplane_reason": reason,
        **{name: parts.get(name, _MISSING) for name in components},
    }


def __getattr__(name: str) -> Any:
    if name == "RawPromptRewardManager":
        return _manager_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@functools.cache
def _manager_class() -> type:
    # verl is imported when verl asks for the class.
    naive = importlib.import_module("verl.experimental.reward_loop.reward_manager.naive")
    base: Any = naive.NaiveRewardManager

    class RawPromptRewardManager(base):
        """verl's naive manager; the reward function also gets the prompt, from `raw_prompt`."""

        async def run_single(self, data: Any) -> dict[str, Any]:
            last = data[-1:]
            columns = dict(last.non_tensor_batch)
            if "raw_prompt" in columns and "extra_info" in columns:
                # A copy: the sample's own entry is shared with the data set.
                infos = columns["extra_info"].copy()
                infos[0] = {**(infos[0] or {}), PROMPT_KEY: columns["raw_prompt"][0]}
                last.non_tensor_batch["extra_info"] = infos
            return await base.run_single(self, last)

    return RawPromptRewardManager
