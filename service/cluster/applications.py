"""The Serve applications that a configuration is made of, and how they come up."""
# pyright: basic

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from rewardplane.config.load import RewardConfig, ServiceConfig
from rewardplane.config.models import ModelConfig
from rewardplane.models.host import definition_of

from .options import app_name, model_app_name

READY_S = 300.0
MODEL_READY_S = 3_600.0
"""Weights of hundreds of gigabytes are read in that."""
PREPARE_S = 60.0


class DeployFailed(Exception):
    """The configuration could not be brought onto the cluster; the message says why."""


def models_of(config: ServiceConfig) -> dict[str, ModelConfig]:
    """The models that rewards ask, by fingerprint."""
    asked = [r.model for r in config.rewards.values() if r.model is not None]
    return {model.fingerprint: model for model in asked}


def asks(reward: RewardConfig, fingerprint: str) -> bool:
    """Whether a reward asks the model of this fingerprint."""
    return reward.model is not None and reward.model.fingerprint == fingerprint


def app_of(reward: RewardConfig) -> str:
    """The application that runs a reward."""
    return app_name(reward) if reward.model is None else model_app_name(reward.model)


def prepare(rewards: Iterable[RewardConfig], membership: Any) -> None:
    """Shows rewards to the models that they ask.

    Raises:
        DeployFailed: a model cannot answer what a reward asks.
    """
    import ray
    from ray.exceptions import RayError

    for reward in rewards:
        if reward.model is None:
            continue
        app = model_app_name(reward.model)
        try:
            asked = membership.prepare.remote(app, definition_of(reward))
            fault: Any = ray.get(asked, timeout=PREPARE_S)
        except RayError as error:
            fault = str(error)
        if fault:
            raise DeployFailed(f"rewards.{reward.name}: {fault}")


def wait_running(apps: list[str], ready_s: float = READY_S) -> None:
    """Waits until applications serve.

    Raises:
        DeployFailed: one does not come up, or not in time.
    """
    from ray import serve

    if not apps:
        return
    deadline_s = time.monotonic() + ready_s
    while time.monotonic() < deadline_s:
        status = serve.status().applications
        states = {app: status[app] for app in apps if app in status}
        for app, state in states.items():
            if state.status in ("DEPLOY_FAILED", "UNHEALTHY"):
                raise DeployFailed(f"{app}: {_why(state)}")
        if len(states) == len(apps) and all(s.status == "RUNNING" for s in states.values()):
            return
        time.sleep(0.05)
    raise DeployFailed(f"not running after {ready_s:g} s: {', '.join(apps)}")


def _why(state: Any) -> str:
    texts = [state.message, *(d.message for d in state.deployments.values())]
    return " ".join(text for text in texts if text)[-4000:]
