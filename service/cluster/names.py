"""The names of what is served on a Ray cluster."""

from __future__ import annotations

import importlib.metadata

from rewardplane.config.load import RewardConfig
from rewardplane.config.models import ModelConfig
from rewardplane.config.settings import Limits
from rewardplane.host.options import Options

NAMESPACE = "rewardplane"
APP_PREFIX = "rewardplane-"
GATEWAY_APP = "rewardplane-gateway"
POOL = "Pool"
MODEL = "Model"
GATEWAY = "Gateway"
GATEWAY_LABEL, NO_GATEWAY = "rewardplane/gateway", "none"
"""The label of Ray nodes that run no gateway: `ray start --labels rewardplane/gateway=none`."""
SAID = "reward set-up failed: "
"""Stands before the reason where a replica cannot start: Serve wraps it in its own traceback."""


Deployed = RewardConfig | ModelConfig
"""What has an application of its own."""


def app_name(part: Deployed) -> str:
    """The Serve application of one version of a reward or a model; the fingerprint ends it."""
    # No reward has a name that begins so.
    model = "_model-" if isinstance(part, ModelConfig) else ""
    return f"{APP_PREFIX}{model}{part.name}-{part.fingerprint}"


def stem_of(app: str) -> str:
    """The name of an application without what tells its version."""
    return app.rpartition("-")[0]


def fingerprint_of(app: str) -> str:
    """What tells the version of an application."""
    return app.rpartition("-")[2]


def entry_of(part: Deployed) -> str:
    """Where it stands in the configuration."""
    return f"{'models' if isinstance(part, ModelConfig) else 'rewards'}.{part.name}"


def told(options: Options, limits: Limits) -> str:
    """What a gateway is started with: one that was started with the same need not be replaced."""
    version = importlib.metadata.version("rewardplane")
    ports = options.port, options.metrics_port, options.http_port
    return f"{version} {options.host} {ports} {options.door} {limits!r}"
