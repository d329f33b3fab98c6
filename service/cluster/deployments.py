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
from rewardplane.host import logs
from rewardplane.host.options import Options
from rewardplane.replica.lending import LendingPool
from rewardplane.replica.supervisor import MAX_STRAGGLERS
from rewardplane.replica.worker import WorkerFailed
from rewardplane.replica.worker_host import local_folder

from .gateway import DRAIN_S, Gateway
from .names import GATEWAY, GATEWAY_LABEL, NO_GATEWAY, POOL, SAID
from .placement import actor_options
from .serve_policy import sizing

START_S = 5.0
"""How long a replica takes to start, before that is known."""

_log = logging.getLogger(__name__)


class PoolReplica(LendingPool):
    """A replica that gateways reach by Serve's handle, and whose workers those of its node use."""

    def __init__(self, config: dict[str, Any]) -> None:
        logs.to_stderr()
        super().__init__(RewardConfig.from_dict(config))

    async def check_health(self) -> None:
        """Serve's probe; gateways of this node may come as soon as the first one has passed."""
        try:
            await super().check_health()
        except WorkerFailed as error:
            raise RuntimeError(f"{SAID}{error}") from None
        folder = local_folder(ray.get_runtime_context().get_session_name())
        if folder is not None:
            try:
                self.lend(folder, self.config.fingerprint)
            except OSError as error:
                _log.warning("no socket in %s, calls come by Serve's handle: %s", folder, error)

    async def __del__(self) -> None:
        """Called by Serve when the replica stops; it knows nothing of what gateways run here."""
        await self.drain(drain_s(self.config))


def drain_s(reward: RewardConfig) -> float:
    """How long what a replica runs may take to end when it stops.

    One of several that stops while work comes is to end what it has begun.
    """
    return DRAIN_S if reward.scaling is None else max(DRAIN_S, reward.settings.timeout_s)


def pool_application(reward: RewardConfig, first: int = 0) -> Any:
    """The application that runs one version of a reward.

    `first`: replicas that are started at once where their number follows the work.
    """
    settings = reward.settings
    # Calls of an async reward stay open beside each other, one per item at the most.
    ahead = AHEAD_ASYNC + settings.concurrency if reward.facts.is_async else AHEAD
    deployment = serve.deployment(
        PoolReplica,
        name=POOL,
        **sizing(reward.fingerprint, settings.replicas, first, START_S),
        ray_actor_options=actor_options(reward),
        # Calls whose last items straggle stay open without holding a place in front of the worker.
        max_ongoing_requests=ahead + MAX_STRAGGLERS,
        health_check_period_s=5,
        graceful_shutdown_timeout_s=drain_s(reward),
        graceful_shutdown_wait_loop_s=0.1,
    )
    return deployment.bind(reward.as_dict())


def gateway_application(options: Options, limits: Limits, nodes: int) -> Any:
    """The application that listens, on so many nodes; `gateways_per_node` on each."""
    deployment = serve.deployment(
        Gateway,
        name=GATEWAY,
        num_replicas=nodes * options.gateways_per_node,
        max_replicas_per_node=options.gateways_per_node,
        ray_actor_options={"num_cpus": 0, "label_selector": {GATEWAY_LABEL: f"!{NO_GATEWAY}"}},
        health_check_period_s=5,
        graceful_shutdown_timeout_s=DRAIN_S + 5,
        graceful_shutdown_wait_loop_s=0.1,
    )
    return deployment.bind(options, limits.model_dump())
