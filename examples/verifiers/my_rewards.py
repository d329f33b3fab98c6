"""The module that config.toml names."""

from rewardplane.integrations.verifiers import reward_fn

math = reward_fn("math", "localhost:50051")
