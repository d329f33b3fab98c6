"""Language models as judges: the question, the judgement, and the backends that ask.

Nothing here imports torch or another engine at import time.
"""
