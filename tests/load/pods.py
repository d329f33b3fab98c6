"""Pods of the manifests on `network.py`: what KubeRay and the kubelet make of a RayCluster.

The start command and the environment are those of KubeRay 1.7 (its `common/pod.go`); the readiness
probes and the headless Service's names are kept by a thread, as kubelet and CoreDNS keep them.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import sys
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .network import OUTSIDE, Host, Network

STATE = "/etc/gcs"
"""Where a head keeps its state with RocksDB, in the volume of its claim."""
PROBE_EVERY_S = 5.0
PROBE_FAILS = 3
"""A pod is out of the Service after so many probes that failed: Kubernetes' default."""
UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def amount(quantity: str) -> int:
    """A Kubernetes quantity of memory or CPUs, in bytes or whole CPUs."""
    return int(quantity[:-2]) * UNITS[quantity[-2:]] if quantity[-2:] in UNITS else int(quantity)


def start_command(group: dict[str, Any], head: str) -> str:
    """KUBERAY_GEN_RAY_START_CMD for a pod of a group; `head`: the head's name, empty for itself."""
    limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
    books = group.get("resources", {})
    given = {
        "num-cpus": str(amount(books.get("CPU", limits["cpu"]))),
        "memory": str(amount(limits["memory"])),
        "metrics-export-port": "8080",
        "block": "true",
        "dashboard-agent-listen-port": "52365",
        **group["rayStartParams"],
    }
    if others := {k: float(v) for k, v in books.items() if k not in ("CPU", "GPU", "memory")}:
        given["resources"] = f"'{json.dumps(others)}'"
    if labels := group.get("labels"):
        given["labels"] = ",".join(f"{k}={v}" for k, v in sorted(labels.items()))
    given |= {"address": f"{head}:6379"} if head else {"dashboard-host": "0.0.0.0"}  # noqa: S104
    flags = [f"--{k}" if v == "true" else f"--{k}={v}" for k, v in sorted(given.items())]
    return " ".join(["ray start", *([] if head else ["--head"]), *flags])


@dataclass
class Pod:
    """A pod: its host, and whether its gateway is ready."""

    group: str
    host: Host
    ready: bool = False
    ending: bool = False
    ready_s: float = 0.0
    fails: int = field(default=0, repr=False)


