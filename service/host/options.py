"""Where and how to serve."""

from __future__ import annotations

import socket
from dataclasses import dataclass, replace

from rewardplane.access.settings import is_loopback
from rewardplane.gateway.doors.door import DoorKind


@dataclass(frozen=True, slots=True)
class Options:
    """Where and how to serve. `address`: "local" starts a Ray of its own, else one that runs.

    `port` 0: a free one, chosen once. `metrics_port` 0: no metrics. `http_port` 0: no HTTP face.
    `gateways`: how many nodes run a gateway at most; 0: all. `autoscaled`: nodes may be added while
    a replica waits for one. `keep`: what is deployed stays when this process ends, for the next.
    `door`: what speaks gRPC with the clients; one that cannot be had is an error. `access`: the
    access file, by its full path, which each node must have; empty: anybody may call. `insecure`:
    calls that prove nothing may come from other machines. `traces`: calls are traced, as
    OpenTelemetry's environment variables say. `ui`: the HTTP port has a page to look at.
    """

    host: str = "127.0.0.1"
    port: int = 50051
    metrics_port: int = 9464
    http_port: int = 0
    address: str = "local"
    gateways: int = 0
    gateways_per_node: int = 1
    door: DoorKind = DoorKind.NATIVE
    autoscaled: bool = False
    keep: bool = False
    access: str = ""
    insecure: bool = False
    traces: bool = False
    ui: bool = False

    @property
    def strangers_refused(self) -> bool:
        """Whether the access file must go on refusing calls that prove nothing."""
        return not self.insecure and not is_loopback(self.host)

    def with_port(self) -> Options:
        """The same, with a free port where none is named.

        A gateway that is replaced must come back where its clients look for it.
        """
        if self.port:
            return self
        with socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET) as probe:
            probe.bind((self.host, 0))
            return replace(self, port=int(probe.getsockname()[1]))
