"""The module that rewards.yaml names; it must be importable where ROLL runs. Not run here (GPU)."""

from rewardplane.integrations.roll import worker

MathWorker = worker("math", "localhost:50051", rename={"ground_truth": "answer"})
