"""Where the answer stands in a response, and what it says: numbers, mathematics, JSON, golds.

Pure functions over text, each bounded by the length of what it reads. Kinds and foreign formats use
them; nothing here knows a reward.
"""
