"""What the page of the HTTP port shows beside figures: errors as they were, and who made the calls.

Of a message nobody knows what of an item stands in it, so that a caller sees those of its own calls
alone. A job is a name that any caller may give: one that several callers gave is shown to none.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from rewardplane.access.caller import Caller
from rewardplane.replica.segment import FAILED
from rewardplane.rewards.types import Reason

from .call import Call

KEPT = 3
"""Errors of one caller, reward and reason; the last ones."""
MAX_KEYS = 512
MAX_JOBS = 256
MAX_CHARS = 600
LOOKED_AT = 64
"""Failed items of a call that are looked at, at most."""


@dataclass(frozen=True, slots=True)
class Seen:
    """An item's error. `at_s` is in seconds since 1970, `item` its number in the call."""

    at_s: float
    reward: str
    job: str
    reason: str
    message: str
    request_id: str
    item: int


class Sights:
    """What was seen of the calls of a gateway. Nothing is kept unless the page is served."""

    def __init__(self) -> None:
        self._errors: dict[tuple[str, str, str], deque[Seen]] = {}
        self._owners: dict[tuple[str, str], str | None] = {}
        """Whose a job of a reward is; None: of several callers."""

    def call_ended(self, call: Call) -> None:
        """Takes in a call whose items all have their outcomes."""
        caller = call.caller
        for served in call.items:
            key = served.name, call.job
            if key in self._owners:
                if self._owners[key] != caller:
                    self._owners[key] = None
            elif len(self._owners) < MAX_JOBS:
                self._owners[key] = caller
        if call.extras:
            self._take_errors(call)

    def errors(self, caller: Caller | None) -> Iterator[Seen]:
        """The errors that a caller may see, the last first; None: nobody asks who calls."""
        found = [
            seen
            for (owner, reward, _reason), kept in self._errors.items()
            if caller is None or (caller.name == owner != "" and caller.may_name(reward))
            for seen in kept
        ]
        yield from sorted(found, key=lambda seen: -seen.at_s)

    def may_see_job(self, caller: Caller | None, reward: str, job: str) -> bool:
        """Whether a caller may see how a job does."""
        if caller is None:
            return True
        owned = self._owners.get((reward, job)) == caller.name != ""
        return owned and caller.may_name(reward)

    def _take_errors(self, call: Call) -> None:
        now_s = time.time()
        at = -1
        for _ in range(LOOKED_AT):
            at = call.states.find(FAILED, at + 1)
            if at < 0:
                return
            group = bisect_right(call.offsets, at) - 1
            number, message, *_usage = call.extras[at]
            reason, reward = Reason(number).name, call.served[group].name
            key = call.caller, reward, reason
            kept = self._errors.pop(key, None)
            if kept is None:
                kept = deque[Seen](maxlen=KEPT)
                if len(self._errors) >= MAX_KEYS:
                    del self._errors[next(iter(self._errors))]
            self._errors[key] = kept  # the last that was seen comes last
            told = str(message)[:MAX_CHARS]
            kept.append(Seen(now_s, reward, call.job, reason, told, call.options.request_id, at))
