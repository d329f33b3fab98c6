"""Adapters for trainers, one file for each trainer.

They import `rewardplane.client` and never the trainer's framework at import time. To support
another trainer, add a file that makes a `RemoteReward` and calls it with what its trainer has;
nothing else has to know it. `docs/trainers.md` has the table of all of them.
"""
