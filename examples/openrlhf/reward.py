"""The reward file that run.sh names."""

from rewardplane.integrations.openrlhf import reward_fn

reward_func = reward_fn("math", "localhost:50051")
