"""The driver: brings a configuration onto a Ray cluster, changes it, takes it down.

Ray is imported by the functions that need it: Serve reads its flags from the environment when it is
imported, in every process of the cluster, so they are set before.
"""
# pyright: basic

from __future__ import annotations

import logging
import math
import os
import secrets
import shutil
import socket
import time
from dataclasses import replace
from typing import Any

from rewardplane.config.load import RewardConfig, ServiceConfig
from rewardplane.config.settings import Limits
from rewardplane.replica.worker_host import local_folder

from .membership import NAME as MEMBERSHIP
from .membership import Membership
from .options import NAMESPACE, Options, app_name, runs_itself

GATEWAY_APP = "rewardplane-gateway"
READY_S = 300.0
SWITCH_S = 60.0
STOP_S = 30.0
UPKEEP_S = 10.0

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

_log = logging.getLogger(__name__)


class DeployFailed(Exception):
    """The configuration could not be brought onto the cluster; the message says why."""


class Cluster:
    """One configuration on one Ray cluster: `start`, `reload` as often as wanted, `stop`."""

    def __init__(self, options: Options) -> None:
        # A gateway that is replaced must come back where its clients look for it.
        self._options = options if options.port else replace(options, port=_free_port(options.host))
        self._config: ServiceConfig | None = None
        self._membership: Any = None
        self._generation = 0
        self._retired: dict[str, str] = {}

    @property
    def port(self) -> int:
        """Where the gateways serve; chosen here where the options leave it open."""
        return self._options.port

    def start(self, config: ServiceConfig) -> None:
        """Deploys all rewards and the gateway; returns when the gateway answers.

        Raises:
            DeployFailed: it did not come up.
        """
        set_flags(config.limits)
        if self._options.address == "local":
            guard_local_ray()
        import ray
        from ray import serve

        self._connect(config)
        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        try:
            serve.start(
                proxy_location="Disabled",
                logging_config={"log_level": "WARNING", "enable_access_log": False},
            )
            actor = ray.remote(Membership).options(
                name=MEMBERSHIP,
                namespace=NAMESPACE,
                lifetime="detached",
                get_if_exists=True,
                num_cpus=0,
                max_restarts=-1,
            )
            self._membership = actor.remote()
            self._deploy(list(config.rewards.values()))
            generation: Any = ray.get(self._membership.publish.remote(config.as_dict()))
            self._generation = generation
            self._run_gateway(config.limits)
            self._wait_switched(generation)
        except BaseException:
            self.stop()
            raise
        self._config = config

    def reload(self, config: ServiceConfig) -> list[str]:
        """Serves `config` from now on; returns the names of the rewards that changed.

        New versions are deployed beside the old, all gateways switch, old versions are kept until
        `upkeep` finds them unused. No call in flight fails.

        Raises:
            DeployFailed: a new version did not come up; what was served goes on being served.
        """
        import ray
        from ray.exceptions import RayError

        old = self._config.rewards if self._config else {}
        if self._config and config.limits != self._config.limits:
            raise DeployFailed("limits: cannot change while serving; restart the service")
        served = {r.fingerprint for r in old.values()}
        fresh = [r for r in config.rewards.values() if r.fingerprint not in served]
        self._deploy(fresh)
        try:
            generation: Any = ray.get(self._membership.publish.remote(config.as_dict()))
        except RayError as error:
            raise DeployFailed(f"the configuration could not be published: {error}") from None
        self._generation = generation
        self._wait_switched(generation)
        wanted = {r.fingerprint for r in config.rewards.values()}
        self._retired |= {
            r.fingerprint: app_name(r)
            for r in old.values()
            if r.fingerprint not in wanted and runs_itself(r)
        }
        for fingerprint in wanted:
            self._retired.pop(fingerprint, None)
        self._config = config
        gone = [name for name in old if name not in config.rewards]
        return [r.name for r in fresh] + gone

    def upkeep(self) -> None:
        """Takes down old versions that no call uses; restores what the membership actor has lost.

        To be called now and then. A control plane that does not answer is tried again the next
        time: the gateways go on with what they know.
        """
        import ray
        from ray.exceptions import RayError

        if self._config is None:
            return
        try:
            known: Any = ray.get(self._membership.generation.remote(), timeout=UPKEEP_S)
            if known < self._generation:
                config = self._config.as_dict()
                restored = self._membership.restore.remote(self._generation, config)
                ray.get(restored, timeout=UPKEEP_S)
            self._retire()
        except RayError as error:
            _log.warning("the membership actor does not answer: %s", error)

    def _retire(self) -> None:
        if not self._retired:
            return
        import ray
        from ray import serve

        _switched, used, _addresses = ray.get(self._membership.in_use.remote(0), timeout=UPKEEP_S)
        for fingerprint, app in list(self._retired.items()):
            if fingerprint not in used:
                serve.delete(app, _blocking=False)
                del self._retired[fingerprint]

    def addresses(self) -> list[str]:
        """Where the gateways listen."""
        import ray

        return ray.get(self._membership.in_use.remote(0))[2]

    def stop(self) -> None:
        """Drains the gateway, then ends everything."""
        import ray
        from ray import serve

        if not ray.is_initialized():
            return
        serve.delete(GATEWAY_APP)
        if self._options.address != "local":
            apps = list(self._retired.values())
            if self._config is not None:
                apps += [app_name(r) for r in self._config.rewards.values() if runs_itself(r)]
            for app in apps:
                serve.delete(app, _blocking=False)
        if self._membership is not None:
            ray.kill(self._membership)
        folder = local_folder(ray.get_runtime_context().get_session_name())
        ray.shutdown()
        if folder is not None and self._options.address == "local":
            # Replicas that Ray ended with their node leave their sockets behind.
            shutil.rmtree(folder, ignore_errors=True)

    def _connect(self, config: ServiceConfig) -> None:
        import ray

        options: dict[str, Any] = {
            "namespace": NAMESPACE,
            "logging_level": "ERROR",
            "log_to_driver": True,
        }
        if self._options.address == "local":
            need = sum(_cpus(r) * r.settings.replicas for r in config.rewards.values())
            # Twice: a reload deploys new versions beside the old. These are Ray's books, not cores.
            cpus = max(os.cpu_count() or 1, math.ceil(2 * need) + 1)
            ray.init(
                num_cpus=cpus,
                include_dashboard=False,
                object_store_memory=128 * 2**20,
                _system_config={"prestart_worker_first_driver": False},
                **options,
            )
        else:
            ray.init(
                self._options.address, runtime_env={"env_vars": _flags(config.limits)}, **options
            )

    def _deploy(self, rewards: list[RewardConfig]) -> None:
        """Brings reward versions up, side by side; all or none. What is made of others has none."""
        rewards = [reward for reward in rewards if runs_itself(reward)]
        if not rewards:
            return
        from ray import serve
        from ray.serve import RunTarget

        from .deployments import pool_application

        targets = [
            RunTarget(pool_application(r), name=app_name(r), route_prefix=None) for r in rewards
        ]
        serve.run_many(targets, wait_for_applications_running=False)
        try:
            _wait_running([target.name for target in targets])
        except DeployFailed:
            for target in targets:
                serve.delete(target.name, _blocking=False)
            raise

    def _run_gateway(self, limits: Limits) -> None:
        from ray import serve

        from .deployments import gateway_application

        serve.run(
            gateway_application(self._options, limits),
            name=GATEWAY_APP,
            route_prefix=None,
            blocking=False,
        )
        _wait_running([GATEWAY_APP])

    def _wait_switched(self, generation: int) -> None:
        import ray

        deadline_s = time.monotonic() + SWITCH_S
        while time.monotonic() < deadline_s:
            switched, _used, _addresses = ray.get(self._membership.in_use.remote(generation))
            if switched:
                return
            time.sleep(0.05)
        raise DeployFailed(f"the gateways did not switch within {SWITCH_S:g} s")


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def set_flags(limits: Limits) -> None:
    """Sets Serve's flags for this process and what it starts; before ray is imported."""
    for name, value in _flags(limits).items():
        os.environ[name] = value


