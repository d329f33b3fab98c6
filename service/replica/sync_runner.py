"""How a worker runs a reward that is not async: one call after the other, in the main thread."""

from __future__ import annotations

import time
from array import array
from collections.abc import Sequence
from typing import cast

from rewardplane.rewards.reward import Item, Reward, Unit
from rewardplane.rewards.run import Clip, run_each, run_item, run_items
from rewardplane.rewards.types import Outcome
from rewardplane.wire.frame import read_example, read_response
from rewardplane.wire.messages import FieldError

from .batch_writer import BatchWriter, failed_whole, start
from .process_state import CALL_NS, ProcessState
from .segment import ENDED, RUNNING, SCORED, Segment
from .work import Work

CHEAP_NS = 20_000
"""An item below is not worth a clock of its own."""


class Runner:
    """Runs a reward on the items of segments."""

    def __init__(self, reward: Reward, clip: Clip, state: ProcessState | None = None) -> None:
        """`state`: what is put back after each segment and each long call."""
        self._state = state
        self._reward = reward
        self._clip = clip
        self._writer = BatchWriter(reward)
        self._is_cheap = False
        """Whether the last item took less than `CHEAP_NS`."""

    def run(self, segment: Segment) -> None:
        """Runs a segment's items until the owner says stop, or until memory is out.

        What is left PENDING is the owner's to run again elsewhere.
        """
        self._run(segment, Work.load(segment.payload()))
        if self._state is not None:
            self._state.restore()

    def _run(self, segment: Segment, work: Work) -> None:
        by_item = self._reward.unit is Unit.ITEM
        if by_item and self._is_cheap and work.is_whole(segment.n):
            self._run_cheap(segment, work)
            return
        items = self._writer.read(segment, work)
        if by_item:
            self._run_each(segment, items, work)
        else:
            self._run_units(segment, items, work)

    def _run_cheap(self, segment: Segment, work: Work) -> None:
        """Runs a whole segment of cheap items: what is done for each costs as much as they do.

        Times are taken, and states written, once a group.
        """
        reward, writer = self._reward, self._writer
        (_first, _end, start_by_ns), first, clock = work.ranges[0], 0, time.monotonic_ns
        begin_ns = clock()

        def other(index: int, outcome: Outcome) -> bool:
            return not writer.record(segment, index, outcome)

        for group in work.groups():
            if begin_ns >= start_by_ns:
                return
            end = first + len(group.responses)
            try:
                example = read_example(group.example, prompt=reward.reads_prompt)
                responses = [read_response(data) for data in group.responses]
            except FieldError:
                items = writer.items_of(segment, group, first)
                self._run_items(segment, items, first, first, end, start_by_ns)
            else:
                segment.started_ns[first] = begin_ns
                segment.base[0] = first
                ran = run_each(
                    reward,
                    example,
                    responses,
                    self._clip,
                    segment.rewards,
                    first,
                    other,
                    segment.cursor,
                    segment.stop,
                    writer.forked,
                )
                writer.end_forked()
                self._end_group(segment, first, ran, clock() - begin_ns)
                if ran < end:
                    return
            first, begin_ns = end, clock()

    def _end_group(self, segment: Segment, first: int, end: int, elapsed_ns: int) -> None:
        n = end - first
        if n == 1:
            segment.elapsed_us[first] = elapsed_ns // 1000
            segment.states[first] = segment.states[first] or SCORED
        elif n:
            segment.elapsed_us[first:end] = array("Q", [elapsed_ns // 1000 // n]) * n
            segment.states[first:end] = segment.states[first:end].tobytes().translate(ENDED)
        segment.cursor[0] = 0
        self._is_cheap = elapsed_ns < CHEAP_NS * max(1, n)

    def _run_each(self, segment: Segment, items: Sequence[Item | None], work: Work) -> None:
        for first, end, start_by_ns in work.ranges:
            if not self._run_items(segment, items, 0, first, end, start_by_ns):
                return

    def _run_items(
        self,
        segment: Segment,
        items: Sequence[Item | None],
        offset: int,
        first: int,
        end: int,
        start_by_ns: int,
    ) -> bool:
        """Runs items first … end - 1, `items[0]` being item `offset`; whether to go on."""
        # Each item takes microseconds of its own: what can be looked up before is.
        reward, clip, writer = self._reward, self._clip, self._writer
        states, started_ns, elapsed_us = segment.states, segment.started_ns, segment.elapsed_us
        stop, forked, clock, record = segment.stop, writer.forked, time.monotonic_ns, writer.record
        for index in range(first, end):
            item = items[index - offset]
            if item is None:
                continue
            begin_ns = clock()
            if stop[0] or begin_ns >= start_by_ns:
                return False
            started_ns[index] = begin_ns
            states[index] = RUNNING
            outcome = run_item(reward, item, clip)
            elapsed_ns = clock() - begin_ns
            elapsed_us[index] = elapsed_ns // 1000
            self._is_cheap = elapsed_ns < CHEAP_NS
            if forked[0]:
                writer.end_forked()
            if elapsed_ns >= CALL_NS and self._state is not None:
                self._state.restore()
            if record(segment, index, outcome):
                return False
        return True

    def _run_units(self, segment: Segment, items: Sequence[Item | None], work: Work) -> None:
        for first, end, start_by_ns in self._writer.units(items, work):
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
        self._writer.end_forked()
        if self._state is not None and time.monotonic_ns() - begin_ns >= CALL_NS:
            self._state.restore()
        if splits and failed_whole(outcomes):
            segment.states[first:end] = bytes(end - first)
            return False
        self._writer.record_all(segment, first, outcomes, begin_ns)
        return True
