"""The plugin that run.sh names: rewards by the names that `--reward_funcs` uses."""

from rewardplane.integrations.ms_swift import orm
from swift.rewards import orms

orms["rp_math"] = orm("math", "localhost:50051", rename={"solution": "answer"})
