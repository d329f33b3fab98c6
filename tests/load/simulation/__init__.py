"""A gateway's queue and its replicas in simulated time, for `tests/load/simulate.py`."""
