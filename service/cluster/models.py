"""A model as a Serve application of its own: the deployment that holds an engine."""
# pyright: basic

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict
from functools import partial
from typing import Any

import ray
from ray import serve
from rewardplane.config.models import ModelConfig
from rewardplane.config.replicas import range_of
from rewardplane.host import logs
from rewardplane.models.host import EngineGone, ModelHost
from rewardplane.models.loading import load_model
from rewardplane.replica.job_link import JobHost
from rewardplane.replica.memory import collect_seldom, keep_freed_memory
from rewardplane.replica.own_folder import own_folder
from rewardplane.replica.worker_host import local_folder

from .gateway import DRAIN_S
from .names import MODEL
from .placement import actor_options
from .presence import Presence
from .serve_policy import sizing

_log = logging.getLogger(__name__)

TRIES = 3
"""Of the constructor: a load that runs out of memory does so again."""
ALONE_S, ALONE_POLL_S = 900.0, 0.2
"""How long an engine waits for others of its node to start: as long as large weights load."""
START_S = 30.0
"""How long a replica takes to start, before that is known."""
END_S = 300.0
"""How long what a replica runs may take to end when it stops while work comes."""
HEALTH_TIMEOUT_S = 60.0
"""An engine under load answers late; Serve's default would kill it for that."""


class ModelReplica:
    """A replica of a model that gateways reach by a socket on its node, else by Serve's handle."""

    async def __init__(self, config: dict[str, Any]) -> None:
        logs.to_stderr()
        keep_freed_memory()
        model = ModelConfig.from_dict(config)
        self._presence = Presence(model)
        await self._presence.opened()
        self._host = ModelHost(model, partial(load_model, attach=self._presence.attach))
        self._links = JobHost(self._run, lambda: self._host.facts)
        try:
            async with _alone_on_card(model):
                await self._host.start()
        except BaseException:
            await self._presence.leave()
            raise
        await self._presence.follow(self._host)
        # Libraries of models bring a million objects: a walk through them takes a fifth of a
        # second, in which no pass begins.
        collect_seldom()

    async def check_health(self) -> None:
        """Serve's probe; gateways of this node may come as soon as the first one has passed."""
        self._host.check_health()
        folder = local_folder(ray.get_runtime_context().get_session_name())
        if folder is not None:
            try:
                await self._links.start(folder, self._host.config.fingerprint)
            except OSError as error:
                _log.warning("no socket in %s, calls come by Serve's handle: %s", folder, error)

    async def run(
        self, definition: Any, messages: Any, backlog: tuple[int, float]
    ) -> AsyncGenerator[Any, None]:
        """As `ModelHost.run`; the first that is yielded says what the model is."""
        yield asdict(self._host.facts)
        async with aclosing(self._run(definition, messages, backlog)) as answers:
            async for answer in answers:
                yield answer

    async def _run(
        self, definition: Any, messages: Any, backlog: tuple[int, float]
    ) -> AsyncGenerator[Any, None]:
        try:
            async with aclosing(self._host.run(definition, messages, backlog)) as answers:
                async for answer in answers:
                    yield answer
        except EngineGone as error:
            # Until the next probe, what is sent again would come here again, to no avail.
            _log.critical("the replica ends: %s", error)
            os._exit(1)

    async def prepare(self, definition: Any) -> dict[str, Any]:
        """Makes a reward ready; what the model is.

        Raises:
            ValueError: the model cannot answer what it asks.
        """
        self._host.prepare(definition)
        return asdict(self._host.facts)

    async def recent(self) -> list[Any]:
        """As `ModelHost.recent`."""
        return self._host.recent()

    async def shadow(self, jobs: list[Any]) -> list[str]:
        """As `ModelHost.shadow`."""
        return await self._host.shadow(jobs)

    async def __del__(self) -> None:
        """Called by Serve when the replica stops; it knows nothing of what came by sockets."""
        await self._links.drain(end_s(self._host.config))
        await self._host.stop()
        await self._presence.leave()


@asynccontextmanager
async def _alone_on_card(config: ModelConfig) -> AsyncIterator[None]:
    """Engines that start at once on one card each count the other's memory: one after the other."""
    if not config.settings.gpus:
        yield
        return
    lock = _start_lock()
    if lock is None:
        _log.warning("model %s: other engines may start on its card at once", config.name)
        yield
        return
    try:
        until_s = time.monotonic() + ALONE_S
        while not _locked(lock):
            if time.monotonic() >= until_s:
                _log.warning(
                    "model %s: another engine has not started in %g s, this one starts beside it",
                    config.name,
                    ALONE_S,
                )
                break
            await asyncio.sleep(ALONE_POLL_S)
        yield
    finally:
        # Said: a process that the engine has forked may have the lock too, and hold it on.
        fcntl.flock(lock, fcntl.LOCK_UN)
        os.close(lock)


def _start_lock() -> int | None:
    """The file that whoever starts on this node locks; None: it cannot be had."""
    folder = own_folder()
    if folder is None:
        return None
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        return os.open(folder / "start.lock", flags, 0o600)
    except OSError as error:
        _log.warning("no lock: %s", error)
        return None


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def model_application(model: ModelConfig, first: int = 0) -> Any:
    """The application that serves one model; `first` as of `pool_application`."""
    settings = model.settings
    deployment = serve.deployment(
        ModelReplica,
        name=MODEL,
        **sizing(model.fingerprint, settings.replicas, first, START_S),
        ray_actor_options={
            **actor_options(model),
            "runtime_env": {"env_vars": _environment(model)},
        },
        # Bounded here: by the places in front of the engine, and by each gateway's lane.
        max_ongoing_requests=64 + 8 * settings.places,
        max_constructor_retry_count=TRIES,
        health_check_period_s=5,
        health_check_timeout_s=HEALTH_TIMEOUT_S,
        graceful_shutdown_timeout_s=end_s(model),
        graceful_shutdown_wait_loop_s=0.1,
    )
    return deployment.bind(model.as_dict())


def end_s(model: ModelConfig) -> float:
    """How long what a replica runs may take to end when it stops."""
    return DRAIN_S if range_of(model.settings.replicas) is None else END_S


def _environment(model: ModelConfig) -> dict[str, str]:
    """Threads that wait must sleep: on a busy machine they cost more than they compute."""
    threads = str(max(1, int(model.settings.cpus)))
    return {
        "OMP_NUM_THREADS": threads,
        "OMP_WAIT_POLICY": "PASSIVE",
        "GOMP_SPINCOUNT": "0",
        "TOKENIZERS_PARALLELISM": "false",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    }
