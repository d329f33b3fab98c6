"""A reward that costs CPU, for the burst."""

from __future__ import annotations

import time
from typing import Any

CPU_S = 0.005


def evaluate(example: dict[str, Any], response: dict[str, Any]) -> float:
    """1.0, after 5 ms of this thread's CPU time."""
    end = time.thread_time() + CPU_S
    while time.thread_time() < end:
        pass
    return 1.0
