"""A custom reward function for slime (`--custom-rm-path`), one sample or a group at once.

Without a file of one's own, settings in the file of `--custom-config-path`::

    rewardplane: {reward: math, target: "localhost:50051"}

    --custom-rm-path rewardplane.integrations.slime.custom_rm --custom-config-path rewards.yaml

or in a module::

    from rewardplane.integrations.slime import reward_fn

    math = reward_fn("math", "localhost:50051")     # --custom-rm-path my_rewards.math

slime 624b824a8 calls `await custom_rm(args, sample)`, or with a list of samples, with `--group-rm`
and without (slime/rollout/rm_hub/__init__.py); an exception ends the rollout.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack, cast

from rewardplane.client.target import Target
from rewardplane.rewards.types import Outcome

from .columns import by_column, gold_columns, mapping
from .named_function import NamedFunction
from .remote_reward import AdapterArgs, Policy, RemoteReward

POLICIES: tuple[Policy, ...] = ("raise", "mask", "value")


class SlimeArgs(AdapterArgs, total=False):
    """The keyword arguments of `reward_fn`; `on_error` is "raise" by default."""

    gold: str
    """The reference that a label becomes; "answer"."""


def reward_fn(reward: str, target: Target | None = None, **args: Unpack[SlimeArgs]) -> CustomRm:
    """A function for `--custom-rm-path`.

    A sample's label becomes the reference `gold` (a label that is a mapping: references by its
    keys), the entries of its metadata further references. `on_error`: "raise" (the default) ends
    the rollout; "mask" sets the sample's `remove_sample`, so that it does not train, and gives it
    the mean reward of the others of its list, 0 where there are none; "value" gives `value`.

    Raises:
        ValueError: the target or a setting is malformed.
    """
    settings: dict[str, Any] = dict(args)
    gold = settings.pop("gold", "answer")
    return CustomRm(RemoteReward.of(reward, target, POLICIES, settings), gold)


async def custom_rm(args: Any, samples: Any, **_: Any) -> Any:
    """`reward_fn` with the settings of `args.rewardplane`, for which no file is needed.

    Raises:
        ValueError: `args` has no `rewardplane` with a `reward`, or a setting is malformed.
    """
    settings: dict[str, Any] = dict(getattr(args, "rewardplane", None) or {})
    if "reward" not in settings:
        raise ValueError(
            "no reward: want `rewardplane: {reward: NAME}` in the file of --custom-config-path"
        )
    return await reward_fn(**settings)(args, samples)


class CustomRm(NamedFunction):
    """What `reward_fn` makes."""

    def __init__(self, remote: RemoteReward, gold: str) -> None:
        super().__init__(remote)
        self.gold = gold

    async def __call__(self, args: Any, samples: Any, **_: Any) -> Any:
        """The reward of a sample, or a list of one per sample, in their order.

        With `args.reward_key` each is a mapping of that key to the reward.

        Raises:
            ItemsFailed: a sample has no reward, and `on_error` is "raise".
            CallError: the call failed as a whole.
        """
        key: str | None = getattr(args, "reward_key", None)
        if isinstance(samples, list):
            listed = cast("list[Any]", samples)
            rows = [self._columns(sample) for sample in listed]
            batch = self.remote.groups_of(
                [sample.prompt for sample in listed],
                [sample.response for sample in listed],
                None,
                by_column(rows),
            )
            rewards = self._settled(listed, await self.remote.score_rows(batch))
            return [{key: reward} for reward in rewards] if key else rewards
        outcome = await self.remote.score_row(
            samples.prompt,
            samples.response,
            self._columns(samples),
            token_count=samples.response_length or None,
        )
        (reward,) = self._settled([samples], [outcome])
        return {key: reward} if key else reward

    def _columns(self, sample: Any) -> dict[str, Any]:
        return {**mapping(sample.metadata), **gold_columns(sample.label, self.gold)}

    def _settled(self, samples: Sequence[Any], outcomes: Sequence[Outcome]) -> list[float]:
        rewards = self.remote.settle(outcomes)
        known = [reward for reward in rewards if reward is not None]
        mean = sum(known) / len(known) if known else 0.0
        for sample, reward in zip(samples, rewards, strict=True):
            if reward is None:
                sample.remove_sample = True
        return [mean if reward is None else reward for reward in rewards]
