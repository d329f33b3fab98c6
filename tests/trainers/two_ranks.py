"""Run by torchrun on two ranks: GRPO against a service, each rank scoring its own rows."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import datasets
import trl
from rewardplane.integrations.trl import reward_fn
from transformers.utils import logging

model, folder, target = sys.argv[1:]
logging.disable_progress_bar()
rows = [{"prompt": "please fail" if i % 4 == 1 else f"say {i}"} for i in range(16)]
config = trl.GRPOConfig(
    output_dir=folder,
    use_cpu=True,
    bf16=False,
    report_to=[],
    logging_steps=1,
    save_strategy="no",
    disable_tqdm=True,
    num_generations=2,
    per_device_train_batch_size=4,
    max_completion_length=8,
    max_steps=3,
)
trainer = trl.GRPOTrainer(
    model=model,
    reward_funcs=[reward_fn("length", target), reward_fn("picky", target)],
    args=config,
    train_dataset=datasets.Dataset.from_list(rows),
)
trainer.train()
if trainer.accelerator.is_main_process:
    entries = [entry for entry in trainer.state.log_history if "reward" in entry]
    Path(folder, "log.json").write_text(json.dumps(entries))
trainer.accelerator.end_training()
