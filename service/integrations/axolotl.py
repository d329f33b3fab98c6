"""Reward functions for axolotl, which trains with TRL's trainers and finds functions by name.

In a module, `my_rewards.py`::

    from rewardplane.integrations.axolotl import reward_fn

    math = reward_fn("math", "localhost:50051")

and in the configuration::

    trl:
      reward_funcs: ["my_rewards.math"]
"""

from .trl import ItemsFailed, RewardFn, reward_fn

__all__ = ["ItemsFailed", "RewardFn", "reward_fn"]
