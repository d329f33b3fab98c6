"""What a reward that asks a judge does: it waits for 200 ms."""

from __future__ import annotations

import asyncio
from typing import Any

LATENCY_S = 0.2


async def evaluate(example: dict[str, Any], response: dict[str, Any]) -> float:
    """1.0 where the response is the answer, after the judge's time."""
    await asyncio.sleep(LATENCY_S)
    return float(response["parts"][0]["text"] == example["references"]["answer"])
