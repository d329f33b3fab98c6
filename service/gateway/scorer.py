"""A call from its bytes to its outcomes: admit → plan → lanes → gather. Knows no gRPC."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

from google.protobuf.message import DecodeError, Message
from rewardplane.config.load import INLINE_CHARS
from rewardplane.v1 import reward_service_pb2 as pb
from rewardplane.wire.errors import InvalidRequest
from rewardplane.wire.item_errors import CANCELLED, DEADLINE_EXECUTING, NEVER_STARTED

from .admission import Admission
from .call import Call
from .inline import run_inline
from .metrics import Metrics
from .plan import ask_of, plan
from .served import Bound, Table
from .shard import shards_of

_log = logging.getLogger(__name__)


class Scorer:
    """Scores calls with the rewards of a table, within the places of an admission."""

    def __init__(self, table: Table, admission: Admission, metrics: Metrics) -> None:
        self._table = table
        self._admission = admission
        self._metrics = metrics

    def with_table(self, table: Table) -> Scorer:
        """The same places and figures over other rewards."""
        return Scorer(table, self._admission, self._metrics)

    def parse(self, data: bytes) -> pb.ScoreRequest:
        """The request in `data`, if there is room for it.

        Raises:
            NotReady, Overloaded: see `Admission`.
            InvalidRequest: the bytes are no ScoreRequest.
        """
        self._admission.check_bytes(len(data), 1.0)
        return parsed(pb.ScoreRequest, data)

    def parse_stream(self, data: bytes) -> pb.ScoreRequest:
        """As `parse`, of a StreamScoresRequest."""
        self._admission.check_bytes(len(data), 1.0)
        return parsed(pb.StreamScoresRequest, data).request

    async def score(
        self, request: pb.ScoreRequest, size: int, remaining_s: float | None, traceparent: str
    ) -> Call:
        """Scores a request of `size` bytes; every item of the call has its outcome then.

        `remaining_s` is until the client's deadline (None: it set none).

        Raises:
            CallError: the call as a whole is refused.
        """
        call = self._open(request, size, remaining_s, traceparent)
        try:
            await self._start(call, request, size)
            # A call may wait long, and thousands may: what it was made of is not kept for that.
            del request
            await _until_done(call)
        finally:
            self._close(call, size)
        return call

    async def stream(
        self, request: pb.ScoreRequest, size: int, remaining_s: float | None, traceparent: str
    ) -> AsyncIterator[tuple[Call, Sequence[int]]]:
        """Scores a request; yields the numbers of items as they get their outcomes, each once.

        Raises:
            CallError: the call as a whole is refused; before anything is yielded.
        """
        call = self._open(request, size, remaining_s, traceparent)
        told: asyncio.Queue[Sequence[int]] = asyncio.Queue()
        call.on_items = told.put_nowait
        try:
            await self._start(call, request, size)
            del request
            waiting = asyncio.ensure_future(_until_done(call))
            try:
                left = call.n
                while left:
                    items = await told.get()
                    left -= len(items)
                    yield call, items
            finally:
                waiting.cancel()
        finally:
            call.on_items = None
            self._close(call, size)

    def _open(
        self, request: pb.ScoreRequest, size: int, remaining_s: float | None, traceparent: str
    ) -> Call:
        limits = self._admission.limits
        ask = ask_of(request, remaining_s, limits, traceparent)
        call = plan(request, size, ask, self._table, limits)
        self._admission.enter(call.n, size, _backlog_s(call.bound[0]))
        for bound in call.bound:
            bound.calls += 1
        return call

    def _close(self, call: Call, size: int) -> None:
        if call.pending:
            call.fail([(0, call.n)], CANCELLED)
        call.close()
        for bound in call.bound:
            bound.calls -= 1
        self._admission.leave(call.n, size)
        self._metrics.items_ended(call)
        if call.extras and (reasons := call.reasons()):
            counts = ", ".join(f"{count} {reason.name}" for reason, count in reasons.items())
            _log.warning(
                "%s: %d of %d items failed: %s",
                call.ask.label,
                sum(reasons.values()),
                call.n,
                counts,
            )
        elif _log.isEnabledFor(logging.DEBUG):
            elapsed_s = time.monotonic() - call.ask.started_s
            _log.debug("%s: %d items in %.3f s", call.ask.label, call.n, elapsed_s)

    async def _start(self, call: Call, request: pb.ScoreRequest, size: int) -> None:
        """Hands the items to their lanes; those of the inline lane have their outcomes then."""
        by_bound: dict[Bound, list[tuple[int, pb.Group]]] = {}
        for index, group in enumerate(request.groups):
            by_bound.setdefault(call.bound[index], []).append((index, group))
        for bound, groups in by_bound.items():
            if bound.lane != "inline":
                self._submit(call, bound, groups)
        for bound, groups in by_bound.items():
            if bound.lane == "inline" and (
                large := await run_inline(call, bound, groups, may_be_large=size > INLINE_CHARS)
            ):
                self._submit(call, bound, large)

    def _submit(self, call: Call, bound: Bound, groups: Sequence[tuple[int, pb.Group]]) -> None:
        for shard in shards_of(call, bound, groups, bound.pool.item_s):
            bound.pool.submit(shard)


_M = TypeVar("_M", bound=Message)


def parsed(kind: type[_M], data: bytes) -> _M:
    """The message in `data`.

    Raises:
        InvalidRequest: the bytes are no such message.
    """
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise InvalidRequest(f"the message is no {kind.__name__}: {error}") from None


async def _until_done(call: Call) -> None:
    """Waits for the last outcome or the time to answer; what is missing then is an error."""
    if not call.pending:
        return
    loop = asyncio.get_running_loop()
    left_s = call.ask.answer_by_s - time.monotonic()
    timer = loop.call_later(max(0.0, left_s), _time_is_up, call)
    try:
        await call.done
    finally:
        timer.cancel()


def _time_is_up(call: Call) -> None:
    call.fail(call.sent, DEADLINE_EXECUTING)
    call.fail([(0, call.n)], NEVER_STARTED)


def _backlog_s(bound: Bound) -> float:
    """How long what waits for a reward will take."""
    return bound.pool.backlog_items * bound.pool.item_s / bound.settings.replicas
