"""The gateway as a Serve deployment: our own gRPC server in a replica of an application of its own.

Serve sees none of the requests that come by our port, so draining is ours: `__del__` does it.
"""
# pyright: basic

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import grpc
import ray
from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle
from rewardplane.config.load import ServiceConfig
from rewardplane.config.settings import Limits
from rewardplane.gateway.breath import in_breaths
from rewardplane.gateway.doors.door import address_of
from rewardplane.gateway.lane import Answers, PoolLane, ReplicaLost, Send
from rewardplane.gateway.load import Load, merged
from rewardplane.gateway.local_models import LocalModels
from rewardplane.gateway.local_replicas import LocalReplicas
from rewardplane.gateway.served import ServedReward
from rewardplane.host import logs
from rewardplane.host.front import Front
from rewardplane.host.options import Options
from rewardplane.models.host import definition_of
from rewardplane.replica.memory import collect_seldom, keep_freed_memory
from rewardplane.replica.worker_host import local_folder
from rewardplane.rewards.models.model_facts import ModelFacts

from .membership import NAME as MEMBERSHIP
from .names import MODEL, NAMESPACE, POOL, Deployed, app_name, told

_log = logging.getLogger(__name__)

DRAIN_S = 20.0
FIRST_CONFIG_S = 60.0
REPORT_S, IDLE_REPORT_S = 0.25, 1.0
"""How often a gateway tells what it has to do, and how often where that is nothing."""
ANSWER_S = 5.0


class Gateway:
    """Serves the configuration in force on one port. One per node, or several that share it."""

    async def __init__(self, options: Options, limits: dict[str, Any]) -> None:
        logs.to_stderr()
        keep_freed_memory()
        self._id = ray.get_runtime_context().get_actor_id()
        self._membership: Any = ray.get_actor(MEMBERSHIP, namespace=NAMESPACE)
        self._told = told(options, Limits(**limits))
        self._models: dict[str, LocalModels] = {}
        self._front = Front(options, Limits(**limits), self._lane, _end_process)
        async with asyncio.timeout(FIRST_CONFIG_S):
            while not self._front.rewards.generation:
                await self._follow_once()
        port = await self._front.start(serve.get_replica_context().rank.local_rank)
        # Of a gateway that listens on all addresses, clients want the one of its node.
        anywhere = options.host in ("0.0.0.0", "::", "")  # noqa: S104 - compared, not listened on
        host = ray.util.get_node_ip_address() if anywhere else options.host
        self._address = address_of(host, port)
        self._following = asyncio.ensure_future(self._follow())
        self._reporting = asyncio.ensure_future(self._report())
        collect_seldom()

    _address = ""

    async def check_health(self) -> None:
        """Serve's probe. On the loop: from a thread it would walk through every call's task."""
        if self._following.done():
            raise RuntimeError(f"the gateway follows the configuration no more: {self._following}")
        if self._reporting.done():
            raise RuntimeError(f"the gateway reports no more what it has to do: {self._reporting}")
        self._front.check()

    async def pid(self) -> int:
        """The process that serves."""
        return os.getpid()

    async def _follow(self) -> None:
        while True:
            try:
                await self._follow_once()
            except RayError as error:
                _log.warning("the configuration cannot be asked for: %s", error)
                await asyncio.sleep(1.0)
            except Exception:  # noqa: BLE001 - what is served goes on being served
                _log.exception("the configuration in force cannot be served; it is tried again")
                await asyncio.sleep(1.0)

    async def _report(self) -> None:
        """Tells what there is to do where the number of replicas follows that."""
        told_s = took_s = 0.0
        while True:
            # To look at very many calls takes time that is theirs.
            await asyncio.sleep(max(REPORT_S, min(IDLE_REPORT_S, 10 * took_s)))
            is_due = time.monotonic() - told_s >= IDLE_REPORT_S
            try:
                scaled = self._front.rewards.scaled()
                if not scaled or not (is_due or any(one.pool.backlog_items for one in scaled)):
                    continue
                told_s = time.monotonic()
                loads = await loads_of(scaled)
                took_s = time.monotonic() - told_s
                async with asyncio.timeout(ANSWER_S):
                    counts = await self._membership.report.remote(self._id, loads)
                for served in scaled:
                    if (count := counts.get(_part_of(served).fingerprint)) is not None:
                        served.note_replicas(*count)
            except (RayError, TimeoutError) as error:
                _log.warning("what there is to do cannot be told: %s", error)
            except Exception:  # noqa: BLE001 - a fault in what is told ends no gateway
                _log.exception("what there is to do cannot be told")
                await asyncio.sleep(IDLE_REPORT_S)

    async def _follow_once(self) -> None:
        rewards = self._front.rewards
        news = await self._membership.ask.remote(
            self._id, rewards.generation, sorted(rewards.in_use()), self._address, self._told
        )
        for gone in self._models.keys() - rewards.in_use():
            await self._models.pop(gone).close()
        if news is not None:
            generation, data = news
            self._front.switch(ServiceConfig.from_dict(data), generation)

    def _lane(self, served: ServedReward) -> PoolLane:
        """The queue in front of a reward's replicas, or of its model's."""
        model = served.config.model
        if model is None:
            replicas = _replicas_of(served)
            return PoolLane(served, replicas.send, replicas.start)
        local = self._models.get(model.fingerprint)
        if local is None:
            local = self._models[model.fingerprint] = LocalModels(_folder(), model.fingerprint)
        definition, by_handle = definition_of(served.config), _model_of(served)
        return PoolLane(
            served, local.sender(definition, by_handle, lambda: served.up, served.note_model)
        )

    async def __del__(self) -> None:
        await self._front.stop(DRAIN_S)
        self._following.cancel()
        self._reporting.cancel()
        await self._membership.leave.remote(self._id)


