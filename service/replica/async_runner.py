"""How a worker runs an async reward: many calls side by side, none of which holds up the others.

A loop that is held up all the same, or a crash, has a culprit: whoever's code had the loop.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import time
from collections.abc import Callable, Coroutine, Generator, Sequence
from typing import Any, Protocol, cast

from rewardplane.rewards.reward import Item, Reward
from rewardplane.rewards.run import Clip, run_items_async, timed_out
from rewardplane.rewards.types import Outcome, Reason, ScoreError
from rewardplane.wire.item_errors import DEADLINE_EXECUTING

from .batch_writer import BatchWriter, failed_whole, start
from .segment import Segment
from .work import Work

SWALLOW_S = 0.25
"""How long an async call that timed out may take to end; then it is left to itself."""
AT_ONCE = 32
"""Calls that begin in one turn of the event loop: of a thousand that come together, the first are
to have reached whatever they wait for while the others begin."""
STOP_POLL_S = 0.1
"""How soon the calls of a segment end that nobody waits for any more."""

_Cell = tuple["memoryview[int]", int]

_CELL: contextvars.ContextVar[_Cell | None] = contextvars.ContextVar("cell", default=None)
"""Where to tell that the code of a call has the loop, and what to tell."""


class Places(Protocol):
    """What calls wait for before they start; `Semaphore` gives them in order of age."""

    async def acquire(self, urgency: tuple[int, int], /) -> object:
        """Waits for a place. `urgency`: the deadline (ns), and how many items the group lacks."""
        ...

    def release(self) -> None:
        """Gives it back."""
        ...


class _InOrder:
    def __init__(self, count: int) -> None:
        self._places = asyncio.Semaphore(count)
        self.release = self._places.release

    async def acquire(self, _urgency: tuple[int, int], /) -> object:
        return await self._places.acquire()


class AsyncRunner:
    """Runs an async reward: as many calls side by side as there are places, of any segments.

    With `places` of its owner's, the process is shared with other rewards: nothing that one of them
    does is a reason to replace it.
    """

    def __init__(
        self, reward: Reward, clip: Clip, concurrency: int, places: Places | None = None
    ) -> None:
        self._reward = reward
        self._clip = clip
        self._writer = BatchWriter(reward)
        self._shares = places is not None
        self._places = places or _InOrder(concurrency)
        self._concurrency = concurrency
        self._left_alone: set[asyncio.Task[Any]] = set()
        # All that a call starts as a task counts as the call.
        asyncio.get_running_loop().set_task_factory(self._task)

    async def run(self, segment: Segment) -> None:
        """Runs a segment's items until all ended, or the owner says stop.

        What is left PENDING may not start any more, or is the owner's to run again elsewhere.
        """
        work = Work.load(segment.payload())
        items = self._writer.read(segment, work)
        units = list(self._writer.units(items, work))
        queue = iter(units)
        lacking = _lacking(items)

        async def consume() -> None:
            for unit in queue:
                if self._spent(segment) or segment.stop[0]:
                    return
                await self._run_unit(segment, items, lacking[unit[0]], work, unit)

        if self._shares and len(units) == 1:  # whose owner cancels this where nobody waits
            await consume()
            return
        tasks: set[asyncio.Task[None]] = set()
        try:
            for number in range(min(len(units), self._concurrency)):
                if number and number % AT_ONCE == 0:
                    await asyncio.sleep(0)
                tasks.add(asyncio.create_task(consume()))
            while tasks:
                done, tasks = await asyncio.wait(tasks, timeout=STOP_POLL_S)
                for task in done:
                    task.result()
                if segment.stop[0]:
                    return
        finally:
            # None may outlive this: the owner closes the segment, and its descriptor is reused.
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)

    async def _run_unit(
        self,
        segment: Segment,
        items: Sequence[Item | None],
        lacking: int,
        work: Work,
        unit: tuple[int, int, int],
    ) -> None:
        """Runs one call, unless it would start too late."""
        first, end, start_by_ns = unit
        urgency = work.deadline_ns, lacking
        try:
            async with asyncio.timeout((start_by_ns - time.monotonic_ns()) / 1e9):
                await self._places.acquire(urgency)
        except TimeoutError:
            return
        try:
            if time.monotonic_ns() >= start_by_ns or self._spent(segment):
                return
            called = cast("list[Item]", items[first:end])
            splits = not self._reward.whole_group
            if not await self._run_call(segment, first, called, work, splits=splits):
                alone = [
                    self._run_call(segment, index, [item], work, splits=False)
                    for index, item in enumerate(called, first)
                ]
                await asyncio.gather(*alone)
        finally:
            self._places.release()

    async def _run_call(
        self, segment: Segment, first: int, items: Sequence[Item], work: Work, *, splits: bool
    ) -> bool:
        """Runs one call. False: it failed whole and `splits`; its items are PENDING again."""
        end = first + len(items)
        begin_ns = start(segment, first, end)
        left_s = max(0.0, (work.deadline_ns - begin_ns) / 1e9)
        outcomes = await self._outcomes(segment, first, items, min(work.timeout_s, left_s))
        if left_s < work.timeout_s and any(_is_timed_out(o) for o in outcomes):
            outcomes = [DEADLINE_EXECUTING] * len(outcomes)
        elif splits and failed_whole(outcomes):
            segment.states[first:end] = bytes(end - first)
            return False
        self._writer.record_all(segment, first, outcomes, begin_ns)
        return True

    async def _outcomes(
        self, segment: Segment, first: int, items: Sequence[Item], timeout_s: float
    ) -> Sequence[Outcome]:
        context = contextvars.copy_context()
        context.run(_CELL.set, (segment.stepping, first + 1))
        call = asyncio.get_running_loop().create_task(
            run_items_async(self._reward, items, self._clip, timeout_s), context=context
        )
        try:
            await asyncio.wait((call,), timeout=timeout_s + SWALLOW_S)
        except asyncio.CancelledError:
            call.cancel()
            await asyncio.wait((call,), timeout=SWALLOW_S)
            raise
        finally:
            if not call.done():
                # It swallowed its cancellation: it has its process until that is replaced.
                self._left_alone.add(call)
                segment.spent[0] = 1
        if not call.done():
            return [timed_out(timeout_s)] * len(items)
        if call.cancelled():
            return [ScoreError(Reason.RAISED, "the call cancelled itself")] * len(items)
        return call.result()

    def _spent(self, segment: Segment) -> bool:
        """Whether the process is to be replaced, so that nothing more starts in it."""
        return bool(segment.spent[0]) and not self._shares

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
