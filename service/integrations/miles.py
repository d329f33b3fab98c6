"""A custom reward function for miles (`--custom-rm-path`), which calls it as slime does.

    --custom-rm-path rewardplane.integrations.miles.custom_rm

miles 31f1ca961, miles/rollout/rm_hub/__init__.py; see `rewardplane.integrations.slime`.
"""

from .slime import CustomRm, custom_rm, reward_fn

__all__ = ["CustomRm", "custom_rm", "reward_fn"]
