"""Rewards that cost CPU, or time, for bursts and overload."""

from __future__ import annotations

import time
from typing import Any

CPU_S = 0.005
REST_S = 0.01


def evaluate(example: dict[str, Any], response: dict[str, Any]) -> float:
    """1.0, after 5 ms of this thread's CPU time."""
    end = time.thread_time() + CPU_S
    while time.thread_time() < end:
        pass
    return 1.0


def rest(example: dict[str, Any], response: dict[str, Any]) -> float:
    """1.0, after 10 ms without any CPU time: for overload on a machine that clients share."""
    time.sleep(REST_S)
    return 1.0
