"""A single-turn environment for SkyRL (skyrl-gym), whose reward a service gives.

    from skyrl_gym.envs import register

    register(
        id="math",
        entry_point="rewardplane.integrations.skyrl:RewardplaneEnv",
        kwargs={"reward": "math", "target": "localhost:50051"},
    )

and `env_class: math` in the data set. skyrl-gym 0.4.0 calls `step(action)` in one of 32 threads
(skyrl_gym/envs/base_text_env.py); an exception ends the batch of rollouts.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from typing import Any

from rewardplane.client.target import Target
from rewardplane.rewards.types import Outcome, Score

from .columns import mapping
from .remote_reward import Policy, RemoteReward

POLICIES: tuple[Policy, ...] = ("raise", "value")


def columns_of(extras: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a row: those of the data set, and the entries of its `reward_spec`."""
    own = {name: value for name, value in extras.items() if name != "reward_spec"}
    return {**own, **mapping(extras.get("reward_spec"))}


def metadata_of(outcome: Outcome) -> dict[str, Any]:
    """What goes with a step: the components of a score, or why there is none."""
    if isinstance(outcome, Score):
        return {"rewardplane_ok": 1.0, **outcome.components}
    return {"rewardplane_ok": 0.0, "rewardplane_reason": outcome.reason.name}


def __getattr__(name: str) -> Any:
    if name == "RewardplaneEnv":
        return _env_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@functools.cache
def _env_class() -> type:
    # skyrl_gym is imported when skyrl_gym asks for the class.
    text_env = importlib.import_module("skyrl_gym.envs.base_text_env")
    base: Any = text_env.BaseTextEnv

    class RewardplaneEnv(base):
        """One turn, scored by a service.

        `env_config` and the keyword arguments are those of `RemoteReward`, the latter go before;
        `on_error` is "raise" by default, or "value" with `value`: SkyRL has no mask. The columns
        are those of the data set and the entries of `reward_spec`.

        Raises:
            ValueError: a setting is malformed, or no reward is named.
        """

        def __init__(
            self,
            env_config: Mapping[str, Any] | None = None,
            extras: Mapping[str, Any] | None = None,
            reward: str = "",
            target: Target | None = None,
            **settings: Any,
        ) -> None:
            base.__init__(self)
            given: dict[str, Any] = {**(env_config or {}), **settings}
            reward = reward or given.pop("reward", "")
            if not reward:
                raise ValueError("no reward: want `reward` in kwargs of the environment")
            target = target or given.pop("target", None)
            given.pop("reward", None)
            given.pop("target", None)
            self._remote = RemoteReward.of(reward, target, POLICIES, given)
            self._columns = columns_of(extras or {})
            self._prompt: Any = None
            self._last: dict[str, Any] = {}

        def init(self, prompt: Any) -> tuple[Any, dict[str, Any]]:
            self._prompt = prompt
            return base.init(self, prompt)

        def step(self, action: str) -> Any:
            outcome = self._remote.score_row_sync(
                self._prompt, action, self._columns, include_components=True
            )
            self._last = metadata_of(outcome)
            return text_env.BaseTextEnvStepOutput(
                observations=[],
                reward=self._remote.settle_one(outcome),
                done=True,
                metadata=self._last,
            )

        def get_metrics(self) -> dict[str, Any]:
            return {k: v for k, v in self._last.items() if isinstance(v, int | float)}

    return RewardplaneEnv
