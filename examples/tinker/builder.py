"""A group builder of the Tinker cookbook whose rewards a service gives.

The method is tested with the cookbook's own classes; a training was not run here (an account is
needed).
"""

from rewardplane.integrations.tinker import RemoteGroupRewards, remote
from tinker_cookbook.rl.problem_env import ProblemGroupBuilder


class MathGroupBuilder(RemoteGroupRewards, ProblemGroupBuilder):
    """Its environments give 0 in `check_answer`: the reward comes once, for the whole group."""

    remote = remote("math", "localhost:50051")
