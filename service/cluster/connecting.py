"""Ray itself: the flags of its processes, a cluster of our own, or one to join.

Ray is imported by the function that needs it: Serve reads its flags from the environment when it is
imported, in every process of the cluster, so they are set before.
"""
# pyright: basic

from __future__ import annotations

import logging
import math
import os
import secrets
import sys
from pathlib import Path
from typing import Any

from rewardplane.config.load import ServiceConfig
from rewardplane.config.replicas import most_of
from rewardplane.config.settings import Limits
from rewardplane.gateway import tracing
from rewardplane.host import logs
from rewardplane.host.options import Options
from rewardplane.host.progress import DeployFailed, Progress

from . import worker_logs
from .applications import apps_of
from .names import NAMESPACE
from .placement import wanted

_log = logging.getLogger(__name__)

FLAGS = {
    # One loop for the router, the replica and our server: no hop between threads per call.
    "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
    "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
    "RAY_SERVE_USE_GRPC_BY_DEFAULT": "1",
    "RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": "1000",
    "RAY_SERVE_LOG_TO_STDERR": "0",
    # The controller looks at its deployments ten times a second otherwise: 3 % of a core, idle.
    "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray runs its workers at niceness 15: right for batch work, wrong for what a trainer waits for.
    "RAY_worker_niceness": "0",
}


def guard_local_ray() -> None:
    """Has a Ray that this process starts ask for a token of its own; before ray is imported.

    Its ports are open to the whole network, and whoever reaches them runs code as this user.
    RAY_AUTH_MODE, where it is set, counts. In a process that has imported ray, its choice is made.
    """
    if "RAY_AUTH_MODE" in os.environ:
        return
    if "ray" in sys.modules:
        _log.warning(
            "ray was imported before it was told to ask for a token: whoever reaches its ports "
            "runs code as this user; set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN"
        )
    else:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_urlsafe(32)


def connect(options: Options, config: ServiceConfig, progress: Progress) -> None:
    """Starts a Ray of its own, or joins the one of the options.

    Raises:
        DeployFailed: it did not start, or does not answer or let us in.
    """
    set_flags(config.limits)
    is_local = options.address == "local"
    if is_local:
        guard_local_ray()
    progress.say("starting Ray" if is_local else f"joining the Ray cluster {options.address}")
    given: dict[str, Any] = {
        "namespace": NAMESPACE,
        "logging_level": "ERROR",
        "log_to_driver": True,
    }
    if is_local:
        parts = apps_of(config).values()
        need = sum(wanted(part).get("CPU", 0) * most_of(part.settings.replicas) for part in parts)
        # Twice: a reload deploys new versions beside the old. These are Ray's books, not cores.
        given |= {
            "address": "local",  # whatever RAY_ADDRESS says
            "num_cpus": max(os.cpu_count() or 1, math.ceil(2 * need) + 1),
            "include_dashboard": False,
            "object_store_memory": 128 * 2**20,
            "_system_config": {"prestart_worker_first_driver": False},
        }
    else:
        _send_token()
        given |= {
            "address": options.address,
            "runtime_env": {"env_vars": _flags(config.limits)},
        }
    import ray

    try:
        ray.init(**given)
    except Exception as error:
        why = " ".join(str(error).split())
        if is_local:
            raise DeployFailed(
                f"Ray did not start: {why}. On a machine that is busy, try again; to serve "
                "without Ray: `rewardplane serve --no-ray`"
            ) from error
        raise DeployFailed(
            f"no Ray cluster could be joined at {options.address!r}: {why}. Is there one "
            "(`ray status`)? Where it was started with `ray start`, tokens are on: give this "
            "process the same RAY_AUTH_MODE=token and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH"
        ) from error
    worker_logs.take()


def _send_token() -> None:
    """A cluster of `ray start` wants its token; Ray looks at the file of it if it is told to."""
    named = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    if named or (Path.home() / ".ray" / "auth_token").exists():
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def set_flags(limits: Limits) -> None:
    """Sets Serve's flags for this process and what it starts; before ray is imported."""
    for name, value in _flags(limits).items():
        os.environ[name] = value


def _flags(limits: Limits) -> dict[str, str]:
    """Serve's flags; a shard of one item may exceed the size that shards aim at."""
    largest = limits.max_item_bytes + 4 * 2**20
    chosen = {**logs.chosen(), **tracing.environment()}
    return {**FLAGS, **chosen, "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(largest)}
