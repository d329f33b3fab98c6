"""How a worker runs an async reward: many calls side by side, none of which holds up the others.

A loop that is held up all the same, or a crash, has a culprit: whoever's code had the loop.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import time
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

from rewardplane.rewards.reward import Item, Reward
from rewardplane.rewards.run import Clip, run_items_async, timed_out
from rewardplane.rewards.types import Outcome, Reason, ScoreError
from rewardplane.wire.item_errors import DEADLINE_EXECUTING

from .batch_writer import BatchWriter, failed_whole, start
from .places import Places
from .segment import Segment
from .work import Work

SWALLOW_S = 0.25
"""How long an async call that timed out may take to end; then it is left to itself."""
AT_ONCE = 32
"""Calls that begin in one turn of the event loop: of a thousand that come together, the first are
to have reached whatever they wait for while the others begin."""
SWEEP_S = 0.1
"""How often is looked at what nobody waits for any more, and at what does not end."""

_BEGUN = 2**63
"""In place of when it must have started: it has, in a call of many that failed whole."""

_Cell = tuple["memoryview[int]", int]

_CELL: contextvars.ContextVar[_Cell | None] = contextvars.ContextVar("cell", default=None)
"""Where to tell that the code of a call has the loop, and what to tell."""


def _nobody() -> None: ...


@dataclass(slots=True)
class _Call:
    first: int
    end: int
    begin_ns: int
    timeout_s: float
    task: asyncio.Task[list[Outcome]]


@dataclass(slots=True, eq=False)
class _Shard:
    """A segment at work: what is left to start, in order, and what runs, by its first item."""

    segment: Segment
    work: Work
    items: Sequence[Item | None]
    owner: asyncio.Task[Any]
    units: deque[tuple[int, int, int]]
    tell: Callable[[], object]
    calls: dict[int, _Call] = field(default_factory=dict[int, _Call])
    limit: asyncio.Timeout = field(default_factory=partial(asyncio.timeout, None))
    """Ends it where its owner says stop."""
    wakes: asyncio.Future[None] | None = None
    """What waits until all calls have ended, or there is more to do."""
    fault: BaseException | None = None
    """Why it goes no further: no call's doing."""

    def wake(self) -> None:
        """Lets it look whether there is more to do."""
        if self.wakes is None or self.wakes.done():
            return
        if self.units or self.fault is not None or not self.calls:
            self.wakes.set_result(None)


