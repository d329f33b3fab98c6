# Not run here (GPU): these are the two arguments to add to a slime command.
python train.py ... --custom-rm-path rewardplane.integrations.slime.custom_rm \
    --custom-config-path examples/slime/rewards.yaml
