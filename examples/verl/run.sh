# The reward part is tested with verl's own code; the whole command was not run here (GPU).
# GSM8K as verl prepares it: python -m verl.examples.data_preprocess.gsm8k, or examples/data_preprocess/gsm8k.py.
# Rewards that need the prompt: reward.reward_manager.source=importlib, .name=RawPromptRewardManager,
# .module.path=pkg://rewardplane.integrations.verl.
python -m verl.trainer.main_ppo \
    data.train_files=gsm8k/train.parquet data.val_files=gsm8k/test.parquet \
    actor_rollout_ref.model.path=Qwen/Qwen3-0.6B actor_rollout_ref.rollout.name=vllm \
    actor_rollout_ref.rollout.n=4 algorithm.adv_estimator=grpo \
    reward.custom_reward_function.path=pkg://rewardplane.integrations.verl \
    reward.custom_reward_function.name=compute_score \
    '+reward.custom_reward_function.reward_kwargs.target=localhost:50051' \
    '+reward.custom_reward_function.reward_kwargs.routes={openai/gsm8k: math}' \
    '+reward.custom_reward_function.reward_kwargs.columns=[ground_truth]' \
    '+reward.custom_reward_function.reward_kwargs.rename={ground_truth: answer}'
