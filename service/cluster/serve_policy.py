"""What Ray Serve's controller asks how many replicas a reward or a model should have.

Serve sees nothing of the work: it goes to replicas by our own sockets, and waits in the gateways
where no replica runs. So gateways tell the membership actor what they have, and the policy, which
runs in the controller, asks that actor for it, and says what there is. It never waits for an
answer: a decision is made upon the last one.
"""
# pyright: basic

from __future__ import annotations

import logging
import time
from typing import Any

import ray
from ray.exceptions import RayError
from ray.serve.config import AutoscalingConfig, AutoscalingContext, AutoscalingPolicy
from rewardplane.config.replicas import ReplicaRange, first_of
from rewardplane.gateway.load import Load

from .membership import NAME as MEMBERSHIP
from .membership import STALE_S
from .names import NAMESPACE
from .scaling import Bounds, History, decide

_log = logging.getLogger(__name__)


class BacklogPolicy:
    """Serve's custom policy for one deployment; called at each turn of the controller's loop."""

    def __init__(self, part: str, least: int, most: int, idle_s: float, start_s: float) -> None:
        self._part = part
        self._bounds = Bounds(least, most, idle_s)
        self._history = History(start_s)
        self._membership: Any = None
        self._is_asking = False
        self._told: tuple[float, Load] | None = None

    def __call__(self, ctx: AutoscalingContext) -> tuple[int, dict[str, Any]]:
        """The replicas that there should be; without news, those that there should be already."""
        up, target = ctx.current_num_replicas, ctx.target_num_replicas
        self._ask(up, target)
        now_s = time.monotonic()
        if self._told is None or now_s - self._told[0] > STALE_S:
            return target, {}
        load, history = self._told[1], self._history
        history.wanted = target
        history.note_load(load, now_s)
        decision = decide(load, history, self._bounds, up, now_s)
        history.note_wanted(decision, up, now_s)
        return decision.replicas, {}

    def _ask(self, up: int, target: int) -> None:
        if self._is_asking:
            return
        try:
            if self._membership is None:
                self._membership = ray.get_actor(MEMBERSHIP, namespace=NAMESPACE)
            asked = self._membership.load.remote(self._part, up, target)
        except (RayError, ValueError) as error:
            self._membership = None
            _log.warning("nobody can be asked for the work of %s: %s", self._part, error)
            return
        self._is_asking = True
        asked.future().add_done_callback(self._answered)

    def _answered(self, future: Any) -> None:
        """On a thread of Ray's."""
        try:
            if future.cancelled() or future.exception() is not None:
                self._membership = None
            elif future.result() is not None:
                self._told = time.monotonic(), future.result()
        finally:
            self._is_asking = False


def autoscaling(part: str, replicas: ReplicaRange, first: int, start_s: float) -> AutoscalingConfig:
    """Serve's autoscaling by `BacklogPolicy`, which has all the delays itself.

    `first` are started, `start_s` is how long that may take, until it is known better.
    """
    return AutoscalingConfig(
        min_replicas=replicas.min,
        initial_replicas=min(replicas.max, max(first, first_of(replicas))),
        max_replicas=replicas.max,
        upscale_delay_s=0,
        downscale_delay_s=0,
        downscale_to_zero_delay_s=0,
        policy=AutoscalingPolicy(
            policy_function=BacklogPolicy,
            policy_kwargs={
                "part": part,
                "least": replicas.min,
                "most": replicas.max,
                "idle_s": replicas.idle_s,
                "start_s": start_s,
            },
        ),
    )


def sizing(part: str, replicas: int | ReplicaRange, first: int, start_s: float) -> dict[str, Any]:
    """How many replicas a deployment has, as Serve's options."""
    if isinstance(replicas, ReplicaRange):
        return {"autoscaling_config": autoscaling(part, replicas, first, start_s)}
    return {"num_replicas": replicas}
