"""One local Ray cluster and one service on it, for all tests of this folder."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from rewardplane.cluster.cluster import Cluster
from rewardplane.cluster.connecting import guard_local_ray
from rewardplane.config.load import parse
from rewardplane.host.options import Options

# Ray takes its choice once for a process, and some tests start a Ray that is not the service's.
guard_local_ray()

FOLDER = Path(__file__).parent
CPUS = {"ray_actor_options": {"num_cpus": 0.1}}


def rewards(**more: dict[str, Any]) -> dict[str, Any]:
    """The rewards of these tests, and some more."""
    return {
        "rewards": {
            "exact": {"kind": "exact"},
            "math": {"kind": "math", "replicas": 2, "timeout_s": 20, **CPUS},
            "probe": {
                "kind": "python",
                "function": "probes:probe",
                "replicas": 2,
                "timeout_s": 5,
                "memory_limit_mb": 1024,
                **CPUS,
            },
            "code": {"kind": "code_tests", "replicas": 2, "reference": "test", **CPUS},
            "both": {"kind": "composite", "weights": {"math": 0.5, "exact": 0.5}},
            # Its sockets lie where the gateway does not look, as those of another container do.
            "apart": {
                "kind": "python",
                "function": "probes:probe",
                "ray_actor_options": {
                    "num_cpus": 0.1,
                    "runtime_env": {"env_vars": {"TMPDIR": "/var/tmp"}},  # noqa: S108 - not where the gateway looks
                },
            },
            **more,
        }
    }


@dataclass
class Service:
    """A running service: where it listens, and the processes it is made of."""

    cluster: Cluster
    address: str
    metrics_port: int
    http_port: int

    def processes(self, name: str) -> list[psutil.Process]:
        """The processes of a Ray actor, by a part of its title, of this session's cluster."""
        found: list[psutil.Process] = []
        for process in psutil.Process().children(recursive=True):
            try:
                title = " ".join(process.cmdline())
            except psutil.Error:
                continue
            if title.startswith("ray::ServeReplica") and name in title:
                found.append(process)
        return found

    def at_work(self, reward: str) -> list[psutil.Process]:
        """The replicas whose workers the gateway of this node has a link to, the oldest first."""
        links = self.links(reward)
        found = [p for p in self.processes(f"rewardplane-{reward}") if links[p.pid] > 0]
        return sorted(found, key=psutil.Process.create_time)

    def links(self, reward: str) -> Counter[int]:
        """How many links lead to a replica, by its pid; 0 where its socket is there and none does.

        Linux tells of an accepted connection by the path of the socket that it came by.
        """
        found: Counter[int] = Counter()
        prefix = f"{parse(rewards(), FOLDER).rewards[reward].fingerprint}."
        for line in Path("/proc/net/unix").read_text().splitlines():
            name = Path(line.split()[-1]).name.removeprefix(".")
            if name.startswith(prefix):
                found[int(name.removeprefix(prefix))] += 1
        return Counter({pid: count - 1 for pid, count in found.items()})  # the one that listens


@pytest.fixture(scope="session")
def service() -> Iterator[Service]:
    """The service, with the rewards of these tests."""
    metrics_port, http_port = free_port(), free_port()
    cluster = Cluster(Options(port=0, metrics_port=metrics_port, http_port=http_port))
    cluster.start(parse(rewards(), FOLDER))
    (address,) = cluster.addresses()
    _running.append(cluster)
    yield Service(cluster, address, metrics_port, http_port)
    _stop()


_running: list[Cluster] = []


def _stop() -> None:
    while _running:
        _running.pop().stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Generator[None, None, None]:
    """The cluster ends with the last test of this folder: idle, it costs others memory and CPU."""
    try:
        return (yield)
    finally:
        if nextitem is not None and nextitem.path.parent != FOLDER:
            _stop()


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
