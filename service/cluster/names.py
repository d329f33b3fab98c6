"""The names of what is served on a Ray cluster."""

from __future__ import annotations

import importlib.metadata

from rewardplane.config.load import RewardConfig
from rewardplane.config.settings import Limits
from rewardplane.host.options import Options

NAMESPACE = "rewardplane"
APP_PREFIX = "rewardplane-"
GATEWAY_APP = "rewardplane-gateway"
POOL = "Pool"
GATEWAY = "Gateway"
GATEWAY_LABEL, NO_GATEWAY = "rewardplane/gateway", "none"
"""The label of Ray nodes that run no gateway: `ray start --labels rewardplane/gateway=none`."""
SAID = "reward set-up failed: "
"""Stands before the reason where a replica cannot start: Serve wraps it in its own traceback."""


def app_name(reward: RewardConfig) -> str:
    """The Serve application of one version of a reward."""
    return f"{APP_PREFIX}{reward.name}-{reward.fingerprint}"


def told(options: Options, limits: Limits) -> str:
    """What a gateway is started with: one that was started with the same need not be replaced."""
    version = importlib.metadata.version("rewardplane")
    ports = options.port, options.metrics_port, options.http_port
    return f"{version} {options.host} {ports} {options.door} {limits!r}"
