"""The reward of an AReaL workflow: RLVRWorkflow(reward_fn="rewards.math", ...).

The reward part is tested with AReaL's own code; a training was not run here (GPU).
"""

from rewardplane.integrations.areal import reward_fn

math = reward_fn("math", "localhost:50051")
