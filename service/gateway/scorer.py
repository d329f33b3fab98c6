"""A call from its bytes to its outcomes: admit → plan → lanes → gather. Knows no gRPC."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from rewardplane.access.caller import Caller
from rewardplane.v1 import frame_pb2 as frames
from rewardplane.wire.errors import CallError
from rewardplane.wire.item_errors import CANCELLED

from .admission import Admission
from .breath import Steps, go_on, in_breaths
from .call import PIECE_GROUPS, Call
from .composite import CompositeRun
from .deadlines import Deadlines
from .health import SAMPLED
from .inline import Groups, InlineRun
from .metrics import Metrics
from .outcome_log import log_outcomes
from .plan import options_of, plan, read_frame
from .reuse import Reuse, ReuseRun
from .served import ServedReward, ServedRewards
from .shard import shards_of
from .waiting import check_before_plan, check_share, check_waiting

if TYPE_CHECKING:
    from .traces import CallTrace, Traces

_log = logging.getLogger(__name__)


class Scorer:
    """Scores calls with served rewards, within the places of an admission."""

    def __init__(
        self,
        rewards: ServedRewards,
        admission: Admission,
        metrics: Metrics,
        *,
        apart: bool = False,
    ) -> None:
        """`apart`: the rewards are what a call brought; no grant knows their names."""
        self.rewards = rewards
        self.reuse = Reuse(admission.limits.cache_mb * 2**20)
        """The scores of deterministic rewards."""
        self.traces: Traces | None = None
        """What calls are traced by; None: none is."""
        self._apart = apart
        self._admission = admission
        self._metrics = metrics
        self._deadlines = Deadlines[Call](_expire)

    def with_rewards(self, rewards: ServedRewards) -> Scorer:
        """The same places and figures over rewards that a call brought."""
        scorer = Scorer(rewards, self._admission, self._metrics, apart=True)
        scorer.reuse = self.reuse
        scorer.traces = self.traces
        return scorer

    def begin(
        self,
        data: bytes,
        remaining_s: float | None,
        traceparent: str,
        on_done: Callable[[Call], None],
        on_items: Callable[[Sequence[int]], None] | None = None,
        caller: Caller | None = None,
    ) -> Call | Steps[Call]:
        """Starts a call, from a serialized `ScoreRequest`.

        One of more than `PIECE_GROUPS` groups takes longer than a turn of the loop should: of it,
        the steps that are left are returned, whose result is the call.

        `remaining_s` is until the client's deadline (None: it set none). `on_done` gets the call
        when every item has its outcome, perhaps before this returns; `on_items` the numbers of
        items as they get theirs, each once. Whoever gives the call up says so by `cancel`, or
        closes the steps.

        The call counts in the quotas of `caller`, who must be granted its rewards; None: anybody
        may do anything.

        Raises:
            CallError: the call as a whole is refused; the steps raise it, too.
        """
        steps = self._beginning(data, remaining_s, traceparent, on_done, on_items, caller)
        try:
            next(steps)
        except StopIteration as end:
            return end.value
        return steps

    async def _begun(self, begun: Call | Steps[Call]) -> Call:
        """The call that begins, with pauses in which others get their turn.

        Raises:
            CallError: the call as a whole is refused.
        """
        if isinstance(begun, Call):
            return begun
        call: Call | None = None

        def beginning() -> Steps[Call]:
            nonlocal call
            call = yield from begun
            return call

        try:
            return await in_breaths(beginning())
        except asyncio.CancelledError:
            if call is not None:  # it began in the turn in which its caller left
                self.cancel(call)
            raise

    def _beginning(
        self,
        data: bytes,
        remaining_s: float | None,
        traceparent: str,
        on_done: Callable[[Call], None],
        on_items: Callable[[Sequence[int]], None] | None,
        caller: Caller | None,
    ) -> Steps[Call]:
        trace = None if self.traces is None else self.traces.begin(traceparent)
        if trace is not None:
            traceparent = trace.traceparent
        steps = self._steps(data, remaining_s, traceparent, on_done, on_items, caller, trace)
        return steps if trace is None else _traced(trace, steps)

    def _steps(
        self,
        data: bytes,
        remaining_s: float | None,
        traceparent: str,
        on_done: Callable[[Call], None],
        on_items: Callable[[Sequence[int]], None] | None,
        caller: Caller | None,
        trace: CallTrace | None,
    ) -> Steps[Call]:
        # What is read with pauses counts from here: others ask for room in them.
        self._admission.enter(len(data), 1.0)
        items = 0
        try:
            if caller is not None:
                caller.check_rates()
            request = read_frame(data)
            if len(request.groups) > PIECE_GROUPS:
                yield
            limits = self._admission.limits
            options = options_of(request, remaining_s, limits, traceparent)
            apart = None if self._apart else caller
            is_checked = check_before_plan(request, options, self.rewards, apart)
            generation = -1
            call: Call | None = None
            while call is None or generation != self.rewards.generation:
                generation = self.rewards.generation  # it may change in a pause
                call = yield from plan(request, data, options, self.rewards, limits, apart)
            if not is_checked:
                check_waiting(call.items, options)
            if len(self.rewards) > 1:
                check_share(call.items, limits.max_in_flight_items)
            self._admission.take(call.n, call.served[0].backlog_s)
            items = call.n
            if caller is not None:
                tokens = _judge_tokens(call) if caller.limits_judges else 0.0
                call.usages = caller.enter(options.job, call.n, tokens)
        except BaseException:
            self._admission.leave(items, len(data))
            raise
        for served, count in call.items.items():
            served.calls += 1
            served.items += count
        metrics = self._metrics
        call.job = metrics.job_label(options.job)
        call.waits = metrics.waits.begin(call.job, [served.name for served in call.items])
        if self._metrics.health.wants_sample():
            # Another group of each call, so that no place in the batch is preferred.
            group = self._metrics.batches_sum % len(request.groups)
            responses = request.groups[group].responses
            call.sampled = group, [len(response) for response in responses[:SAMPLED]]
        call.on_items = on_items
        if caller is not None:
            call.caller = caller.name
        if trace is not None:
            call.trace = trace
            trace.planned()
        call.on_done = partial(self._close, call, len(data), on_done)
        self._deadlines.add(call, options.answer_by_s)
        try:
            yield from self._start(call, request)
        except BaseException:
            self.cancel(call)
            raise
        return call

    def cancel(self, call: Call) -> None:
        """Nobody waits for the call any more: what runs for it is stopped, `on_done` not called."""
        if not call.closed:
            size = len(call.data)
            call.on_done = call.on_items = None
            call.fail([(0, call.n)], CANCELLED)
            self._close(call, size, _ignore_cancelled)

    async def score(
        self,
        data: bytes,
        remaining_s: float | None,
        traceparent: str,
        caller: Caller | None = None,
    ) -> Call:
        """The call of a serialized `ScoreRequest`; every item has its outcome then.

        Raises:
            CallError: the call as a whole is refused.
        """
        done = asyncio.get_running_loop().create_future()

        def on_done(call: Call) -> None:
            if not done.done():
                done.set_result(call)

        begun = self.begin(data, remaining_s, traceparent, on_done, caller=caller)
        call = await self._begun(begun)
        try:
            return await done
        finally:
            self.cancel(call)

    async def stream(
        self,
        data: bytes,
        remaining_s: float | None,
        traceparent: str,
        caller: Caller | None = None,
    ) -> AsyncIterator[tuple[Call, Sequence[int]]]:
        """As `score`; yields the numbers of items as they get their outcomes, each once.

        Raises:
            CallError: the call as a whole is refused; before anything is yielded.
        """
        told: asyncio.Queue[Sequence[int]] = asyncio.Queue()
        begun = self.begin(data, remaining_s, traceparent, _ignore, told.put_nowait, caller)
        call = await self._begun(begun)
        try:
            left = call.n
            while left:
                items = await told.get()
                left -= len(items)
                yield call, items
        finally:
            self.cancel(call)

    def _close(self, call: Call, size: int, then: Callable[[Call], None]) -> None:
        """Every item has its outcome: gives the places back and counts; `then` gets the call."""
        if call.trace is not None:
            try:
                call.trace.close(call)
            except Exception:  # noqa: BLE001 - our fault, not the call's: it has its outcomes
                _log.exception("%s: its trace could not be closed", call.options.label)
        call.close()
        self._deadlines.remove(call, call.options.answer_by_s)
        for served, count in call.items.items():
            served.calls -= 1
            served.items -= count
        self._admission.leave(call.n, size)
        for usage in call.usages:
            usage.leave(call.n)
        self._metrics.waits.end(call.waits)
        if call.trace is not None:
            then = partial(_answer_traced, then)
        if call.n == 1:
            self._count_item(call)
            then(call)
        else:
            go_on(self._counted(call), partial(then, call))

    def _count_item(self, call: Call) -> None:
        try:
            reasons = self._metrics.item_ended(call)
        except Exception:  # noqa: BLE001 - our fault, not the call's: it has its outcomes
            _log.exception("%s: its outcome could not be counted", call.options.label)
        else:
            log_outcomes(call, reasons)

    def _counted(self, call: Call) -> Steps[None]:
        try:
            reasons = yield from self._metrics.items_ended(call)
        except Exception:  # noqa: BLE001 - our fault, not the call's: it has its outcomes
            _log.exception("%s: its outcomes could not be counted", call.options.label)
            return
        log_outcomes(call, reasons)

    def _start(self, call: Call, request: frames.RequestFrame) -> Steps[None]:
        """Hands the items to their lanes; those of the inline lane may have their outcomes then."""
        if len(call.items) == 1:
            self._start_lane(call, call.served[0], enumerate(request.groups))
            return
        by_reward: dict[ServedReward, list[tuple[int, frames.GroupFrame]]] = {}
        for index, group in enumerate(request.groups):
            by_reward.setdefault(call.served[index], []).append((index, group))
            if (index + 1) % PIECE_GROUPS == 0:
                yield
        # What goes to other processes is on its way before anything runs in this one.
        for served in sorted(by_reward, key=_runs_here):
            if call.closed:  # its time was over in a pause
                return
            self._start_lane(call, served, by_reward[served])
            if len(call.served) > PIECE_GROUPS:
                yield

    def _start_lane(self, call: Call, served: ServedReward, groups: Groups) -> None:
        try:
            if served.lane == "inline":
                InlineRun(call, served, groups, partial(_submit, call, served)).start()
            elif served.combining is not None:
                groups = list(groups)
                CompositeRun(call, served, groups, self._start_lane, self._metrics.count).start()
            elif served.reusable and self.reuse.is_worth(served):
                ReuseRun(call, served, list(groups), _submit, self.reuse).start()
            else:
                _submit(call, served, groups)
        except Exception as error:  # noqa: BLE001 - our fault: other rewards' items go on
            call.failed_here(served, error)


def _traced(trace: CallTrace, steps: Steps[Call]) -> Steps[Call]:
    """The same steps; what ends them before there is a call ends its trace."""
    try:
        return (yield from steps)
    except BaseException as error:
        trace.end(_why(error))
        raise


def _why(error: BaseException) -> str:
    """What a trace says of a call that did not begin."""
    if isinstance(error, CallError):
        return f"{error.reason}: {error.message}"
    return "cancelled" if isinstance(error, GeneratorExit) else type(error).__name__


def _answer_traced(then: Callable[[Call], None], call: Call) -> None:
    then(call)
    if call.trace is not None:
        call.trace.end("cancelled" if then is _ignore_cancelled else "")


def _judge_tokens(call: Call) -> float:
    """What judges will take for a call, as far as can be told now: the mean of its rewards."""
    return sum(count * served.judge_tokens_per_item for served, count in call.items.items())


def _submit(call: Call, served: ServedReward, groups: Groups) -> None:
    go_on(_submitting(call, served, groups), failed=partial(call.failed_here, served))


def _submitting(call: Call, served: ServedReward, groups: Groups) -> Steps[None]:
    """Hands shards on, each made when it is its turn."""
    begun = False
    for shard in shards_of(call, served, groups, served.pool.item_s):
        if begun:  # most calls have one shard
            yield
        if call.closed:
            return
        begun = True
        if call.trace is not None:
            call.trace.submitted(shard)
        served.pool.submit(shard)


def _runs_here(served: ServedReward) -> bool:
    return served.lane == "inline"


def _expire(call: Call) -> None:
    if not call.closed:
        call.expire()


def _ignore(_call: Call) -> None:
    pass


def _ignore_cancelled(_call: Call) -> None:
    pass
