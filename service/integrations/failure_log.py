"""The trainer's own log learns of items without a reward: counts by reason, and one example."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from rewardplane.client.failures import FailedItem, summary

WARN_EVERY_S = 10.0

_log = logging.getLogger("rewardplane.integrations")


@dataclass(slots=True)
class _Pending:
    total: int = 0
    reasons: Counter[str] = field(default_factory=Counter[str])
    example: str = ""
    warned_s: float = float("-inf")


class FailureLog:
    """Failed items by reward, told at most every WARN_EVERY_S seconds for each reward.

    Trainers that score one response a call would otherwise write a line for each of thousands. The
    first failure is told at once, what comes after it is counted and told with the next line.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending: dict[str, _Pending] = {}

    def record(self, reward: str, failures: Sequence[FailedItem], total: int) -> None:
        """Notes that `failures` of `total` items of a call have no reward."""
        with self._lock:
            pending = self._pending.setdefault(reward, _Pending())
            pending.total += total
            if failures:
                pending.reasons.update(failure.reason.name for failure in failures)
                first = failures[0]
                pending.example = f"{first.reason.name} {first.message}"
            now_s = time.monotonic()
            if not pending.reasons or now_s - pending.warned_s < WARN_EVERY_S:
                return
            message = self._taken(reward, pending)
            pending.warned_s = now_s
        _log.warning("%s", message)

    def flush(self) -> None:
        """Tells what is still to be told."""
        with self._lock:
            messages = [
                self._taken(reward, pending)
                for reward, pending in self._pending.items()
                if pending.reasons
            ]
        for message in messages:
            _log.warning("%s", message)

    @staticmethod
    def _taken(reward: str, pending: _Pending) -> str:
        failed = pending.reasons.total()
        message = (
            f"reward {reward!r}: {failed} of {pending.total} items have no reward: "
            f"{summary(dict(pending.reasons.most_common()))}; for example: {pending.example}"
        )
        pending.total = 0
        pending.reasons.clear()
        return message
