"""What the replicas of models tell each other by way of the membership actor.

An endpoint's limits are those of the whole service, also while a reload has an old and a new
version of its model side by side: each gets an equal part of the lower limits. A new one starts
when all that were there before have taken up theirs.

Of calls at once the parts are places, and their sum is never above the limit: a place that a door
gives up is another's when the call in it has ended. Where there are fewer places than doors, the
doors have them by turns.

An actor that was started anew knows of no doors: until all can have asked it, each keeps the part
that it has, and none opens. A door that was not heard of for so long that others have its part
opens like a new one.

Weights that were written over, and an endpoint that became another model, are found out where a
replica finds another one than the first one did: it may have been started after the change.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

STALE_S = 5.0
"""A replica that has not told of itself for so long is gone."""
TURN_S = 1.0
"""How long a door has a place that it shares with others."""
MAX_MODELS = 10_000


class DoorLimits(NamedTuple):
    """What goes through a door: calls at once, requests and tokens a minute; None: no limit.

    Of no calls at once: it is not its turn. `parts`: how many doors share the endpoint.
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
    taken: int = 0
    """Calls that it may have in flight."""
    places: int = 0
    """Calls that it may begin."""
    turned_s: float = -math.inf
    """When it got its places, or has given them up."""
    seen_s: float = field(default_factory=time.monotonic)


class Doors:
    """The doors to endpoints by the name of their model, and what each model was at first."""

    def __init__(self, *, anew: bool = False) -> None:
        """`anew`: there may be doors of before, which have not asked yet."""
        self._knows_all_s = time.monotonic() + STALE_S if anew else -math.inf
        self._doors: dict[str, dict[str, _Door]] = {}
        self._models: dict[str, str] = {}

    def share(
        self,
        model: str,
        replica: str,
        limits: DoorLimits,
        *,
        has: DoorLimits | None = None,
        in_flight: int = 0,
    ) -> DoorLimits | None:
        """The part of a replica that has the limits `limits` by itself.

        `has`: the part that it has now; `in_flight`: its calls. None: it is to wait, or to keep the
        part that it has.
        """
        now_s = time.monotonic()
        known = self._doors.get(model, {})
        doors = {k: door for k, door in known.items() if now_s - door.seen_s < STALE_S}
        self._doors[model] = doors
        own = doors.setdefault(replica, _Door(limits))
        own.limits, own.seen_s = limits, now_s
        anew = now_s < self._knows_all_s
        own.is_open = own.is_open or (anew and has is not None)
        # Until it asks again and says so, it may not have heard of fewer.
        own.taken = max(has.concurrency if has is not None and own.is_open else 0, in_flight)
        if anew:
            return None
        parts = own.knows = len(doors)
        others = [door for door in doors.values() if door is not own]
        own.is_open = own.is_open or all(door.knows >= parts for door in others)
        places = 0
        if own.is_open:
            most = min(door.limits.concurrency for door in doors.values())
            free = max(0, most - sum(door.taken for door in others))
            fair = most // parts + (list(doors).index(replica) < most % parts)
            places = min(free, fair if most >= parts else _turn(own, others, free, now_s))
            own.taken = max(places, own.taken)
        if bool(places) != bool(own.places):
            own.turned_s = now_s
        own.places = places
        if has is None and not places:
            own.is_open = False
            return None
        return DoorLimits(
            places,
            _part([door.limits.requests_per_minute for door in doors.values()], parts),
            _part([door.limits.tokens_per_minute for door in doors.values()], parts),
            parts,
        )

    def leave(self, model: str, replica: str) -> None:
        """A replica has closed its door; the others get its part when they ask again."""
        self._doors.get(model, {}).pop(replica, None)

    def first_model(self, part: str, model: str) -> str:
        """What the first replica of a version found its model to be: by what tells it from others.

        The digest of weights, or what an endpoint calls itself.
        """
        if len(self._models) >= MAX_MODELS and part not in self._models:
            del self._models[next(iter(self._models))]
        return self._models.setdefault(part, model)


def _turn(own: _Door, others: Sequence[_Door], free: int, now_s: float) -> int:
    """The places of one of more doors than places: they go to who has had none for longest."""
    if own.places:
        return int(now_s - own.turned_s < TURN_S)
    before = sum(not door.places and door.turned_s < own.turned_s for door in others)
    return int(before < free)


def _part(limits: list[float | None], parts: int) -> float | None:
    given = [limit for limit in limits if limit is not None]
    return min(given) / parts if given else None