def _part_of(served: ServedReward) -> Deployed:
    """What has the replicas of a reward."""
    return served.config.model or served.config


async def loads_of(scaled: Sequence[ServedReward]) -> dict[str, Load]:
    """What is to be done, by the fingerprint of the reward or the model that does it."""
    found: dict[str, list[Load]] = {}
    for served in scaled:
        load = await in_breaths(served.pool.looking())
        served.figures.backlog_s = load.work_s
        found.setdefault(_part_of(served).fingerprint, []).append(load)
    return {part: merged(loads) for part, loads in found.items()}


def _end_process(why: str) -> None:
    """Ends a gateway that no client reaches any more; Serve starts another in its place."""
    _log.critical("the gateway ends: %s", why)
    os._exit(1)


def _folder() -> Path | None:
    """Where the replicas of this node listen."""
    return local_folder(ray.get_runtime_context().get_session_name())


def _replicas_of(served: ServedReward) -> LocalReplicas:
    """What carries jobs to the replicas of a reward: on this node by links, else by handle.

    The handle is made on the gateway's own loop: its router runs there.
    """
    config = served.config
    handle: Any = serve.get_deployment_handle(POOL, app_name(config)).options(
        method_name="run", stream=True
    )

    async def send(messages: Any, backlog: tuple[int, float]) -> Answers:
        async with aclosing(_stream(handle.remote(_packed(messages), backlog))) as answers:
            async for answer in answers:
                yield answer

    return LocalReplicas(_folder(), config, send, lambda: served.up)


def _model_of(served: ServedReward) -> Send:
    """What carries jobs, and their reward, to the replicas of its model, by handle."""
    model = served.config.model
    assert model is not None, "a reward of the lane `model` has one"  # noqa: S101 - a fault of ours
    # The application may be on its way: where new weights come in the place of the old.
    handle: Any = DeploymentHandle(MODEL, app_name(model)).options(method_name="run", stream=True)
    definition = definition_of(served.config)

    async def send(messages: Any, backlog: tuple[int, float]) -> Answers:
        stream = handle.remote(definition, _packed(messages), backlog)
        async with aclosing(_stream(stream)) as answers:
            served.note_model(ModelFacts(**await anext(answers)))
            async for answer in answers:
                yield answer

    return send


def _packed(messages: Any) -> Any:
    return [([b"".join(data)], *others) for data, *others in messages]


async def _stream(stream: Any) -> AsyncGenerator[Any, None]:
    """What a replica yields.

    Raises:
        ReplicaLost: it is gone.
    """
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
