"""GRPO with TRL and a reward of a service.

python examples/trl/train.py --model Qwen/Qwen3-0.6B --target localhost:50051
"""

import argparse

from datasets import Dataset
from rewardplane.integrations.trl import reward_fn
from trl import GRPOConfig, GRPOTrainer

parser = argparse.ArgumentParser()
parser.add_argument("--model", required=True)
parser.add_argument("--target", required=True)
parser.add_argument("--output", default="output")
parser.add_argument("--steps", type=int, default=100)
parser.add_argument("--cpu", action="store_true")
args = parser.parse_args()

rows = [
    {"prompt": [{"role": "user", "content": f"What is {a} + {b}?"}], "solution": str(a + b)}
    for a in range(20)
    for b in range(20)
]
trainer = GRPOTrainer(
    model=args.model,
    reward_funcs=[reward_fn("math", args.target, rename={"solution": "answer"})],
    train_dataset=Dataset.from_list(rows),
    args=GRPOConfig(
        output_dir=args.output,
        max_steps=args.steps,
        num_generations=4,
        per_device_train_batch_size=4,
        max_completion_length=64,
        logging_steps=1,
        log_completions=True,
        report_to=[],
        use_cpu=args.cpu,
        bf16=not args.cpu,
    ),
)
trainer.train()
