"""What a worker reads from a segment, and how it writes the outcomes there."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from typing import cast

from rewardplane.rewards.reward import Item, Reward, Unit
from rewardplane.rewards.types import Outcome, Reason, ScoreError
from rewardplane.v1 import frame_pb2 as frames

from .items import items_of
from .segment import FAILED, RUNNING, SCORED, Segment, fault_of, words_of
from .work import Work


class BatchWriter:
    """Reads the items of segments for a reward, and writes what comes of them."""

    def __init__(self, reward: Reward) -> None:
        self._reward = reward
        self._names = reward.component_names
        self.forked = [0]
        """1: this process is not the worker but one that the reward forked, and that came back
        here."""
        os.register_at_fork(after_in_child=self._note_fork)

    def end_forked(self) -> None:
        """Ends this process if the reward forked it: it would run the shard a second time."""
        if self.forked[0]:
            os._exit(0)

    def _note_fork(self) -> None:
        self.forked[0] = 1

    def read(self, segment: Segment, work: Work) -> list[Item | None]:
        """All items in order. One that cannot be read is recorded as INVALID_INPUT, and None.

        In a group that goes to the reward as a whole, it keeps its place: with its error in place
        of its response, for `run_items` to leave it out.
        """
        items: list[Item | None] = []
        for group in work.groups():
            items += self.items_of(segment, group, len(items), work.ranges)
        return items

    def items_of(
        self,
        segment: Segment,
        group: frames.GroupFrame,
        at: int,
        ranges: Sequence[tuple[int, int, int]] = (),
    ) -> list[Item | None]:
        """As `read`, of one group whose first item is number `at`; `ranges`: what is to run."""
        read = items_of(group, prompt=self._reward.reads_prompt)
        faults = {i: item for i, item in enumerate(read) if isinstance(item, ScoreError)}
        if not faults:
            return cast("list[Item | None]", read)
        if self._reward.whole_group and len(faults) < len(read):
            example = next(item[0] for item in read if not isinstance(item, ScoreError))
            broken = [(example, i) if isinstance(i, ScoreError) else i for i in read]
            return cast("list[Item | None]", broken)
        for index, fault in faults.items():
            if not ranges or any(first <= at + index < end for first, end, _by in ranges):
                self.record(segment, at + index, fault)
        return [None if i in faults else cast("Item", item) for i, item in enumerate(read)]

    def units(self, items: Sequence[Item | None], work: Work) -> Iterator[tuple[int, int, int]]:
        """Splits ranges into what one call of the reward gets: (first, end, start by)."""
        unit = self._reward.unit
        for first, end, start_by_ns in work.ranges:
            begin = -1
            for index in range(first, end):
                item = items[index]
                if begin >= 0 and (
                    item is None
                    or unit is Unit.ITEM
                    or (unit is Unit.GROUP and item[0] is not cast("Item", items[begin])[0])
                ):
                    yield begin, index, start_by_ns
                    begin = -1
                if item is not None and begin < 0:
                    begin = index
            if begin >= 0:
                yield begin, end, start_by_ns

    def record_all(
        self, segment: Segment, first: int, outcomes: Sequence[Outcome], begin_ns: int
    ) -> None:
        """Writes the outcomes of one call that began at `begin_ns`."""
        share_us = (time.monotonic_ns() - begin_ns) // 1000 // len(outcomes)
        for index, outcome in enumerate(outcomes, first):
            segment.elapsed_us[index] = share_us
            self.record(segment, index, outcome)

    def record(self, segment: Segment, index: int, outcome: Outcome) -> bool:
        """Writes an outcome; whether memory is out: then this process is no place for others."""
        if isinstance(outcome, ScoreError):
            segment.append_error(index, *fault_of(outcome))
            exhausted = outcome.reason is Reason.OUT_OF_MEMORY
            if exhausted:
                segment.spent[0] = 1
            segment.states[index] = FAILED
            return exhausted
        segment.rewards[index] = outcome.reward
        if self._names:
            at = index * segment.k
            for offset, name in enumerate(self._names):
                segment.components[at + offset] = outcome.components[name]
        wanted = segment.words[0]
        if wanted and (words := words_of(outcome, wanted)):
            segment.append_words(index, *words)
        segment.states[index] = SCORED
        return False


def failed_whole(outcomes: Sequence[Outcome]) -> bool:
    """Whether a call with several items told nothing of any of them.

    It raised, or returned no list of their number: one of them may be to blame.
    """
    fault = outcomes[0]
    return (
        len(outcomes) > 1
        and isinstance(fault, ScoreError)
        and fault.reason is not Reason.OUT_OF_MEMORY
        and all(outcome is fault for outcome in outcomes)
    )


def start(segment: Segment, first: int, end: int) -> int:
    """Marks the items of a call as RUNNING; returns since when (`time.monotonic_ns()`)."""
    begin_ns = time.monotonic_ns()
    for index in range(first, end):
        segment.started_ns[index] = begin_ns
        segment.states[index] = RUNNING
    return begin_ns
