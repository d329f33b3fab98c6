"""An evaluator of rllm: pass `math` where a flow wants one. Not run here (rllm is not on PyPI)."""

import rllm
from rewardplane.integrations.rllm import evaluate_fn

math = rllm.evaluator(evaluate_fn("math", "localhost:50051", rename={"ground_truth": "answer"}))
