"""How long the item that is being scored may still execute, for code that waits on its behalf."""

from __future__ import annotations

import math
import time
from contextvars import ContextVar

_END: ContextVar[float] = ContextVar("end", default=math.inf)


def ends_in(timeout_s: float) -> None:
    """Says, for this context and the tasks that it starts, when execution is to end."""
    _END.set(time.monotonic() + timeout_s)


def left_s() -> float:
    """Seconds that are left, never below 0; infinity where nobody said when it ends."""
    return max(0.0, _END.get() - time.monotonic())