class RayCluster:
    """One RayCluster of the manifests, pod by pod."""

    def __init__(self, network: Network, spec: dict[str, Any], name: str, files: Path) -> None:
        self.network, self.spec, self.name, self.files = network, spec, name, files
        self.token = secrets.token_urlsafe(32)
        self.head_name = f"{name}-head-svc.rewardplane.svc.cluster.local"
        self.pods: list[Pod] = []
        self._counts = 0

    def start(self, group: str, **env: str) -> Pod:
        """A new pod of a group: `head`, or a worker group's name."""
        is_head = group == "head"
        groups = {g["groupName"]: g for g in self.spec["workerGroupSpecs"]}
        of = self.spec["headGroupSpec"] if is_head else groups[group]
        (container,) = of["template"]["spec"]["containers"]
        self._counts += 1
        name = f"{self.name}-{group}-{self._counts}"
        told = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            **{e["name"]: e["value"] for e in container.get("env", []) if "value" in e},
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self.token,
            "RAY_CLUSTER_NAME": self.name,
            "RAY_CLOUD_INSTANCE_ID": name,
            "RAY_NODE_TYPE_NAME": "headgroup" if is_head else group,
            "RAY_PORT": "6379",
            "RAY_ADDRESS": f"{'127.0.0.1' if is_head else self.head_name}:6379",
            "KUBERAY_GEN_RAY_START_CMD": start_command(of, "" if is_head else self.head_name)
            + (" --redis-password=$REDIS_PASSWORD" if is_head and self._has_redis else ""),
            **self._fault_tolerance(is_head),
            **env,
        }
        command = [*container["command"], *container.get("args", [])]
        places = {m["name"]: m["mountPath"] for m in container["volumeMounts"]}
        volumes = {places["config"]: self.files / "config"}
        if (self.files / "access").exists() and "access" in places:
            volumes[places["access"]] = self.files / "access"
        if is_head and "RAY_gcs_storage" in told:
            volumes[STATE] = self.files / f"state-{self.name}"
            volumes[STATE].mkdir(exist_ok=True)
            os.chown(volumes[STATE], 1000, 1000)
        if not is_head:
            self._wait_for_gcs()
        pod = Pod(group, self.network.start(name, command, told, volumes))
        self.pods.append(pod)
        return pod

    @property
    def _has_redis(self) -> bool:
        return "redisAddress" in self.spec.get("gcsFaultToleranceOptions", {})

    def _fault_tolerance(self, is_head: bool) -> dict[str, str]:
        options = self.spec.get("gcsFaultToleranceOptions")
        if not options:
            return {}
        if not is_head:
            return {"RAY_gcs_rpc_server_reconnect_timeout_s": "600"}
        if options.get("backend") == "rocksdb":
            return {"RAY_gcs_storage": "rocksdb", "RAY_gcs_storage_path": STATE}
        return {
            "RAY_external_storage_namespace": self.name,
            "RAY_REDIS_ADDRESS": options["redisAddress"],
            "REDIS_PASSWORD": "secret",
        }

    def _wait_for_gcs(self) -> None:
        """What KubeRay's init container `wait-gcs-ready` waits for, by the port alone."""
        until_s = time.monotonic() + 300
        while time.monotonic() < until_s:
            (*_, head) = [p for p in self.pods if p.group == "head" and not p.ending]
            assert head.host.process.poll() is None, f"{head.host.name} ended: {head.host.log}"
            try:
                with socket.create_connection((head.host.address, 6379), timeout=1):
                    return
            except OSError:
                time.sleep(0.5)
        raise AssertionError("the head's control plane does not come up")

    def end(self, pod: Pod) -> float:
        """Deletes a pod in order; the seconds until it has ended."""
        pod.ending, pod.ready = True, False
        group = self.spec["headGroupSpec"]
        if pod.group != "head":
            (group,) = (g for g in self.spec["workerGroupSpecs"] if g["groupName"] == pod.group)
        return pod.host.terminate(group["template"]["spec"]["terminationGracePeriodSeconds"])

    def wait_ready(self, *pods: Pod, limit_s: float = 400) -> None:
        """Until these pods are ready."""
        until_s = time.monotonic() + limit_s
        while not all(pod.ready for pod in pods):
            for pod in pods:
                assert pod.host.process.poll() is None, f"{pod.host.name} ended: {pod.host.log}"
            late = [pod.host.name for pod in pods if not pod.ready]
            assert time.monotonic() < until_s, f"not ready after {limit_s:g} s: {late}"
            time.sleep(0.2)


class Names(threading.Thread):
    """Probes the pods and keeps the names of the Services: the heads', and that of the gateways.

    `select`: the clusters whose gateways the clients' Service selects.
    """

    def __init__(self, network: Network, clusters: list[RayCluster], service: str) -> None:
        super().__init__(daemon=True)
        self.network, self.clusters, self.service = network, clusters, service
        self.select = list(clusters)
        self.done = threading.Event()

    def run(self) -> None:
        """Until `done`."""
        told: dict[str, list[str]] = {}
        probed_s = 0.0
        while not self.done.wait(0.2):
            if time.monotonic() - probed_s >= PROBE_EVERY_S:
                probed_s = time.monotonic()
                for cluster in self.clusters:
                    for pod in cluster.pods:
                        if not pod.ending:
                            self._probe(pod)
            names = {"redis": [OUTSIDE]}
            for cluster in self.clusters:
                heads = [p for p in cluster.pods if p.group == "head" and not p.ending]
                names[cluster.head_name] = [p.host.address for p in heads[-1:]]
            names[self.service] = [
                pod.host.address for c in self.select for pod in c.pods if pod.ready
            ]
            names["all-hosts"] = [host.address for host in self.network.hosts]
            if names != told:
                told = names
                self.network.know(names)

    def _probe(self, pod: Pod) -> None:
        try:
            where = f"http://{pod.host.address}:9464/healthz"
            with urllib.request.urlopen(where, timeout=2) as answer:
                fine = answer.status == 200
        except OSError:
            fine = False
        pod.fails = 0 if fine else pod.fails + 1
        if fine and not pod.ready and not pod.ending:
            pod.ready, pod.ready_s = True, time.monotonic()
        elif pod.fails >= PROBE_FAILS:
            pod.ready = False
