"""Adapters for trainers, one file for each trainer.

They import `rewardplane.client` and never the trainer's framework at import time. To support
another trainer, add a file; nothing else has to know it.
"""
