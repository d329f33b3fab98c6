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
from typing import TYPE_CHECKING, Any, cast

import grpc
from rewardplane.v1 import reward_service_pb2 as pb
from rewardplane.wire.errors import CallError
from rewardplane.wire.errors import Internal as InternalError
from rewardplane.wire.status import Trailers, encode

from .doors.door import Door, DoorKind, Lost, door_class
from .doors.health import CHECK, WATCH, Health
from .doors.rpc import Rpc
from .metrics import MIXED, Metrics
from .render import render_call, render_info, render_items, render_validation
from .scorer import parsed

if TYPE_CHECKING:
    from rewardplane.config.settings import Limits

    from .admission import Admission
    from .scorer import Scorer
    from .served import Table
    from .validate import Validator

_log = logging.getLogger(__name__)

SERVICE = pb.DESCRIPTOR.services_by_name["RewardService"].full_name
SEND_S = 60.0
"""The longest that the reader of a stream whose client set no deadline may leave it full."""


class Servicer:
    """`RewardService` over a scorer, a validator and a table."""

    def __init__(
        self, scorer: Scorer, validator: Validator, table: Table, limits: Limits, metrics: Metrics
    ) -> None:
        self._scorer = scorer
        self._validator = validator
        self._table = table
        self._limits = limits
        self._metrics = metrics
        self._running: set[asyncio.Task[None]] = set()

    def methods(self) -> dict[str, Callable[[Rpc], None]]:
        """What answers a call of each method, by full path."""
        return {
            f"/{SERVICE}/Score": self._in_task(self._score),
            f"/{SERVICE}/StreamScores": self._in_task(self._stream),
            f"/{SERVICE}/ValidateReward": self._in_task(self._validate),
            f"/{SERVICE}/ListRewards": self._list,
            f"/{SERVICE}/GetReward": self._get,
        }

    def _in_task(self, method: Callable[[Rpc], Awaitable[None]]) -> Callable[[Rpc], None]:
        """A method that takes time: cancelled when its caller leaves."""

        async def run(rpc: Rpc) -> None:
            try:
                await method(rpc)
            except Exception as error:  # noqa: BLE001 - the outermost layer: our faults end here
                rpc.fail(*told(error))

        def begin(rpc: Rpc) -> None:
            task = asyncio.ensure_future(run(rpc))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            rpc.on_cancel = task.cancel

        return begin

    async def _score(self, rpc: Rpc) -> None:
        begin_s, reward, job, code = time.perf_counter(), "", "", "INTERNAL"
        try:
            size = len(rpc.message)
            call = await self._scorer.score(self._scorer.parse(_taken(rpc)), size, *_of(rpc))
            reward, job, code = _reward_of(call), call.ask.job, "OK"
            rpc.answer(render_call(call).SerializeToString())
        except CallError as error:
            code = encode(error)[0].name
            raise
        except asyncio.CancelledError:
            code = "CANCELLED"
            raise
        finally:
            self._metrics.call_ended(reward, job, code, time.perf_counter() - begin_s)

    async def _stream(self, rpc: Rpc) -> None:
        begin_s, reward, job, code = time.perf_counter(), "", "", "INTERNAL"
        by_s = rpc.deadline_s
        try:
            size = len(rpc.message)
            request = self._scorer.parse_stream(_taken(rpc))
            stream = self._scorer.stream(request, size, *_of(rpc))
            async with aclosing(cast("Any", stream)) as told_items:
                async for call, items in told_items:
                    reward, job = _reward_of(call), call.ask.job
                    for message in render_items(call, items):
                        until_s = time.monotonic() + SEND_S if by_s is None else by_s
                        if not await rpc.send(message.SerializeToString(), until_s):
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
            code = encode(error)[0].name
            raise
        finally:
            self._metrics.call_ended(reward, job, code, time.perf_counter() - begin_s)

    async def _validate(self, rpc: Rpc) -> None:
        request = parsed(pb.ValidateRewardRequest, rpc.message)
        call, remarks = await self._validator.validate(request, *_of(rpc))
        rpc.answer(render_validation(call, remarks).SerializeToString())

    def _list(self, rpc: Rpc) -> None:
        parsed(pb.ListRewardsRequest, rpc.message)
        bound = [self._table.bind(name, "") for name in self._table.names()]
        infos = [render_info(b.config, self._limits) for b in bound]
        rpc.answer(pb.ListRewardsResponse(rewards=infos).SerializeToString())

    def _get(self, rpc: Rpc) -> None:
        bound = self._table.bind(parsed(pb.GetRewardRequest, rpc.message).name, "")
        info = render_info(bound.config, self._limits)
        rpc.answer(pb.GetRewardResponse(reward=info).SerializeToString())


class Server:
    """The servicer behind a door, with health."""

    def __init__(
        self,
        servicer: Servicer,
        admission: Admission,
        limits: Limits,
        door: DoorKind = DoorKind.NATIVE,
        on_lost: Lost | None = None,
    ) -> None:
        """`on_lost` is called when the door has died; without it, the log has it.

        Raises:
            DoorUnavailable: this host does not have what the door needs.
        """
        self._admission = admission
        self._health = Health()
        self._methods = {
            **servicer.methods(),
            CHECK: self._health.check,
            WATCH: self._health.watch,
        }
        streams = {method: method.endswith("/StreamScores") for method in self._methods}
        streams[WATCH] = True
        self.door: Door = door_class(door)(streams, self._handle, limits, on_lost or _log.error)
        self._open = False

    async def start(self, host: str, port: int, *, share_port: bool = False) -> int:
        """Listens; returns the port (`port` 0: any free one).

        Raises:
            OSError: the port is taken.
        """
        taken = await self.door.open(host, port, share_port=share_port)
        self._open = True
        _log.warning("the %s door serves on %s, port %d", self.door.kind, host, taken)
        return taken

    def tell_health(self, rewards: list[str]) -> None:
        """The service and these rewards serve; those told before and not now are unknown."""
        self._health.tell(("", SERVICE, *rewards))

    async def stop(self, grace_s: float) -> None:
        """Stops accepting, lets what was admitted end within `grace_s`, closes."""
        self._admission.closed = True
        self._health.leave()
        if self._open:
            self._open = False
            await self.door.drain(grace_s)
            await self._health.close()
            await self.door.close()

    def _handle(self, rpcs: Sequence[Rpc]) -> None:
        """Takes a batch of calls from the door."""
        for rpc in rpcs:
            try:
                self._methods[rpc.method](rpc)
            except Exception as error:  # noqa: BLE001 - the outermost layer: our faults end here
                rpc.fail(*told(error))


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


def _reward_of(call: Any) -> str:
    bound = call.bound[0]
    return bound.name if all(other is bound for other in call.bound) else MIXED
