"""GRPO with Unsloth, which gives the model to TRL's trainer.

    python examples/unsloth/train.py

Not run here: Unsloth wants a GPU. On Apple's MLX the function of `rewardplane.integrations.unsloth`
is the one to use, for Unsloth does not await rewards there; it is right on CUDA too.
"""

from datasets import Dataset
from rewardplane.integrations.unsloth import reward_fn
from trl import GRPOConfig, GRPOTrainer
from unsloth import FastLanguageModel

model, tokenizer = FastLanguageModel.from_pretrained("unsloth/Qwen3-0.6B", max_seq_length=1024)
model = FastLanguageModel.get_peft_model(model, r=16)
rows = [{"prompt": f"What is {i} + 1?", "answer": str(i + 1)} for i in range(100)]
trainer = GRPOTrainer(
    model=model,
    processing_class=tokenizer,
    reward_funcs=[reward_fn("math", "localhost:50051")],
    train_dataset=Dataset.from_list(rows),
    args=GRPOConfig(output_dir="output", max_steps=100, num_generations=4, report_to=[]),
)
trainer.train()
