"""Reward functions that tell what happens to them."""

from __future__ import annotations

import os
import time
from typing import Any


def probe(example: dict[str, Any], response: dict[str, Any]) -> float:
    """Notes its execution in the file that the example names, then does what the response says."""
    word, _, rest = response["parts"][0]["text"].partition(" ")
    log = example["references"].get("log")
    if log:
        descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, f"{example['references']['group']}/{rest}\n".encode())
        os.close(descriptor)
    if word == "sleep":
        time.sleep(float(rest))
    if word == "work":
        end_s = time.process_time() + 0.005
        while time.process_time() < end_s:
            pass
    return float(len(rest))
