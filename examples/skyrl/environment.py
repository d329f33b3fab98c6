"""The environment of a SkyRL run; import it before the trainer starts.

    python -m skyrl_train.entrypoints.main_base environment.env_class=rp_math ...

The reward part is tested with skyrl-gym's own code; a training was not run here (GPU).
"""

from skyrl_gym.envs import register

register(
    id="rp_math",
    entry_point="rewardplane.integrations.skyrl:RewardplaneEnv",
    kwargs={"reward": "math", "target": "localhost:50051", "rename": {"ground_truth": "answer"}},
)
