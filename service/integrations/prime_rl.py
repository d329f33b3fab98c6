"""Rewards for prime-rl, which scores with verifiers and leaves traces with errors out of training.

prime-rl 559b44772; see `rewardplane.integrations.verifiers`.
"""

from .verifiers import TaskReward, reward_fn

__all__ = ["TaskReward", "reward_fn"]
