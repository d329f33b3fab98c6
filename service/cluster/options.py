"""Where and how to serve, and the names of what is served on a Ray cluster."""

from __future__ import annotations

from dataclasses import dataclass

from rewardplane.access.settings import is_loopback
from rewardplane.config.load import RewardConfig
from rewardplane.gateway.doors.door import DoorKind

NAMESPACE = "rewardplane"


@dataclass(frozen=True, slots=True)
class Options:
    """Where and how to serve. `address`: "local" starts a Ray of its own, else one that runs.

    `port` 0: a free one, chosen once. `metrics_port` 0: no metrics. `http_port` 0: no HTTP face.
    `door`: what speaks gRPC with the clients; one that cannot be had is an error. `access`: the
    access file, by its full path, which each node must have; empty: anybody may call. `insecure`:
    calls that prove nothing may come from other machines.
    """

    host: str = "127.0.0.1"
    port: int = 50051
    metrics_port: int = 9464
    http_port: int = 0
    address: str = "local"
    gateways: int = 1
    gateways_per_node: int = 1
    door: DoorKind = DoorKind.NATIVE
    access: str = ""
    insecure: bool = False

    @property
    def strangers_refused(self) -> bool:
        """Whether the access file must go on refusing calls that prove nothing."""
        return not self.insecure and not is_loopback(self.host)


def runs_itself(reward: RewardConfig) -> bool:
    """Whether a reward has replicas: one that is made of others runs in the gateways alone."""
    return reward.lane != "composite"


def app_name(reward: RewardConfig) -> str:
    """The Serve application of one version of a reward."""
    return f"rewardplane-{reward.name}-{reward.fingerprint}"
