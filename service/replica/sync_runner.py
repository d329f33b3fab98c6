"""How a worker runs a reward that is not async: one call after the other, in the main thread."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import cast

from rewardplane.rewards.reward import Item, Reward, Unit
from rewardplane.rewards.run import Clip, run_item, run_items

from .batch_writer import Scribe, failed_whole, start
from .segment import RUNNING, Segment
from .work import Work


class Runner:
    """Runs a reward on the items of segments."""

    def __init__(self, reward: Reward, clip: Clip) -> None:
        self._reward = reward
        self._clip = clip
        self._scribe = Scribe(reward)

    def run(self, segment: Segment) -> None:
        """Runs a segment's items until the owner says stop, or until memory is out.

        What is left PENDING is the owner's to run again elsewhere.
        """
        work = Work.load(segment.payload())
        items = self._scribe.read(segment, work)
        if self._reward.unit is Unit.ITEM:
            self._run_each(segment, items, work)
        else:
            self._run_units(segment, items, work)

    def _run_each(self, segment: Segment, items: Sequence[Item | None], work: Work) -> None:
        # Each item takes microseconds of its own: what can be looked up before is.
        reward, clip, scribe = self._reward, self._clip, self._scribe
        states, started_ns, elapsed_us = segment.states, segment.started_ns, segment.elapsed_us
        stop, clock, record = segment.stop, time.monotonic_ns, scribe.record
        for first, end, start_by_ns in work.ranges:
            for index in range(first, end):
                item = items[index]
                if item is None:
                    continue
                begin_ns = clock()
                if stop[0] or begin_ns >= start_by_ns:
                    return
                started_ns[index] = begin_ns
                states[index] = RUNNING
                outcome = run_item(reward, item, clip)
                elapsed_us[index] = (clock() - begin_ns) // 1000
                if scribe.strayed:
                    scribe.end_stray()
                if record(segment, index, outcome):
                    return

    def _run_units(self, segment: Segment, items: Sequence[Item | None], work: Work) -> None:
        for first, end, start_by_ns in self._scribe.units(items, work):
            if segment.stop[0] or time.monotonic_ns() >= start_by_ns:
                return
            called = cast("list[Item]", items[first:end])
            if not self._run_call(segment, first, called, splits=not self._reward.whole_group):
                for index, item in enumerate(called, first):
                    if segment.stop[0] or segment.spent[0]:
                        return
                    self._run_call(segment, index, [item], splits=False)
            if segment.spent[0]:
                return

    def _run_call(
        self, segment: Segment, first: int, items: Sequence[Item], *, splits: bool
    ) -> bool:
        """Runs one call. False: it failed whole and `splits`; its items are PENDING again."""
        end = first + len(items)
        begin_ns = start(segment, first, end)
        outcomes = run_items(self._reward, items, self._clip)
        self._scribe.end_stray()
        if splits and failed_whole(outcomes):
            segment.states[first:end] = bytes(end - first)
            return False
        self._scribe.record_all(segment, first, outcomes, begin_ns)
        return True
