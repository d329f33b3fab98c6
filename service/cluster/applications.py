"""The Serve applications that a configuration is made of: its rewards' and its models'."""
# pyright: basic

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from rewardplane.config.load import RewardConfig, ServiceConfig
from rewardplane.config.models import ModelConfig
from rewardplane.host.progress import DeployFailed, Progress
from rewardplane.models.host import definition_of

from .names import Deployed, app_name, stem_of
from .status import running, what_lacks

READY_S = 300.0
MODEL_READY_S = 3_600.0
"""Weights of hundreds of gigabytes are read in that."""
DRAINED_S = 600.0
"""How long calls may use a model in whose place another comes."""
PREPARE_S = 60.0


def apps_of(config: ServiceConfig) -> dict[str, Deployed]:
    """What has replicas, by application: rewards with their own, and the models that are asked."""
    parts = [r for r in config.rewards.values() if r.has_replicas]
    return {app_name(part): part for part in (*parts, *config.asked_models())}


def in_place(fresh: Mapping[str, Deployed], up: Collection[str]) -> dict[str, list[str]]:
    """Of what is to come, the models with `swap: in_place`, with those in whose place they come."""
    swaps: dict[str, list[str]] = {}
    for app, model in fresh.items():
        if isinstance(model, ModelConfig) and model.settings.swap == "in_place":
            gone = [old for old in up if stem_of(old) == stem_of(app)]
            if gone:
                swaps[app] = gone
    return swaps


def application(part: Deployed, first: int = 0) -> Any:
    """The application that runs one version of a reward or a model.

    `first`: replicas that are started at once where their number follows the work.

    Raises:
        DeployFailed: Ray refuses what it is given for its replicas.
    """
    from .deployments import pool_application
    from .models import model_application

    if isinstance(part, ModelConfig):
        return model_application(part, first)
    try:
        return pool_application(part, first)
    except (ValueError, TypeError) as error:
        raise DeployFailed(f"rewards.{part.name}.ray_actor_options: {error}") from None


def bring_up(
    apps: Mapping[str, Deployed], progress: Progress, meanwhile: Callable[[], None]
) -> None:
    """Has applications run; returns when they do. `meanwhile` is called while it waits.

    Raises:
        DeployFailed: one does not come up, or not in time.
        Stopped: a signal asked to end.
    """
    from ray import serve
    from ray.serve import RunTarget

    if not apps:
        return
    there = running()
    targets = [
        # A new version begins with as many as the old one has now: the work goes over to it.
        RunTarget(application(part, there.get(stem_of(app), 0)), name=app, route_prefix=None)
        for app, part in apps.items()
    ]
    serve.run_many(targets, wait_for_applications_running=False)
    models = {app: part for app, part in apps.items() if isinstance(part, ModelConfig)}
    rewards = {app: part for app, part in apps.items() if app not in models}

    def lacking(part: Mapping[str, Deployed]) -> str:
        meanwhile()
        return what_lacks(part)

    progress.expect(lambda: lacking(rewards), READY_S)
    progress.expect(lambda: lacking(models), MODEL_READY_S)


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
        try:
            asked = membership.prepare.remote(app_name(reward.model), definition_of(reward))
            scaling = reward.scaling
            # One that was stopped for want of work has to start first.
            stopped = scaling is not None and not scaling.min
            fault: Any = ray.get(asked, timeout=MODEL_READY_S if stopped else PREPARE_S)
        except RayError as error:
            fault = str(error)
        if fault:
            raise DeployFailed(f"rewards.{reward.name}: {fault}")
