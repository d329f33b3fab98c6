"""The inline lane: rewards so cheap that the gateway runs them itself, between two events.

Only kinds that declare themselves fit, only responses up to 64 k characters: the group of a longer
one goes to the reward's pool.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from rewardplane.config.load import INLINE_CHARS
from rewardplane.replica.items import unreadable
from rewardplane.replica.job import ranges_in
from rewardplane.replica.segment import ENDED, PENDING
from rewardplane.rewards.run import Clip, run_each, run_item
from rewardplane.rewards.types import Example, Outcome
from rewardplane.v1 import frame_pb2 as frames
from rewardplane.wire.frame import read_example, read_response
from rewardplane.wire.messages import FieldError

from .breath import Steps, go_on
from .call import Call
from .served import ServedReward

CHUNK_ITEMS = 256
CHUNK_BYTES = 128 * 1024
"""How much of a group is scored between two looks at the clock, at the most."""
CHUNK_NS = 2_000_000
"""What that may take, by what the items before it took."""
FIRST_ITEMS = 16

Groups = Iterable[tuple[int, frames.GroupFrame]]


class InlineRun:
    """Scores groups of a call in the event loop, with pauses; `too_large` gets what must not."""

    def __init__(
        self,
        call: Call,
        served: ServedReward,
        groups: Groups,
        too_large: Callable[[Groups], None],
    ) -> None:
        if served.reward is None:
            raise ValueError(f"reward {served.name!r} is not of the inline lane")
        self._call = call
        self._reward = served.reward
        self._served = served
        self._names = served.component_names
        self._clip = Clip(*served.config.clip)
        self._too_large = too_large
        self._most_items = FIRST_ITEMS
        self._groups = groups
        self._unsettled = 0, 0
        """The items that are being scored."""

    def start(self) -> None:
        """Scores for a breath; the rest follows when others had their turn."""
        trace = self._call.trace
        then = None
        if trace is not None:
            trace.began_inline(self._served.name)
            then = partial(trace.ran_inline, self._served.name)
        go_on(self._score_all(self._groups), then, self._failed)

    def _failed(self, error: Exception) -> None:
        first, end = self._unsettled
        if not self._call.closed:
            self._call.states[first:end] = bytes(end - first)
        self._call.failed_here(self._served, error)

    def _score_all(self, groups: Groups) -> Steps[None]:
        """Scores group by group; yields where there may be a pause."""
        call, reward = self._call, self._reward
        for index, group in groups:
            begin, stop = call.spans[index]
            if stop - begin > INLINE_CHARS and _is_large(group):
                self._too_large([(index, group)])
                yield
                if call.closed:
                    return
                continue
            first, end = call.offsets[index], call.offsets[index + 1]
            most = max(1, min(CHUNK_ITEMS, (end - first) * CHUNK_BYTES // (stop - begin)))
            begin_ns = time.perf_counter_ns()
            try:
                example = read_example(group.example, prompt=reward.reads_prompt)
            except FieldError as error:
                fault = unreadable("example", error)
                call.fail([(first, end)], fault)
                yield
                if call.closed:
                    return
                continue
            runs = [(first, end)]
            if call.sparse:
                runs = ranges_in(call.states, PENDING, runs)
            for at, stop in runs:
                while at < stop:
                    count = min(most, self._most_items, stop - at)
                    responses = group.responses[at - first : at - first + count]
                    self._unsettled = at, at + count
                    self._score(example, responses, at)
                    took_ns = time.perf_counter_ns() - begin_ns
                    call.spread(at, at + count, took_ns // 1000)
                    self._unsettled = 0, 0
                    call.settle(range(at, at + count))
                    self._most_items = max(1, min(CHUNK_ITEMS, count * CHUNK_NS // max(1, took_ns)))
                    at += count
                    if call.closed:  # these were the last of it
                        return
                    yield
                    if call.closed:  # its time was over in the pause
                        return
                    begin_ns = time.perf_counter_ns()

    def _score(self, example: Example, sent: Sequence[bytes], first: int) -> None:
        call = self._call
        try:
            responses = [read_response(data) for data in sent]
        except FieldError:
            for item, data in enumerate(sent, first):
                self._score_one(example, data, item)
            return
        run_each(self._reward, example, responses, self._clip, call.rewards, first, self._other)
        end = first + len(responses)
        call.states[first:end] = call.states[first:end].translate(ENDED)

    def _score_one(self, example: Example, data: bytes, item: int) -> None:
        try:
            response = read_response(data)
        except FieldError as error:
            self._other(item, unreadable("response", error))
        else:
            self._other(item, run_item(self._reward, (example, response), self._clip))

    def _other(self, item: int, outcome: Outcome) -> bool:
        self._call.set(item, outcome, self._names)
        return True


def _is_large(group: frames.GroupFrame) -> bool:
    return len(group.example) > _MOST_BYTES or any(
        [len(data) > _MOST_BYTES for data in group.responses]  # noqa: C419 - half the time
    )


_MOST_BYTES = INLINE_CHARS + 4
"""A text of that length with its tag and length."""
