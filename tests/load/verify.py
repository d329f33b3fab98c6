"""math-verify as it comes: nothing kept from one item to the next, milliseconds an item."""

from __future__ import annotations

from typing import Any

import math_verify


def grade(sample: dict[str, Any], item: dict[str, Any]) -> float:
    """1.0 where math-verify finds the answer in the text; its own time-outs are off."""
    gold = math_verify.parse(item["answer"], parsing_timeout=None)
    found = math_verify.parse(sample["output_text"], parsing_timeout=None)
    return float(math_verify.verify(gold, found, timeout_seconds=None))
