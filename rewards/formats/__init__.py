"""Reward configurations and data of hosted services, read as they stand.

One package for each service; each maps foreign JSON to what this project's kinds run.
"""
