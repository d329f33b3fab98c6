"""`rewardplane serve --address` on a cluster that others run: nodes come and go, signals end it.

One Ray cluster of its own for this file; the "nodes" are raylets of this machine, whose gateways
share a port.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from rewardplane.client.sync_client import SyncRewardClient
from rewardplane.cluster.names import GATEWAY_LABEL, NO_GATEWAY, app_name
from rewardplane.config.load import load as load_config

from .conftest import FOLDER, free_port

pytestmark = [pytest.mark.ray, pytest.mark.timeout(400)]

REWARDPLANE = [sys.executable, "-m", "rewardplane.cli"]
SMALL = "{kind: math, ray_actor_options: {num_cpus: 0.1}}"


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[Any]:
    """A Ray cluster of one node, which more can join."""
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 2, "object_store_memory": 80 * 2**20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    yield cluster
    cluster.shutdown()


class Serving:
    """`rewardplane serve` on the cluster, with what it says."""

    def __init__(self, cluster: Any, config: Path, port: int, *flags: str) -> None:
        self.port = port
        self.said: list[str] = []
        options = ["--metrics-port", "0", "--gateways-per-node", "2", "--log-level", "warning"]
        command = [*REWARDPLANE, "serve", str(config), "--address", cluster.address]
        self.process = subprocess.Popen(
            [*command, "--port", str(port), *options, *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"},
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line.rstrip())

    def wait_for(self, text: str) -> None:
        until(lambda: any(text in line for line in self.said) or self.process.poll() is not None)
        assert any(text in line for line in self.said), "\n".join(self.said)

    def end(self, number: int = signal.SIGTERM) -> float:
        """Sends a signal; the seconds until it has ended, which it must do well."""
        begin_s = time.monotonic()
        self.process.send_signal(number)
        assert self.process.wait(timeout=60) == 0, "\n".join(self.said)
        self.close()
        return time.monotonic() - begin_s

    def close(self) -> None:
        """Reads to the end of what it said."""
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


def until(done: Callable[[], bool], limit_s: float = 120.0) -> None:
    until_s = time.monotonic() + limit_s
    while not done():
        assert time.monotonic() < until_s
        time.sleep(0.2)


def running(cluster: Any) -> Counter[str]:
    """How many replicas of each application there are.

    Told by the titles of processes: to ask Serve takes a driver of its own, seconds each time.
    """
    found: Counter[str] = Counter()
    for node in cluster.list_all_nodes():
        for raylet in node.all_processes.get("raylet", ()):
            with suppress(psutil.Error):
                for process in psutil.Process(raylet.process.pid).children(recursive=True):
                    title = " ".join(process.cmdline())
                    if title.startswith("ray::ServeReplica:"):
                        found[title.split(":")[3]] += 1
    return found


def write(folder: Path, **rewards: str) -> Path:
    path = folder / "rewards.yaml"
    path.write_text("rewards:\n" + "".join(f"  {n}: {r}\n" for n, r in rewards.items()))
    return path


def test_gateways_follow_the_nodes_and_the_next_driver_goes_on(
    ray_cluster: Any, tmp_path: Path
) -> None:
    port = free_port()
    config = write(tmp_path, math=SMALL, old=SMALL)
    first = Serving(ray_cluster, config, port, "--keep")
    first.wait_for("serving on")
    ray_cluster.add_node(num_cpus=1, labels={GATEWAY_LABEL: NO_GATEWAY})
    joined = ray_cluster.add_node(num_cpus=1)
    first.wait_for("gateways: 4")

    stop = threading.Event()
    scored: list[float] = []

    def load() -> None:
        with SyncRewardClient(f"127.0.0.1:{port}") as client:
            while not stop.is_set():
                scored.extend(client.rewards("math", ["?"], ["A: 1"], {"answer": ["1"]}))
                time.sleep(0.01)

    caller = threading.Thread(target=load, daemon=True)
    caller.start()
    try:
        first.end()
        app, old = (app_name(r) for r in load_config(config).rewards.values())
        until(lambda: running(ray_cluster) == {app: 1, old: 1, "rewardplane-gateway": 4})
        broken = f"{{kind: python, function: 'broken:setup_fails', python_path: [{FOLDER}]}}"
        never = Serving(ray_cluster, write(tmp_path, math=SMALL, broken=broken), port)
        assert never.process.wait(timeout=120) == 1
        never.close()
        assert any("no weights here" in line for line in never.said), never.said
        # What was served on the cluster before is served on.
        until(lambda: running(ray_cluster) == {app: 1, old: 1, "rewardplane-gateway": 4})
        before = len(scored)
        second = Serving(ray_cluster, write(tmp_path, math=SMALL, two=SMALL), port)
        second.wait_for("serving on")
        # What the driver before it deployed, and this one does not want, goes.
        until(lambda: old not in running(ray_cluster))
        ray_cluster.remove_node(joined)
        second.wait_for("gateways: 2")
    finally:
        stop.set()
    caller.join()
    assert len(scored) > before > 0
    assert set(scored) == {1.0}
    second.end()
    until(lambda: running(ray_cluster) == {})


def test_a_signal_while_it_waits_leaves_nothing(ray_cluster: Any, tmp_path: Path) -> None:
    huge = "{kind: math, ray_actor_options: {num_cpus: 64}}"
    serving = Serving(ray_cluster, write(tmp_path, math=SMALL, huge=huge), free_port())
    serving.wait_for("a replica wants 64 CPU; no node has more than 2 CPU")
    serving.process.send_signal(signal.SIGHUP)  # which asks for a reload, later
    assert serving.end() < 30
    until(lambda: running(ray_cluster) == {})


def test_a_second_service_is_refused_and_the_first_serves_on(
    ray_cluster: Any, tmp_path: Path
) -> None:
    first = Serving(ray_cluster, write(tmp_path, math=SMALL), free_port())
    first.wait_for("serving on")
    second = Serving(ray_cluster, write(tmp_path, math=SMALL), free_port())
    assert second.process.wait(timeout=60) == 1
    second.wait_for(f"already, of pid {first.process.pid}")
    with SyncRewardClient(f"127.0.0.1:{first.port}") as client:
        assert client.rewards("math", ["?"], ["A: 1"], {"answer": ["1"]}) == [1.0]
    second.close()
    first.end(signal.SIGINT)
