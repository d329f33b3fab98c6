"""JSON whose numbers are finite."""

from __future__ import annotations

import json
import math
from typing import Any


def finite_json(document: str) -> Any:
    """A JSON document. NaN and infinities, which Python's own reader takes, are none of JSON.

    Raises:
        ValueError, RecursionError: it is no JSON, or has a number that no double holds.
    """
    return json.loads(document, parse_constant=_no_constant, parse_float=_finite)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"{digits[:40]} is beyond what a double holds")
    return value
