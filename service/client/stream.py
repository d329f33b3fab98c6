"""A call whose outcomes come as they are made."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from rewardplane.rewards.types import Group
from rewardplane.wire.errors import CallError, Internal, InvalidRequest

from . import decode
from .call_options import CallOptions, new_request_id
from .chunks import Chunk, chunks
from .results import RewardUsed, StreamedOutcome
from .retry_policy import retried
from .session import SERVICE_FAILURES, Session, failed_part, for_each_chunk

_NOT_USED = RewardUsed("", "", "")


async def stream(
    session: Session, options: CallOptions, groups: Sequence[Group], request_id: str
) -> AsyncGenerator[StreamedOutcome, None]:
    """Each item's outcome once, in any order.

    A part of the call that breaks off is asked again for the groups that miss an outcome.

    Raises:
        CallError: the request is refused, or no outcome came.
    """
    if not groups:
        raise InvalidRequest("there are no groups to score", violations=[("groups", "is empty")])
    pump = _Pump(session, options, request_id or new_request_id())
    task = asyncio.create_task(pump.run(groups))
    try:
        # It holds at most the outcomes of this call, whose groups the caller holds.
        while (outcome := await pump.arrived.get()) is not None:
            yield outcome
        await task
    finally:
        task.cancel()
        await asyncio.wait([task])


class _Pump:
    def __init__(self, session: Session, options: CallOptions, request_id: str) -> None:
        self.arrived: asyncio.Queue[StreamedOutcome | None] = asyncio.Queue()
        self._session = session
        self._options = options
        self._head = options.head(request_id)
        self._any = False
        self._broken: list[tuple[_Missing, CallError]] = []

    async def run(self, groups: Sequence[Group]) -> None:
        try:
            await for_each_chunk(chunks(groups), self._run_chunk)
            if self._broken and not self._any:
                raise self._broken[0][1]
            for missing, error in self._broken:
                for group, response in missing.items():
                    outcome = StreamedOutcome(group, response, failed_part(error), _NOT_USED)
                    self.arrived.put_nowait(outcome)
        finally:
            self.arrived.put_nowait(None)

    async def _run_chunk(self, chunk: Chunk) -> None:
        missing = _Missing(chunk)

        async def attempt(remaining_s: float) -> None:
            rest, numbers = missing.rest()
            request = rest.stream_request(self._head)
            try:
                async with aclosing(self._session.stream(request, remaining_s)) as messages:
                    async for data in messages:
                        for outcome in decode.streamed(data):
                            self._put(missing, numbers, outcome)
            except CallError as error:
                # Of a rest, the indices are no longer consecutive; a refusal comes with the first.
                raise (chunk.in_call(error) if rest is chunk else error) from None
            if missing:
                raise Internal("the service ended the stream before all outcomes had come")

        try:
            await retried(attempt, self._options.timeout_s)
        except SERVICE_FAILURES as error:
            self._broken.append((missing, error))

    def _put(self, missing: _Missing, numbers: Sequence[int], outcome: StreamedOutcome) -> None:
        if not 0 <= outcome.group_index < len(numbers):
            raise Internal(f"the service answered a group {outcome.group_index}, never sent")
        group = numbers[outcome.group_index]
        if missing.take(group, outcome.response_index):
            self._any = True
            self.arrived.put_nowait(
                StreamedOutcome(group, outcome.response_index, outcome.outcome, outcome.used)
            )


class _Missing:
    """The items of a chunk that have no outcome yet, by their indices in the call."""

    def __init__(self, chunk: Chunk) -> None:
        self._chunk = chunk
        self._left = {
            group: set(range(sent.size)) for group, sent in enumerate(chunk.groups, chunk.first)
        }

    def __bool__(self) -> bool:
        return bool(self._left)

    def items(self) -> list[tuple[int, int]]:
        return [(group, response) for group, left in self._left.items() for response in left]

    def rest(self) -> tuple[Chunk, list[int]]:
        """The groups that miss an outcome, and their indices in the call."""
        first, groups = self._chunk.first, self._chunk.groups
        numbers = list(self._left)
        if len(numbers) == len(groups):
            return self._chunk, numbers
        return Chunk(first, [groups[number - first] for number in numbers]), numbers

    def take(self, group: int, response: int) -> bool:
        """Whether this item was missing; it no longer is."""
        left = self._left.get(group)
        if left is None or response not in left:
            return False
        left.discard(response)
        if not left:
            del self._left[group]
        return True