class AsyncRunner:
    """Runs an async reward: as many calls side by side as there are places, of any segments.

    With `places` of its owner's, the process is shared with other rewards, all of them the
    service's own: nothing that one of them does is a reason to replace it, nobody asks whose code
    has the loop, and segments end by being cancelled.
    """

    def __init__(
        self, reward: Reward, clip: Clip, concurrency: int, places: Places | None = None
    ) -> None:
        self._reward = reward
        self._clip = clip
        self._writer = BatchWriter(reward)
        self._shares = places is not None
        self._places = places or Places(concurrency)
        self._shards: set[_Shard] = set()
        self._sweeps: asyncio.TimerHandle | None = None
        self._left_alone: set[asyncio.Task[Any]] = set()
        self._loop = asyncio.get_running_loop()
        if not self._shares:
            # All that a call starts as a task counts as the call.
            self._loop.set_task_factory(self._task)

    async def run(self, segment: Segment, tell: Callable[[], object] = _nobody) -> None:
        """Runs a segment's items until all ended, or the owner says stop.

        `tell` is called whenever some have ended. What is left PENDING may not start any more, or
        is the owner's to run again elsewhere.
        """
        work = Work.load(segment.payload())
        items = self._writer.read(segment, work)
        owner = cast("asyncio.Task[Any]", asyncio.current_task())
        units = deque(self._writer.units(items, work))
        shard = _Shard(segment, work, items, owner, units, tell)
        self._shards.add(shard)
        self._sweeps = self._sweeps or self._loop.call_later(SWEEP_S, self._sweep)
        if None in items:  # what cannot be read has ended
            tell()
        try:
            async with shard.limit:
                await self._run(shard)
        except TimeoutError:
            return
        finally:
            self._shards.discard(shard)
            # None may outlive this: the owner closes the segment, and its descriptor is reused.
            if shard.calls:
                await self._end(shard)

    async def _run(self, shard: _Shard) -> None:
        """Starts one call after the other, each as soon as it has a place; waits for them all."""
        lacking = _lacking(shard.items)
        segment, units, started = shard.segment, shard.units, 0
        while True:
            while units and shard.fault is None:
                first, end, start_by_ns = units.popleft()
                urgency = shard.work.deadline_ns, lacking[first]
                if not self._may_start(segment, start_by_ns):
                    continue
                if not await self._places.acquire(urgency, start_by_ns):
                    continue
                if not self._may_start(segment, start_by_ns):
                    self._places.release()
                    continue
                self._start(shard, first, end)
                started += 1
                if started % AT_ONCE == 0:
                    await asyncio.sleep(0)
            if shard.fault is not None:
                raise shard.fault
            if not shard.calls:
                return
            shard.wakes = self._loop.create_future()
            await shard.wakes

    def _start(self, shard: _Shard, first: int, end: int) -> None:
        segment, work = shard.segment, shard.work
        begin_ns = start(segment, first, end)
        timeout_s = min(work.timeout_s, max(0.0, (work.deadline_ns - begin_ns) / 1e9))
        items = cast("list[Item]", shard.items[first:end])
        if not self._shares:
            _CELL.set((segment.stepping, first + 1))
        task = self._loop.create_task(run_items_async(self._reward, items, self._clip, timeout_s))
        shard.calls[first] = call = _Call(first, end, begin_ns, timeout_s, task)
        task.add_done_callback(lambda _: self._ended(shard, call))

    def _ended(self, shard: _Shard, call: _Call) -> None:
        """A call has ended, or is left alone."""
        if shard.calls.pop(call.first, None) is None:
            return
        self._places.release()
        # What ends because its owner does has no outcome.
        ends = call.task.cancelled() and shard.owner.cancelling()
        if shard in self._shards and not ends:
            try:
                self._record(shard, call)
            except BaseException as error:  # noqa: BLE001 - raised in the owner's task
                shard.fault = error
        shard.wake()

    def _record(self, shard: _Shard, call: _Call) -> None:
        segment, work, task = shard.segment, shard.work, call.task
        outcomes: Sequence[Outcome]
        count = call.end - call.first
        if not task.done():
            outcomes = [timed_out(call.timeout_s)] * count
        elif task.cancelled():
            outcomes = [ScoreError(Reason.RAISED, "the call cancelled itself")] * count
        else:
            outcomes = task.result()
        if call.timeout_s < work.timeout_s and any(map(_is_timed_out, outcomes)):
            outcomes = [DEADLINE_EXECUTING] * count
        elif not self._reward.whole_group and failed_whole(outcomes):
            segment.states[call.first : call.end] = bytes(count)
            apart = range(call.first, call.end)
            shard.units.extendleft((i, i + 1, _BEGUN) for i in reversed(apart))
            return
        self._writer.record_all(segment, call.first, outcomes, call.begin_ns)
        shard.tell()

    async def _end(self, shard: _Shard) -> None:
        """Ends what runs of a segment."""
        for call in shard.calls.values():
            call.task.cancel()
        await asyncio.wait([call.task for call in shard.calls.values()], timeout=SWALLOW_S)
        for call in list(shard.calls.values()):
            self._leave(shard, call)

    def _leave(self, shard: _Shard, call: _Call) -> None:
        """Leaves a call to itself that swallows its cancellation.

        It has its process until that is replaced.
        """
        self._left_alone.add(call.task)
        call.task.add_done_callback(self._left_alone.discard)
        shard.segment.spent[0] = 1
        self._ended(shard, call)

    def _sweep(self) -> None:
        """Ends segments whose owner says stop; leaves alone what should have ended."""
        self._sweeps = None
        now_ns = time.monotonic_ns()
        for shard in self._shards:
            if shard.segment.stop[0] and not shard.limit.expired():
                shard.limit.reschedule(self._loop.time())
            overdue: list[_Call] = []
            for call in shard.calls.values():
                # Those that began first end first.
                if now_ns - call.begin_ns < 1e9 * (call.timeout_s + SWALLOW_S):
                    break
                overdue.append(call)
            for call in overdue:
                self._leave(shard, call)
        if self._shards:
            self._sweeps = self._loop.call_later(SWEEP_S, self._sweep)

    def _may_start(self, segment: Segment, start_by_ns: int) -> bool:
        """Not where it is too late, the owner says stop, or the process is to be replaced."""
        if start_by_ns == _BEGUN:
            return True
        if segment.stop[0] or (segment.spent[0] and not self._shares):
            return False
        return time.monotonic_ns() < start_by_ns

    def _task(
        self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any
    ) -> asyncio.Task[Any]:
        context: contextvars.Context | None = options.get("context")
        cell = _CELL.get() if context is None else context.get(_CELL)
        if cell is not None:
            coroutine = _Stepped(coroutine, cell, self._writer)
        return asyncio.Task(coroutine, loop=loop, **options)


class _Stepped(Coroutine[Any, Any, Any]):
    """A coroutine that tells, whenever it has the event loop, whose it is."""

    def __init__(
        self, coroutine: Coroutine[Any, Any, Any], cell: _Cell, writer: BatchWriter
    ) -> None:
        self._coroutine = coroutine
        self._memory, self._mark = cell
        self._writer = writer

    def send(self, value: Any) -> Any:
        """Runs the coroutine to its next await."""
        return self._step(self._coroutine.send, value)

    def throw(self, *error: Any) -> Any:
        """Raises an error where the coroutine awaits."""
        return self._step(self._coroutine.throw, *error)

    def close(self) -> None:
        """Ends the coroutine."""
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._coroutine.__await__()

    def _step(self, step: Callable[..., Any], *given: Any) -> Any:
        self._memory[0] = self._mark
        try:
            return step(*given)
        except (SystemExit, KeyboardInterrupt):
            # asyncio lets these end the loop, which would run the others once more on its way out.
            os._exit(1)
        finally:
            self._writer.end_forked()
            self._memory[0] = 0


def _lacking(items: Sequence[Item | None]) -> list[int]:
    """How many items of its group stand at each place and after it."""
    left = [0] * len(items)
    after: Item | None = None
    count = 0
    for index in range(len(items) - 1, -1, -1):
        item = items[index]
        if item is not None:
            count = count + 1 if after is not None and after[0] is item[0] else 1
            after = item
            left[index] = count
    return left


def _is_timed_out(outcome: Outcome) -> bool:
    return isinstance(outcome, ScoreError) and outcome.reason is Reason.TIMED_OUT
