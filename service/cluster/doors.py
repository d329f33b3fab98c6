"""What the replicas of models tell each other by way of the membership actor.

An endpoint's limits are those of the whole service, also while a reload has an old and a new
version of its model side by side: each gets an equal part of the lower limits. A new one starts
when all that were there before have taken up theirs.

Weights that were written over are found out where a replica loads others than the first one did.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import NamedTuple

STALE_S = 5.0
"""A replica that has not told of itself for so long is gone."""
MAX_WEIGHTS = 10_000


class DoorLimits(NamedTuple):
    """What goes through a door: calls at once, requests and tokens a minute; None: no limit.

    `parts`: how many doors share the endpoint.
    """

    concurrency: int
    requests_per_minute: float | None
    tokens_per_minute: float | None
    parts: int = 1


@dataclass(slots=True)
class _Door:
    limits: DoorLimits
    knows: int = 0
    """Of how many doors it has been told."""
    is_open: bool = False
    seen_s: float = field(default_factory=time.monotonic)


class Doors:
    """The doors to endpoints by the name of their model, and the weights of all other models."""

    def __init__(self) -> None:
        self._doors: dict[str, dict[str, _Door]] = {}
        self._weights: dict[str, str] = {}

    def share(self, model: str, replica: str, limits: DoorLimits) -> DoorLimits | None:
        """The part of a replica that has the limits `limits` by itself; None: it is to wait."""
        now_s = time.monotonic()
        known = self._doors.get(model, {})
        doors = {k: door for k, door in known.items() if now_s - door.seen_s < STALE_S}
        self._doors[model] = doors
        own = doors.setdefault(replica, _Door(limits))
        own.limits, own.seen_s, own.knows = limits, now_s, len(doors)
        if not own.is_open:
            own.is_open = all(
                door.knows >= len(doors) for door in doors.values() if door is not own
            )
        if not own.is_open:
            return None
        parts = len(doors)
        return DoorLimits(
            max(1, min(door.limits.concurrency for door in doors.values()) // parts),
            _part([door.limits.requests_per_minute for door in doors.values()], parts),
            _part([door.limits.tokens_per_minute for door in doors.values()], parts),
            parts,
        )

    def leave(self, model: str, replica: str) -> None:
        """A replica has closed its door; the others get its part when they ask again."""
        self._doors.get(model, {}).pop(replica, None)

    def first_weights(self, part: str, digest: str) -> str:
        """The digest of the weights that the first replica of a version loaded."""
        if len(self._weights) >= MAX_WEIGHTS and part not in self._weights:
            del self._weights[next(iter(self._weights))]
        return self._weights.setdefault(part, digest)


def _part(limits: list[float | None], parts: int) -> float | None:
    given = [limit for limit in limits if limit is not None]
    return min(given) / parts if given else None
