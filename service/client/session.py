"""One client in one event loop: how its calls become requests, and their answers its results."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence

from rewardplane.rewards.types import Example, Group, Outcome, Reason, Response, ScoreError
from rewardplane.wire.errors import (
    CallError,
    DeadlineExceeded,
    Internal,
    InvalidRequest,
    NotReady,
    Overloaded,
)

from . import decode
from .batcher import Batcher
from .call_options import CallOptions, new_request_id
from .chunks import Chunk, EncodedGroup, chunks, encode_group
from .connection import Connection
from .endpoint import Endpoint
from .results import Scores
from .retry_policy import retried

CHUNKS_AT_ONCE = 8
_TURNS_TO_SEND = 3
"""Turns of the event loop until a call that has begun is on its way: its own task, and gRPC's. The
next part is written after them, while the service works on this one."""

SERVICE_FAILURES = (NotReady, Overloaded, DeadlineExceeded, Internal)
"""Failures of the service and not of the request: a part of a call may meet one alone."""


class Session:
    """What a client has open in one event loop. Every failure is a `CallError`."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._connection = Connection(endpoint)
        self._batcher = Batcher(self._send_singles)

    async def score(self, options: CallOptions, groups: Sequence[Group], request_id: str) -> Scores:
        """The outcomes of the groups, in their order."""
        request_id = request_id or new_request_id()
        head = options.head(request_id)
        parts = chunks(groups)
        first = next(parts, None)
        if first is None:
            raise InvalidRequest(
                "there are no groups to score", violations=[("groups", "is empty")]
            )
        if len(first.groups) == len(groups):
            return await self._send(first, head, options.timeout_s)
        whole = _ChunkedCall(len(groups), request_id)

        async def send(chunk: Chunk) -> None:
            try:
                whole.put(chunk, await self._send(chunk, head, options.timeout_s))
            except SERVICE_FAILURES as error:
                whole.fail(chunk, error)

        await for_each_chunk(itertools.chain((first,), parts), send)
        return whole.scores()

    async def score_one(
        self, options: CallOptions, example: Example, response: Response
    ) -> Outcome:
        """The outcome of one response, which may travel with others."""
        return await self._batcher.score(options, encode_group(Group(example, (response,))))

    async def call(self, method: str, request: bytes, timeout_s: float) -> bytes:
        """The answer to any unary call, tried again as `retried` says."""

        async def attempt(remaining_s: float) -> bytes:
            return await self._connection.unary(method, request, remaining_s)

        return await retried(attempt, timeout_s)

    def stream(self, request: bytes, timeout_s: float) -> AsyncGenerator[bytes, None]:
        """The messages of one try of a StreamScores call."""
        return self._connection.stream("StreamScores", request, timeout_s)

    async def close(self) -> None:
        """Ends what is in flight and closes the connections."""
        await self._batcher.close()
        await self._connection.close()

    async def _send(self, chunk: Chunk, head: bytes, timeout_s: float) -> Scores:
        try:
            data = await self.call("Score", chunk.request(head), timeout_s)
        except CallError as error:
            raise chunk.in_call(error) from None
        return decode.scores(data, chunk.groups)

    async def _send_singles(
        self, options: CallOptions, groups: Sequence[EncodedGroup], timeout_s: float
    ) -> list[Outcome]:
        answer = await self._send(Chunk(0, groups), options.head(new_request_id()), timeout_s)
        return [outcome for (outcome,) in answer]


class _ChunkedCall:
    """The answers of a call's chunks, each at its place."""

    def __init__(self, size: int, request_id: str) -> None:
        self._out = Scores(
            [[]] * size, [None] * size, [0] * size, [0] * size, [""] * size, request_id
        )
        self._failed: list[CallError] = []
        self._succeeded = False

    def put(self, chunk: Chunk, part: Scores) -> None:
        self._succeeded = True
        place = slice(chunk.first, chunk.first + len(chunk.groups))
        self._out.outcomes[place] = part.outcomes
        self._out.used[place] = part.used
        self._out.queue_us[place] = part.queue_us
        self._out.execution_us[place] = part.execution_us
        self._out.isolation[place] = part.isolation
        if part.health:
            # The last chunk's answer knows of the others.
            known = {health.reward: health for health in (*self._out.health, *part.health)}
            self._out.health = tuple(known.values())

    def fail(self, chunk: Chunk, error: CallError) -> None:
        self._failed.append(error)
        for group, sent in enumerate(chunk.groups, chunk.first):
            self._out.outcomes[group] = [failed_part(error) for _ in range(sent.size)]

    def scores(self) -> Scores:
        """All of them.

        Raises:
            CallError: not one chunk succeeded.
        """
        if not self._succeeded:
            raise self._failed[0]
        return self._out


def failed_part(error: CallError) -> ScoreError:
    """The outcome of an item whose part of a call failed while others succeeded."""
    late = isinstance(error, DeadlineExceeded)
    return ScoreError(Reason.DEADLINE if late else Reason.UNAVAILABLE, error.message)


async def for_each_chunk(
    parts: Iterable[Chunk],
    handle: Callable[[Chunk], Awaitable[None]],
    at_once: int = CHUNKS_AT_ONCE,
) -> None:
    """Awaits `handle(part)` for all parts, some at once; parts are made as they are needed.

    Raises what `handle` raises first; the others are cancelled then.
    """
    places = asyncio.Semaphore(at_once)

    async def work(part: Chunk) -> None:
        try:
            await handle(part)
        finally:
            places.release()

    try:
        async with asyncio.TaskGroup() as workers:
            for part in parts:
                await places.acquire()
                workers.create_task(work(part))
                for _ in range(_TURNS_TO_SEND):
                    await asyncio.sleep(0)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
