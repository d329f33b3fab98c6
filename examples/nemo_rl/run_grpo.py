"""Registers the environment, then runs NeMo RL's own example. Not run here (GPU).

    uv run examples/nemo_rl/run_grpo.py --config grpo.yaml

with `env.rewardplane: {reward: math, target: "localhost:50051", rename: {ground_truth: answer}}`
and `data.env_name: rewardplane` in the configuration.
"""

from nemo_rl.distributed.ray_actor_environment_registry import ACTOR_ENVIRONMENT_REGISTRY
from nemo_rl.distributed.virtual_cluster import PY_EXECUTABLES
from nemo_rl.environments.utils import register_env

NAME = "rewardplane.integrations.nemo_rl.RewardplaneEnvironment"
ACTOR_ENVIRONMENT_REGISTRY[NAME] = PY_EXECUTABLES.SYSTEM
register_env("rewardplane", NAME)

if __name__ == "__main__":
    from examples.run_grpo import main

    main()
