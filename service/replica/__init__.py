"""The processes that run reward functions: a supervisor, its worker processes, and their memory.

Knows no gRPC and no Ray. Reward code runs in the worker process only; the supervisor starts,
watches and kills, and survives whatever a worker does.
"""
