"""Requests of one item that came in one turn of the loop, as one call.

To begin and to end a call costs five times what an item costs beside others of the same call. Where
requests come faster than they are answered, more of them come in a turn: they are scored together,
and each is answered when it has its own outcome. One that comes alone goes alone, and none waits.

Only what a call is by itself is shared: its time, its job, and its room. Requests are not joined
where one of them could tell: where its caller has quotas, where it is traced, or where its item is
dear, for which the work should end when its client leaves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from rewardplane.gateway.breath import at_once
from rewardplane.gateway.call import Call

from .request import outcome_at
from .scoring import Scoring

if TYPE_CHECKING:
    from rewardplane.gateway.served import ServedReward

    from .exchange import Request

MAX_JOINED = 256
MAX_BYTES = 64 * 1024
"""Of a body that is joined with others."""
CHEAP_S = 0.002
"""What an item costs at the most that goes on when its client has left."""
_Key = tuple[object, ...]


def may_join(request: Request, served: ServedReward) -> bool:
    """Whether the one item of a request may be scored in a call with others."""
    caller = request.caller
    return (
        served.lane in ("inline", "pool")
        and not served.is_async
        and not served.whole_group
        and served.pool.item_s <= CHEAP_S
        and len(request.body) <= MAX_BYTES
        and (caller is None or not caller.has_quotas)
        and not request.traceparent
    )


class Joining:
    """What came in this turn of the loop."""

    def __init__(self) -> None:
        self._waiting: dict[_Key, list[Scoring]] = {}

    def add(self, scoring: Scoring) -> None:
        """Begins a request with the others of its kind, when the turn is over."""
        asking, asked, caller = scoring.asking, scoring.asked, scoring.request.caller
        key = asking.reward, asking.wants, asked.job, asked.step, asked.answer_s, caller
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._begin)
        self._waiting.setdefault(key, []).append(scoring)

    def _begin(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for came in waiting.values():
            left = [scoring for scoring in came if not scoring.is_over]
            for at in range(0, len(left), MAX_JOINED):
                together = left[at : at + MAX_JOINED]
                if len(together) == 1:
                    together[0].begin_later()
                else:
                    _Joined(together).begin()


class _Joined:
    """Some requests as one call; the item of each has its number in the call."""

    __slots__ = "_call", "_early", "_scorings"

    def __init__(self, scorings: Sequence[Scoring]) -> None:
        self._scorings = scorings
        self._call: Call | None = None
        self._early: list[int] = []
        """What had its outcome before the call was known."""

    def begin(self) -> None:
        """Starts the call. Where it is refused, each starts its own: for some there may be room."""
        scorings = self._scorings
        first = scorings[0]
        asked = replace(first.asked, items=[s.asked.items[0] for s in scorings])
        begin = partial(first.contract.begin_call, first.asking, asked, first.request)
        try:
            begun = begin(self._done, self._take)
            self._call = call = begun if isinstance(begun, Call) else at_once(begun)
        except Exception:  # noqa: BLE001 - told to each whose own call is refused
            for scoring in scorings:
                scoring.begin_later()
            return
        if not call.closed:
            for scoring in scorings:
                scoring.on_stop = self._stopped
            self._answer(call, self._early)

    def _take(self, items: Sequence[int]) -> None:
        if self._call is None:
            self._early += items
        else:
            self._answer(self._call, items)

    def _done(self, call: Call) -> None:
        self._answer(call, range(len(self._scorings)))

    def _answer(self, call: Call, items: Sequence[int]) -> None:
        for item in items:
            scoring = self._scorings[item]
            if scoring.is_over:
                continue
            try:
                outcome = outcome_at(call, item)
            except Exception as error:  # noqa: BLE001 - nothing is raised into a lane
                scoring.fail(error)
            else:
                scoring.answer([outcome])

    def _stopped(self) -> None:
        if self._call is not None and all(scoring.is_over for scoring in self._scorings):
            self._scorings[0].contract.give_up(self._call)
