"""Rewards that ask a model: what it is shown, what it is asked, and what its answers are worth.

The kinds `judge`, `pairwise` and `rubric` stand on this; it imports no engine.
"""
