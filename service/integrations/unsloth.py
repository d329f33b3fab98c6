"""Reward functions for Unsloth, which trains with TRL's trainers.

On CUDA `rewardplane.integrations.trl.reward_fn` is the one to use. Unsloth's MLX trainer does not
await reward functions (unsloth-zoo, PR 832), so there the plain one is needed, which `reward_fn` of
this module is; it works on CUDA too, one function after the other.
"""

from .trl import ItemsFailed, SyncRewardFn
from .trl import sync_reward_fn as reward_fn

__all__ = ["ItemsFailed", "SyncRewardFn", "reward_fn"]
