"""Our two Serve applications: a pool for each version of a reward, and the gateway."""
# pyright: basic

from __future__ import annotations

import logging
from typing import Any

import ray
from ray import serve
from rewardplane.config.load import RewardConfig
from rewardplane.config.settings import Limits
from rewardplane.gateway.lane import AHEAD, AHEAD_ASYNC
from rewardplane.replica.replica import Pool
from rewardplane.replica.supervisor import MAX_STRAGGLERS
from rewardplane.replica.worker import WorkerSpec
from rewardplane.replica.worker_host import WorkerHost, local_folder
from rewardplane.replica.worker_pool import ForkedWorkers, WorkerPool

from .gateway import DRAIN_S, Gateway, log_to_stderr
from .options import Options

_log = logging.getLogger(__name__)


class PoolReplica(Pool):
    """A replica that gateways reach by Serve's handle, and whose workers those of its node use."""

    def __init__(self, config: dict[str, Any]) -> None:
        log_to_stderr()
        super().__init__(RewardConfig.from_dict(config))
        self._workers: ForkedWorkers | None = None
        self._host: WorkerHost | None = None

    def _make_workers(self, spec: WorkerSpec) -> WorkerPool:
        self._workers = ForkedWorkers(spec)
        return self._workers

    async def check_health(self) -> None:
        """Serve's probe; gateways of this node may come as soon as the first one has passed."""
        await super().check_health()
        if self._host is None and self._workers is not None:
            self._host = WorkerHost(self._workers)
            folder = local_folder(ray.get_runtime_context().get_session_name())
            if folder is not None:
                try:
                    self._host.start(folder, self.config.fingerprint)
                except OSError as error:
                    _log.warning("no socket in %s, calls come by Serve's handle: %s", folder, error)

    async def __del__(self) -> None:
        """Called by Serve when the replica stops; it knows nothing of what gateways run here."""
        if self._host is not None:
            await self._host.drain(DRAIN_S)
        await self.stop()


def pool_application(reward: RewardConfig) -> Any:
    """The application that runs one version of a reward."""
    settings = reward.settings
    # Calls of an async reward stay open beside each other, one per item at the most.
    ahead = AHEAD_ASYNC + settings.concurrency if reward.facts.is_async else AHEAD
    deployment = serve.deployment(
        PoolReplica,
        name="Pool",
        num_replicas=settings.replicas,
        ray_actor_options=actor_options(reward),
        # Calls whose last items straggle stay open without holding a place in front of the worker.
        max_ongoing_requests=ahead + MAX_STRAGGLERS,
        health_check_period_s=5,
        graceful_shutdown_timeout_s=DRAIN_S,
        graceful_shutdown_wait_loop_s=0.1,
    )
    return deployment.bind(reward.as_dict())


def gateway_application(options: Options, limits: Limits) -> Any:
    """The application that listens."""
    shared = options.gateways_per_node > 1
    spread: Any = options.gateways_per_node if options.gateways > 1 else None
    deployment = serve.deployment(
        Gateway,
        name="Gateway",
        num_replicas=options.gateways * options.gateways_per_node,
        max_replicas_per_node=spread,
        ray_actor_options={"num_cpus": 0},
        health_check_period_s=5,
        graceful_shutdown_timeout_s=DRAIN_S + 5,
        graceful_shutdown_wait_loop_s=0.1,
    )
    return deployment.bind(
        options.host,
        options.port,
        options.metrics_port,
        options.http_port,
        limits.model_dump(),
        shared,
        options.door,
        options.access,
        options.strangers_refused,
    )


def actor_options(reward: RewardConfig) -> dict[str, Any]:
    """What Ray gives a replica: one CPU; none for an inline reward: overflow is rare."""
    return {"num_cpus": 0 if reward.lane == "inline" else 1, **reward.settings.ray_actor_options}
