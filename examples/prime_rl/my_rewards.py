"""The module that config.toml names."""

from rewardplane.integrations.prime_rl import reward_fn

math = reward_fn("math", "localhost:50051")
