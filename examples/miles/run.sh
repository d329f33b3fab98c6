# Not run here (GPU): these are the two arguments to add to a miles command.
python train.py ... --custom-rm-path rewardplane.integrations.miles.custom_rm \
    --custom-config-path examples/miles/rewards.yaml
