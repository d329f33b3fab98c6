"""A verifier of open-instruct: import it before grpo_fast.py builds its verifiers.

Rows of the data set name it: dataset: rewardplane_math. Not run here (GPU).
"""

from rewardplane.integrations.open_instruct import verifier

Math = verifier("math", "localhost:50051", name="rewardplane_math")
