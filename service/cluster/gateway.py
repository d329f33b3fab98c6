"""The gateway as a Serve deployment: our own gRPC server in a replica of an application of its own.

Serve sees none of the requests that come by our port, so draining is ours: `__del__` does it.
"""
# pyright: basic

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
from pathlib import Path
from typing import Any

import grpc
import ray
from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from rewardplane.access.gate import Gate
from rewardplane.config.load import RewardConfig, ServiceConfig
from rewardplane.config.settings import Limits
from rewardplane.gateway.admission import Admission
from rewardplane.gateway.doors.door import DoorKind
from rewardplane.gateway.gauges import gauges
from rewardplane.gateway.lane import Answers, PoolLane, ReplicaLost
from rewardplane.gateway.local_replicas import LocalReplicas
from rewardplane.gateway.metrics import Metrics
from rewardplane.gateway.scorer import Scorer
from rewardplane.gateway.served import ServedReward, ServedRewards
from rewardplane.gateway.server import Server, Servicer
from rewardplane.gateway.validate import Validator
from rewardplane.http.server import HttpFace
from rewardplane.replica.memory import keep_freed_memory
from rewardplane.replica.worker_host import local_folder

from .membership import NAME as MEMBERSHIP
from .options import NAMESPACE, app_name

_log = logging.getLogger(__name__)

DRAIN_S = 20.0
FIRST_CONFIG_S = 60.0


class Gateway:
    """Serves the configuration in force on one port. One per node, or several that share it."""

    async def __init__(
        self,
        host: str,
        port: int,
        metrics_port: int,
        http_port: int,
        limits: dict[str, Any],
        share_port: bool,
        door: DoorKind,
        access: str,
        strangers_refused: bool,
    ) -> None:
        log_to_stderr()
        keep_freed_memory()
        self._id = ray.get_runtime_context().get_actor_id()
        rank = serve.get_replica_context().rank
        self._membership: Any = ray.get_actor(MEMBERSHIP, namespace=NAMESPACE)
        self._metrics = Metrics()
        bounds = Limits(**limits)
        gate: Gate | None = None
        if access:
            gate = self._metrics.gate = Gate(Path(access), strangers_refused=strangers_refused)
            await gate.start()
        self._admission = Admission(bounds)
        self._rewards = ServedRewards(self._metrics.figures, _lane)
        scorer = Scorer(self._rewards, self._admission, self._metrics)
        validator = Validator(scorer, self._metrics, bounds)
        servicer = Servicer(scorer, validator, self._rewards, bounds, self._metrics)
        self._server = Server(servicer, self._admission, bounds, door, _end_process, gate)
        self._metrics.ready = lambda: self._server.serving
        self._metrics.gauges |= gauges(self._admission, self._server)
        async with asyncio.timeout(FIRST_CONFIG_S):
            while not self._rewards.generation:
                await self._follow_once()
        self._address = f"{host}:{await self._server.start(host, port, share_port=share_port)}"
        self._server.tell_health(self._rewards.names())
        self._stop_metrics = (
            self._metrics.serve(metrics_port + rank.local_rank, host) if metrics_port else None
        )
        self._http = HttpFace(scorer, validator, self._rewards, self._metrics, bounds, gate)
        if http_port:
            await self._http.start(host, http_port + rank.local_rank)
        self._following = asyncio.ensure_future(self._follow())
        self._guarding = asyncio.ensure_future(gate.follow()) if gate is not None else None
        # Ray's modules and ours are there to stay: the collector need not walk through them again.
        gc.collect()
        gc.freeze()

    _address = ""

    async def check_health(self) -> None:
        """Serve's probe. On the loop: from a thread it would walk through every call's task."""
        if self._following.done():
            raise RuntimeError(f"the gateway follows the configuration no more: {self._following}")
        if self._guarding is not None and self._guarding.done():
            raise RuntimeError(f"the gateway follows the access file no more: {self._guarding}")

    async def pid(self) -> int:
        """The process that serves."""
        return os.getpid()

    async def _follow(self) -> None:
        while True:
            try:
                if await self._follow_once():
                    self._server.tell_health(self._rewards.names())
            except RayError as error:
                _log.warning("the configuration cannot be asked for: %s", error)
                await asyncio.sleep(1.0)

    async def _follow_once(self) -> bool:
        news = await self._membership.ask.remote(
            self._id, self._rewards.generation, sorted(self._rewards.in_use()), self._address
        )
        if news is None:
            return False
        generation, data = news
        self._rewards.switch(ServiceConfig.from_dict(data), generation)
        return True

    async def __del__(self) -> None:
        await asyncio.gather(self._server.stop(DRAIN_S), self._http.stop(DRAIN_S))
        self._following.cancel()
        if self._guarding is not None:
            self._guarding.cancel()
        await self._membership.leave.remote(self._id)
        if self._stop_metrics is not None:
            await asyncio.to_thread(self._stop_metrics)


def _end_process(why: str) -> None:
    """Ends a gateway that no client reaches any more; Serve starts another in its place."""
    _log.critical("the gateway ends: %s", why)
    os._exit(1)


def log_to_stderr() -> None:
    """Our logs go to the actor's own stderr: Serve puts its logger in the place of `sys.stderr`."""
    handler = logging.StreamHandler(sys.__stderr__)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    ours = logging.getLogger("rewardplane")
    ours.addHandler(handler)
    ours.propagate = False


def _lane(served: ServedReward) -> PoolLane:
    replicas = _replicas_of(served.config)
    return PoolLane(served, replicas.send, replicas.start)


def _replicas_of(config: RewardConfig) -> LocalReplicas:
    """What carries jobs to the replicas of a reward: on this node by links, else by handle.

    The handle is made on the gateway's own loop: its router runs there.
    """
    handle: Any = serve.get_deployment_handle("Pool", app_name(config)).options(
        method_name="run", stream=True
    )

    async def send(messages: Any, backlog: tuple[int, float]) -> Answers:
        packed = [([b"".join(data)], *others) for data, *others in messages]
        stream = handle.remote(packed, backlog)
        try:
            async for answer in stream:
                yield answer
        except (RayError, RayServeException, grpc.RpcError) as error:
            why = str(error).strip().splitlines()
            raise ReplicaLost(f"{type(error).__name__}: {why[-1] if why else ''}") from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise ReplicaLost("Serve cancelled the call") from None
        finally:
            stream.cancel()

    folder = local_folder(ray.get_runtime_context().get_session_name())
    return LocalReplicas(folder, config, send)