def guard_local_ray() -> None:
    """Has a Ray that this process starts ask for a token of its own; before ray is imported.

    Its ports are open to the whole network, and whoever reaches them runs code as this user.
    RAY_AUTH_MODE, where it is set, counts.
    """
    if "RAY_AUTH_MODE" not in os.environ:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_urlsafe(32)


def _flags(limits: Limits) -> dict[str, str]:
    """Serve's flags; a shard of one item may exceed the size that shards aim at."""
    largest = limits.max_item_bytes + 4 * 2**20
    return {**FLAGS, "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(largest)}


def _cpus(reward: RewardConfig) -> float:
    if not runs_itself(reward):
        return 0.0
    default = 0.0 if reward.lane == "inline" else 1.0
    return float(reward.settings.ray_actor_options.get("num_cpus", default))


def _wait_running(apps: list[str]) -> None:
    from ray import serve

    deadline_s = time.monotonic() + READY_S
    while time.monotonic() < deadline_s:
        status = serve.status().applications
        states = {app: status[app] for app in apps if app in status}
        for app, state in states.items():
            if state.status in ("DEPLOY_FAILED", "UNHEALTHY"):
                raise DeployFailed(f"{app}: {_why(state)}")
        if len(states) == len(apps) and all(s.status == "RUNNING" for s in states.values()):
            return
        time.sleep(0.05)
    raise DeployFailed(f"not running after {READY_S:g} s: {', '.join(apps)}")


def _why(state: Any) -> str:
    texts = [state.message, *(d.message for d in state.deployments.values())]
    return " ".join(text for text in texts if text)[-4000:]
