# The reward part is tested with ms-swift's own code; the whole command was not run here (GPU).
swift rlhf --rlhf_type grpo --model Qwen/Qwen3-0.6B --dataset AI-MO/NuminaMath-TIR#1000 \
    --external_plugins examples/ms_swift/plugin.py --reward_funcs rp_math \
    --num_generations 4 --max_completion_length 256 --max_steps 100
