# The reward part is tested with OpenRLHF's own code; the whole command was not run here (GPU).
python -m openrlhf.cli.train_ppo_ray --actor.model_name_or_path Qwen/Qwen3-0.6B \
    --data.prompt_dataset openai/gsm8k --data.input_key question --data.label_key answer \
    --reward.remote_url examples/openrlhf/reward.py
