"""The peers of the benchmark and their settings. To add one: a `Peer` and a line in `PEERS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from . import servers
from .peer import Peer, Service, free_port
from .scoring import REWARD

_SERVE: Mapping[str, str] = {
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(64 << 20),
}


@dataclass
class Bare(Peer):
    """`grpc.aio` alone: one process, no replicas."""

    def command(self) -> Sequence[str]:
        """The server in this folder."""
        return servers.python("bare_server", "--port", str(self.port))

    @property
    def settings(self) -> str:
        """In words."""
        return (
            "one process, grpc.aio on uvloop, function called in the handler, raw bytes in and "
            "out, no limits"
        )


@dataclass
class ServeProxy(Peer):
    """Ray Serve's own gRPC proxy.

    The bundle of flags for throughput would start no proxy (it turns direct ingress on).
    """

    flags: Mapping[str, str] = field(
        default_factory=lambda: {**_SERVE, "RAY_SERVE_ENABLE_DIRECT_INGRESS": "0"}
    )

    def command(self) -> Sequence[str]:
        """A cluster of its own, with the deployment on it."""
        return servers.python(
            "serve_server",
            *("--port", str(self.port), "--http-port", str(free_port())),
            *("--temp-dir", str(self.home / "ray"), "--replicas", str(self.replicas)),
        )

    def environment(self) -> Mapping[str, str]:
        """Serve's flags."""
        return {"RAY_USAGE_STATS_ENABLED": "0", **self.flags}

    @property
    def settings(self) -> str:
        """In words."""
        flags = " ".join(f"{k.removeprefix('RAY_SERVE_')}={v}" for k, v in self.flags.items())
        return (
            f"{self.replicas} replicas, async method on uvloop, max_ongoing_requests 10000, "
            f"log level ERROR without access log, {flags}"
        )


@dataclass
class ServeHAProxy(ServeProxy):
    """Ray Serve with HAProxy in front of the replicas' own gRPC servers.

    HAProxy's defaults hold it back here: 100 streams a connection, windows of 64 kB, and buffers
    of 16 kB, with which 2 MB calls take twice the CPU.
    """

    flags: Mapping[str, str] = field(
        default_factory=lambda: {
            **_SERVE,
            "RAY_SERVE_ENABLE_HA_PROXY": "1",
            "RAY_SERVE_HAPROXY_NBTHREAD": "2",
            "RAY_SERVE_HAPROXY_TUNE_BUFSIZE": str(128 << 10),
            "RAY_SERVE_HAPROXY_H2_FE_MAX_CONCURRENT_STREAMS": "1000",
            "RAY_SERVE_HAPROXY_H2_BE_MAX_CONCURRENT_STREAMS": "1000",
            "RAY_SERVE_HAPROXY_H2_FE_INITIAL_WINDOW_SIZE": str(1 << 20),
            "RAY_SERVE_HAPROXY_H2_BE_INITIAL_WINDOW_SIZE": str(1 << 20),
        }
    )

    def environment(self) -> Mapping[str, str]:
        """Serve's flags, and places of its own for HAProxy's files and ports."""
        return {
            **super().environment(),
            "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(self.home / "haproxy.cfg"),
            "RAY_SERVE_HAPROXY_SOCKET_PATH": str(self.home / "admin.sock"),
            "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(self.home),
            "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(self.home / "server-state"),
            "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(self.home / "metrics.sock"),
            "RAY_SERVE_HAPROXY_METRICS_PORT": str(free_port()),
            "RAY_SERVE_HAPROXY_STATS_PORT": str(free_port()),
        }


class Rewardplane(Service):
    """This service, with the benchmark's reward in one lane."""

    def __init__(self, name: str, lane: str, replicas: int, door: str = "native") -> None:
        config = (
            f"rewards:\n  {REWARD}: "
            f"{{kind: exact, lane: {lane}, replicas: {replicas}, reference: answer}}\n"
        )
        super().__init__(name, replicas, config=config, door=door)

    def ready(self) -> bool:
        """Whether it scores, beyond being healthy."""
        return super().ready() and Peer.ready(self)


PEERS: Mapping[str, Callable[[], Peer]] = {
    "bare": lambda: Bare("bare grpc.aio"),
    "proxy": lambda: ServeProxy("Ray Serve, gRPC proxy"),
    "haproxy": lambda: ServeHAProxy("Ray Serve, HAProxy and direct ingress"),
    "pool": lambda: Rewardplane("rewardplane pool", "pool", 2),
    "inline": lambda: Rewardplane("rewardplane inline", "inline", 1),
    "pool-grpc": lambda: Rewardplane("rewardplane pool, door grpc", "pool", 2, "grpc"),
    "inline-grpc": lambda: Rewardplane("rewardplane inline, door grpc", "inline", 1, "grpc"),
    "pool-1": lambda: Rewardplane("rewardplane pool, 1 replica", "pool", 1),
    "pool-4": lambda: Rewardplane("rewardplane pool, 4 replicas", "pool", 4),
}
