"""What `tests.load.two_nodes` makes of the manifests and of what the trainers saw."""

from __future__ import annotations

from typing import Any

import pytest

from .load.pods import start_command
from .load.two_nodes import cluster_spec, seen
from .support.rendered import DEPLOY, rendered

HEAD = "rewardplane-head-svc.rewardplane.svc.cluster.local"


def command_of(group: str) -> str:
    """The start command of a group of the overlay with the sandbox."""
    (cluster,) = [
        o for o in rendered(DEPLOY / "overlays" / "prod-sandbox") if o["kind"] == "RayCluster"
    ]
    groups = {g["groupName"]: g for g in cluster["spec"]["workerGroupSpecs"]}
    is_head = group == "head"
    return start_command(
        cluster["spec"]["headGroupSpec"] if is_head else groups[group], "" if is_head else HEAD
    )


def test_the_start_commands_are_those_of_kuberay() -> None:
    """As its operator 1.7 made them of these manifests before a real API server."""
    common = "--block --dashboard-agent-listen-port=52365"
    head = f"ray start --head {common} --dashboard-host=0.0.0.0 --memory={12 * 2**30}"
    assert command_of("head") == f"{head} --metrics-export-port=8080 --num-cpus=0"
    worker = f"ray start --address={HEAD}:6379 {common}"
    pool = f"{worker} --memory={48 * 2**30} --metrics-export-port=8080 --num-cpus=15"
    assert command_of("pool") == pool
    sandbox = f"{worker} --labels=rewardplane/gateway=none --memory={12 * 2**30}"
    sandbox += " --metrics-export-port=8080 --num-cpus=0 --resources='{\"sandbox\": 3.0}'"
    assert command_of("sandbox") == sandbox


def test_the_hosts_have_a_control_plane_that_is_kept() -> None:
    assert cluster_spec()["gcsFaultToleranceOptions"]["redisAddress"] == "redis:6379"


def line(end_s: float, **more: Any) -> dict[str, Any]:
    """A call that was answered."""
    return {"begin_s": end_s - 0.1, "end_s": end_s, "fault": "", "lost": 0, "wrong": 0} | more


def test_a_silence_and_what_is_lost_are_seen() -> None:
    steady = [line(t / 10) for t in range(200) if not 120 <= t < 150]
    row = seen(steady, "it", 10.0, 20.0, "")
    assert (row.calls, row.failed, row.lost, row.wrong) == (70, 0, 0, 0)
    assert row.silence_s == pytest.approx(3.1)
    assert row.degraded_s == 3
    assert not row.bad
    assert seen([*steady, line(19.95, lost=1)], "it", 10.0, 20.0, "").bad
    assert seen([*steady, line(19.95, wrong=1)], "it", 10.0, 20.0, "").bad
    assert seen([*steady, line(19.95, fault="UNAVAILABLE")], "it", 10.0, 20.0, "").bad
    assert seen([], "it", 10.0, 20.0, "").bad
