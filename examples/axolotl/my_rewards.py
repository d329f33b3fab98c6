"""The module that grpo.yaml names; it must be importable: run axolotl in this folder."""

from rewardplane.integrations.axolotl import reward_fn

math = reward_fn("math", "localhost:50051", rename={"solution": "answer"})
