"""The gateway's gRPC server: open → serve → stop accepting → finish → close. No Ray here.

A method parses, dispatches, renders. Handlers take and give raw bytes: malformed protobuf is then
ours to answer (gRPC would say UNKNOWN), and nothing is parsed for a call that is refused. Who
speaks gRPC with the clients is a door's part (`doors/`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, TypeVar, cast

import grpc
from google.protobuf.message import DecodeError, Message
from rewardplane.access.caller import Caller
from rewardplane.access.certificates import Identity
from rewardplane.access.gate import Gate
from rewardplane.config.settings import Limits
from rewardplane.replica.tasks import cancel_begun
from rewardplane.v1 import frame_pb2 as frames
from rewardplane.v1 import reward_service_pb2 as pb
from rewardplane.wire.errors import CallError, InvalidRequest, Unauthenticated
from rewardplane.wire.errors import Internal as InternalError
from rewardplane.wire.status import Trailers, code_of, encode

from .admission import Admission
from .breath import Steps, go_on, in_breaths
from .call import Call
from .doors.connections import Connections
from .doors.door import Door, DoorKind, Identities, Lost, door_class
from .doors.health import CHECK, WATCH, Health
from .doors.rpc import Rpc
from .loop_lag import LoopLag
from .metrics import MIXED, Metrics
from .render import render_health, render_info, render_validation, rendering
from .scorer import Scorer
from .served import ServedRewards
from .stream_messages import stream_messages
from .validate import Validator

_log = logging.getLogger(__name__)

SERVICE = pb.DESCRIPTOR.services_by_name["RewardService"].full_name
_PROVING = "authorization", "x-forwarded-client-cert"
SEND_S = 60.0
"""The longest that the reader of a stream whose client set no deadline may leave it full."""


class Servicer:
    """`RewardService` over a scorer, a validator and the served rewards."""

    def __init__(
        self,
        scorer: Scorer,
        validator: Validator,
        rewards: ServedRewards,
        limits: Limits,
        metrics: Metrics,
    ) -> None:
        self._scorer = scorer
        self._validator = validator
        self._rewards = rewards
        self._limits = limits
        self._metrics = metrics
        self._running: set[asyncio.Task[None]] = set()

    def methods(self) -> dict[str, Callable[[Rpc], None]]:
        """What answers a call of each method, by full path."""
        return {
            f"/{SERVICE}/Score": self._score,
            f"/{SERVICE}/StreamScores": self._in_task(self._stream),
            f"/{SERVICE}/ValidateReward": self._in_task(self._validate),
            f"/{SERVICE}/ListRewards": self._list,
            f"/{SERVICE}/GetReward": self._get,
        }

    def refuse(self, rpc: Rpc, error: Exception) -> None:
        """Ends a call by an error, whatever it is, and counts it."""
        rpc.fail(*told(error))
        if isinstance(error, CallError):
            why = error.metadata.get("why") or error.metadata.get("quota") or error.reason
            self._metrics.refused(why, rpc.caller.name if rpc.caller is not None else "")

    def _score(self, rpc: Rpc) -> None:
        scoring = _Scoring(rpc, self._metrics)
        try:
            begun = self._scorer.begin(_taken(rpc), *_of(rpc), scoring.done, caller=rpc.caller)
        except Exception as error:
            scoring.failed(error)
            raise
        if isinstance(begun, Call):
            scoring.begun(self._scorer, begun)
        else:
            beginning = self._beginning(rpc, scoring, begun)
            rpc.on_cancel = beginning.close
            go_on(beginning)

    def _beginning(self, rpc: Rpc, scoring: _Scoring, steps: Steps[Call]) -> Steps[None]:
        """The rest of the beginning of a call of many groups; closed when its caller leaves."""
        try:
            call = yield from steps
        except (Exception, GeneratorExit) as error:
            scoring.failed(error)
            if isinstance(error, GeneratorExit):
                raise
            self.refuse(rpc, error)
        else:
            scoring.begun(self._scorer, call)

    def _in_task(self, method: Callable[[Rpc], Awaitable[None]]) -> Callable[[Rpc], None]:
        """A method that waits: cancelled when its caller leaves."""

        async def run(rpc: Rpc) -> None:
            try:
                await method(rpc)
            except Exception as error:  # noqa: BLE001 - the outermost layer: our faults end here
                self.refuse(rpc, error)

        def begin(rpc: Rpc) -> None:
            task = asyncio.ensure_future(run(rpc))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            rpc.on_cancel = partial(cancel_begun, task)

        return begin

    async def _stream(self, rpc: Rpc) -> None:
        scoring = _Scoring(rpc, self._metrics)
        reward, job, code = "", "", "INTERNAL"
        by_s = rpc.deadline_s
        patience_s = SEND_S if by_s is None else max(SEND_S, self._limits.default_deadline_s)
        try:
            request = parsed(frames.StreamRequestFrame, _taken(rpc)).request
            stream = self._scorer.stream(request, *_of(rpc), rpc.caller)
            del request
            patient = False
            async with aclosing(cast("Any", stream)) as told_items:
                async for call, items in told_items:
                    reward, job = _reward_of(call), call.options.job
                    # There are many streams: all of them together take one breath a turn.
                    made = await in_breaths(stream_messages(call, items), patient=patient)
                    patient = True
                    for message in made:
                        # What it holds is no longer counted once every item has its outcome.
                        read_by_s = time.monotonic() + patience_s
                        if by_s is not None:
                            read_by_s = min(read_by_s, by_s)
                        if not await rpc.send(message, read_by_s):
                            code = "CANCELLED"
                            return
            rpc.finish()
            code = "OK"
        except asyncio.CancelledError:
            code = "CANCELLED"
            raise
        except TimeoutError:
            code = "DEADLINE_EXCEEDED"
            rpc.fail(grpc.StatusCode.DEADLINE_EXCEEDED, "the stream was not read in time")
        except CallError as error:
            code = code_of(error).name
            raise
        finally:
            scoring.ended(reward, job, code)

    async def _validate(self, rpc: Rpc) -> None:
        request = parsed(pb.ValidateRewardRequest, _taken(rpc))
        call, remarks = await self._validator.validate(request, *_of(rpc), rpc.caller)
        rpc.answer(render_validation(call, remarks).SerializeToString())

    def _list(self, rpc: Rpc) -> None:
        parsed(pb.ListRewardsRequest, rpc.message)
        names = self._rewards.names()
        if (caller := rpc.caller) is not None:
            names = [name for name in names if caller.may_name(name)]
        found = [self._rewards.find(name, "") for name in names]
        infos = [render_info(served, self._limits) for served in found]
        rpc.answer(pb.ListRewardsResponse(rewards=infos).SerializeToString())

    def _get(self, rpc: Rpc) -> None:
        name = parsed(pb.GetRewardRequest, rpc.message).name
        if rpc.caller is not None:
            rpc.caller.check_reward(name)
        served = self._rewards.find(name, "")
        info = render_info(served, self._limits)
        rpc.answer(pb.GetRewardResponse(reward=info).SerializeToString())


class _Scoring:
    """One call of `Score` from its arrival to its answer: what a unary call allocates here."""

    __slots__ = ("_began_s", "_metrics", "_over", "_rpc")

    def __init__(self, rpc: Rpc, metrics: Metrics) -> None:
        self._rpc = rpc
        self._metrics = metrics
        self._began_s = time.perf_counter()
        self._over = False

    def begun(self, scorer: Scorer, call: Call) -> None:
        """The call is on its way, or over already."""
        if not call.closed:
            self._rpc.on_cancel = partial(self._given_up, scorer, call)

    def done(self, call: Call) -> None:
        """Every item has its outcome. A lane calls this: nothing may be raised into it."""
        go_on(self._answering(call))

    def _answering(self, call: Call) -> Steps[None]:
        code = "INTERNAL"
        if call.trace is not None:
            call.trace.answers_later()
        try:
            answer = yield from rendering(call)
            if call.options.health:
                metrics = self._metrics
                answer += render_health(call, metrics.health, call.job)
            self._rpc.answer(answer)
            code = "OK"
        except Exception as error:  # noqa: BLE001 - the outermost layer: our faults end here
            self._rpc.fail(*told(error))
        self.ended(_reward_of(call), call.options.job, code)
        if call.trace is not None:
            call.trace.answered("" if code == "OK" else "the answer could not be made")

    def _given_up(self, scorer: Scorer, call: Call) -> None:
        """Nobody waits for the answer any more."""
        scorer.cancel(call)
        self.ended(_reward_of(call), call.options.job, "CANCELLED")

    def failed(self, error: BaseException) -> None:
        """The call was refused, or was given up before it began."""
        if isinstance(error, CallError):
            self.ended("", "", code_of(error).name)
        else:
            cancelled = isinstance(error, GeneratorExit)
            self.ended("", "", "CANCELLED" if cancelled else "INTERNAL")

    def ended(self, reward: str, job: str, code: str) -> None:
        """Counts the call, once."""
        if not self._over:
            self._over = True
            self._metrics.call_ended(reward, job, code, time.perf_counter() - self._began_s)


class Server:
    """The servicer behind a door, with health."""

    def __init__(
        self,
        servicer: Servicer,
        admission: Admission,
        limits: Limits,
        door: DoorKind = DoorKind.NATIVE,
        on_lost: Lost | None = None,
        gate: Gate | None = None,
    ) -> None:
        """`on_lost` is called when the door has died; without it, the log has it.

        `gate` says who calls, and has the certificate; without it anybody may do anything, in the
        clear. Health and reflection are open to all who can connect.

        Raises:
            DoorUnavailable: this host does not have what the door needs.
        """
        self._admission = admission
        self._servicer = servicer
        self._gate = gate
        self._health = Health()
        self._open_to_all = frozenset((CHECK, WATCH))
        self._methods = {
            **servicer.methods(),
            CHECK: self._health.check,
            WATCH: self._health.watch,
        }
        streams = {method: method.endswith("/StreamScores") for method in self._methods}
        streams[WATCH] = True
        self.door: Door = door_class(door)(
            streams, self._handle, limits, on_lost or _log.error, identities_of(gate)
        )
        self.connections = Connections(0, limits.max_in_flight_bytes, limits.default_deadline_s)
        self.lag = LoopLag()
        self._watching: list[asyncio.Future[None]] = []
        self._open = False

    async def start(self, host: str, port: int, *, share_port: bool = False) -> int:
        """Listens; returns the port (`port` 0: any free one).

        Raises:
            OSError: the port is taken.
        """
        taken = await self.door.open(host, port, share_port=share_port)
        self._open = True
        self.connections.port = taken
        watches = self.connections.watch(self.door), self.lag.watch()
        self._watching = [asyncio.ensure_future(watch) for watch in watches]
        _log.info("the %s door serves on %s, port %d", self.door.kind, host, taken)
        return taken

    @property
    def serving(self) -> bool:
        """Whether calls are taken."""
        return self._open and not self._admission.closed

    def tell_health(self, rewards: list[str]) -> None:
        """The service and these rewards serve; those told before and not now are unknown."""
        self._health.tell(("", SERVICE, *rewards))

    async def stop(self, grace_s: float) -> None:
        """Stops accepting, lets what was admitted end within `grace_s`, closes."""
        self._admission.closed = True
        self._health.leave()
        if self._open:
            self._open = False
            for watch in self._watching:
                watch.cancel()
            await self.door.drain(grace_s)
            await self._health.close()
            await self.door.close()

    def _handle(self, rpcs: Sequence[Rpc]) -> None:
        """Takes a batch of calls from the door."""
        for rpc in rpcs:
            try:
                if self._gate is not None and rpc.method not in self._open_to_all:
                    rpc.caller = _caller(self._gate, rpc)
                self._methods[rpc.method](rpc)
            except Exception as error:  # noqa: BLE001 - the outermost layer: our faults end here
                self._servicer.refuse(rpc, error)


def identities_of(gate: Gate | None) -> Identities | None:
    """The certificates of a gate; None: it has none, and is to have none."""
    if gate is None or gate.identity is None:
        return None

    def now() -> Identity:
        identity = gate.identity
        assert identity is not None  # noqa: S101 - a gate never gives TLS up
        return identity

    return now


def _caller(gate: Gate, rpc: Rpc) -> Caller:
    """Who calls. Raises CallError."""
    found: dict[str, str] = {}
    for key, value in rpc.metadata:
        if key in _PROVING and isinstance(value, str):
            if key in found:  # a proxy may have looked at the other one
                raise Unauthenticated(f"more than one {key}", {"why": "MALFORMED_TOKEN"})
            found[key] = value
    token, forwarded = map(found.get, _PROVING)
    return gate.caller(token, rpc.certificate, forwarded)


def told(error: Exception) -> tuple[grpc.StatusCode, str, Trailers]:
    """The status of a call that ended by an error, whatever it is."""
    if isinstance(error, CallError):
        return encode(error)
    _log.error("a call failed by our own fault", exc_info=error)
    return encode(InternalError("internal error; the log has the rest"))


def _taken(rpc: Rpc) -> bytes:
    """The message of a call that may wait long: it does not keep it."""
    message, rpc.message = rpc.message, b""
    return message


def _of(rpc: Rpc) -> tuple[float | None, str]:
    """The time until the client's deadline, and its W3C traceparent."""
    traceparent = ""
    for key, value in rpc.metadata:
        if key == "traceparent" and isinstance(value, str):
            traceparent = value[:128]
    return rpc.remaining_s(), traceparent


def _reward_of(call: Call) -> str:
    return next(iter(call.items)).name if len(call.items) == 1 else MIXED


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
