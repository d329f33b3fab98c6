"""The command `rewardplane`: each command parses its arguments and calls one function.

Data files, the demo and the reports stand here too. Nothing imports this package.
"""
