"""What deploy/ and the Dockerfile say agrees with itself, with the service and with the lock."""

from __future__ import annotations

import errno
import json
import re
import shlex
import shutil
import subprocess
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from rewardplane.cli.commands import app
from rewardplane.cluster.options import Options
from rewardplane.config.load import ServiceConfig, load

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
OVERLAYS = ("dev", "prod")
PORTS = {"grpc": Options().port, "http-metrics": Options().metrics_port}


def documents(path: str) -> list[Any]:
    return list(yaml.safe_load_all((DEPLOY / path).read_text()))


def objects(kind: str) -> list[dict[str, Any]]:
    files = [p.relative_to(DEPLOY) for p in sorted(DEPLOY.rglob("*.yaml"))]
    found = [doc for file in files for doc in documents(str(file)) if isinstance(doc, dict)]
    return [doc for doc in found if doc.get("kind") == kind]


def ray_cluster(overlay: str) -> dict[str, Any]:
    """The RayCluster as an overlay's patch leaves it."""
    (cluster,) = documents("base/raycluster.yaml")
    (patch_file,) = [
        patch["path"]
        for patch in documents(f"overlays/{overlay}/kustomization.yaml")[0]["patches"]
        if patch["target"] == {"kind": "RayCluster"}
    ]
    for change in documents(f"overlays/{overlay}/{patch_file}")[0]:
        *above, last = [int(p) if p.isdigit() else p for p in change["path"].split("/")[1:]]
        place: Any = cluster
        for part in above:
            place = place[part]
        assert change["op"] == "replace", change
        assert type(place[last]) is type(change["value"]), change
        place[last] = change["value"]
    return cluster["spec"]


def sandbox_group() -> dict[str, Any]:
    """The worker group that the component of deploy/sandbox adds."""
    ((change,),) = documents("sandbox/workers.yaml")
    assert (change["op"], change["path"]) == ("add", "/spec/workerGroupSpecs/-")
    return change["value"]


def rewards(overlay: str) -> ServiceConfig:
    own = DEPLOY / "overlays" / overlay / "rewards.yaml"
    return load(own if own.exists() else DEPLOY / "base" / "rewards.yaml")


def pods() -> list[dict[str, Any]]:
    spec = documents("base/raycluster.yaml")[0]["spec"]
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"], sandbox_group()]
    return [group["template"]["spec"] for group in groups]


@pytest.mark.parametrize("path", sorted(DEPLOY.rglob("kustomization.yaml")), ids=str)
def test_a_kustomization_names_files_that_exist(path: Path) -> None:
    (spec,) = yaml.safe_load_all(path.read_text())
    generated = [f for g in spec.get("configMapGenerator", []) for f in g["files"]]
    named = [
        *spec["resources"],
        *spec.get("components", []),
        *(patch["path"] for patch in spec.get("patches", [])),
        *(file.rpartition("=")[2] for file in generated),
    ]
    assert [name for name in named if not (path.parent / name).exists()] == []


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kustomize_builds_an_overlay(overlay: str) -> None:
    command = ["kubectl", "kustomize", DEPLOY / "overlays" / overlay]
    built = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = {doc["kind"]: doc for doc in yaml.safe_load_all(built)}
    assert found["RayCluster"]["spec"] == ray_cluster(overlay)
    config = {doc["metadata"]["name"]: doc for doc in yaml.safe_load_all(built)}
    assert set(config["rewardplane-config"]["data"]) == {"rewards.yaml", "head.sh"}


def test_versions_are_those_of_the_project_and_the_lock() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert {pod["containers"][0]["image"] for pod in pods()} == {f"rewardplane:{version}"}
    ray = documents("base/raycluster.yaml")[0]["spec"]["rayVersion"]
    assert f"ray=={ray}" in (ROOT / "requirements.lock").read_text().splitlines()
    dockerfile = (ROOT / "Dockerfile").read_text()
    images = re.findall(r"^FROM python:(\S+?)-slim", dockerfile, re.MULTILINE)
    (of_lock,) = re.findall(r"CPython (\S+),", (ROOT / "requirements.lock").read_text())
    assert set(images) == {of_lock}


def test_ports_are_those_that_the_service_listens_on() -> None:
    for pod in pods():
        (container,) = pod["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert ports.items() >= PORTS.items()
        probe = container["readinessProbe"]["httpGet"]
        assert (probe["path"], probe["port"]) == ("/healthz", PORTS["http-metrics"])
    for service in objects("Service"):
        for port in service["spec"]["ports"]:
            assert port["targetPort"] == port["name"]
            assert port["port"] == PORTS[port["name"]]
    (policy,) = [p for p in objects("NetworkPolicy") if p["metadata"]["name"] == "rewardplane"]
    assert {p["port"] for rule in policy["spec"]["ingress"] for p in rule.get("ports", [])} == {
        *PORTS.values()
    }
    (exposed,) = re.findall(r"^EXPOSE (.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert {int(port) for port in exposed.split()} == {*PORTS.values()}


def test_selectors_select_the_cluster() -> None:
    (cluster,) = objects("RayCluster")
    known = {
        ("ray.io/cluster", cluster["metadata"]["name"]),
        ("ray.io/node-type", "head"),
        *(("ray.io/group", group["groupName"]) for group in cluster["spec"]["workerGroupSpecs"]),
        ("ray.io/group", sandbox_group()["groupName"]),
    }
    selectors = [service["spec"]["selector"] for service in objects("Service")]
    selectors += [
        policy["spec"]["podSelector"]["matchLabels"] for policy in objects("NetworkPolicy")
    ]
    selectors += [pdb["spec"]["selector"]["matchLabels"] for pdb in objects("PodDisruptionBudget")]
    assert all(set(selector.items()) <= known for selector in selectors)


def test_the_monitor_finds_the_metrics_service() -> None:
    (monitor,) = objects("ServiceMonitor")
    (service,) = [s for s in objects("Service") if s["metadata"]["name"] == "rewardplane-metrics"]
    wanted = monitor["spec"]["selector"]["matchLabels"]
    assert service["metadata"]["labels"].items() >= wanted.items()
    ports = {port["name"] for port in service["spec"]["ports"]}
    assert {endpoint["port"] for endpoint in monitor["spec"]["endpoints"]} <= ports


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_has_room_for_its_rewards_twice(overlay: str) -> None:
    spec = ray_cluster(overlay)
    (group,) = spec["workerGroupSpecs"]
    assert group["replicas"] == group["minReplicas"] == group["maxReplicas"]
    env, access = spec["headGroupSpec"]["template"]["spec"]["containers"][0]["env"]
    assert env == {"name": "GATEWAYS", "value": str(1 + group["replicas"])}
    file = "--access /etc/rewardplane-access/access.yaml"
    assert access == {"name": "ACCESS", "value": "--insecure" if overlay == "dev" else file}
    settings = [reward.settings for reward in rewards(overlay).rewards.values()]
    needed = sum(s.replicas * s.ray_actor_options["num_cpus"] for s in settings)
    assert 2 * needed <= group["replicas"] * int(group["rayStartParams"]["num-cpus"])


def test_disruption_takes_one_worker_at_a_time_and_never_the_head() -> None:
    floors = {
        pdb["metadata"]["name"]: pdb["spec"]["minAvailable"]
        for pdb in objects("PodDisruptionBudget")
    }
    workers = ray_cluster("prod")["workerGroupSpecs"][0]["replicas"]
    assert floors == {"rewardplane-head": 1, "rewardplane-pool": workers - 1}


NAMESPACED_NEEDS = {"clone", "unshare", "mount", "umount2", "pivot_root", "setns"}


def seccomp_rules() -> list[dict[str, Any]]:
    profile = json.loads((DEPLOY / "sandbox" / "seccomp-namespaced.json").read_text())
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    assert profile["defaultErrnoRet"] == errno.EPERM
    return profile["syscalls"]


def test_the_seccomp_profile_allows_namespaces_and_no_more_than_the_default() -> None:
    free = {
        name
        for rule in seccomp_rules()
        if rule["action"] == "SCMP_ACT_ALLOW" and not rule.get("args")
        for name in rule["names"]
    }
    named = Counter(name for rule in seccomp_rules() for name in rule["names"])
    assert free >= NAMESPACED_NEEDS
    assert free >= {"landlock_create_ruleset", "seccomp", "pidfd_open", "memfd_create"}
    assert {name for name, times in named.items() if times > 1} == {"personality"}
    # What only a capability gives in Docker's and containerd's default, and io_uring.
    kept = "bpf perf_event_open open_by_handle_at chroot reboot kexec_load init_module keyctl"
    kept += " add_key request_key userfaultfd io_uring_setup fsopen move_mount mount_setattr kcmp"
    assert not set(kept.split()) & set(named)
    (clone3,) = [rule for rule in seccomp_rules() if "clone3" in rule["names"]]
    assert clone3["errnoRet"] == errno.ENOSYS  # glibc then falls back to clone


def test_a_sandbox_pod_gives_nothing_away() -> None:
    pod = sandbox_group()["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["automountServiceAccountToken"] is pod["hostUsers"] is False
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"]["type"] == "Localhost"
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not [e for e in container["env"] if "valueFrom" in e]
    assert "envFrom" not in container
    assert {next(k for k in v if k != "name") for v in pod["volumes"]} == {
        "configMap",
        "emptyDir",
        "secret",
    }
    writable = [m["mountPath"] for m in container["volumeMounts"] if not m.get("readOnly")]
    assert writable == ["/tmp"]  # noqa: S108 - in the pod


def test_a_sandbox_pod_reaches_its_own_cluster_alone() -> None:
    (policy,) = [
        p["spec"] for p in objects("NetworkPolicy") if "Egress" in p["spec"]["policyTypes"]
    ]
    assert policy["podSelector"]["matchLabels"]["ray.io/group"] == sandbox_group()["groupName"]
    peers = [peer for rule in policy["egress"] for peer in rule["to"]]
    assert not [peer for peer in peers if "ipBlock" in peer or "podSelector" not in peer]
    open_to_all = [rule for rule in policy["egress"] if "ports" not in rule]
    own = {"matchLabels": {"ray.io/cluster": "rewardplane"}}
    assert open_to_all == [{"to": [{"podSelector": own}]}]


def test_sandbox_pods_hold_sandbox_rewards_alone_and_have_gateways() -> None:
    group = sandbox_group()
    assert group["replicas"] == group["minReplicas"] == group["maxReplicas"]
    assert group["rayStartParams"]["num-cpus"] == "0"
    resources = json.loads(json.loads(group["rayStartParams"]["resources"].strip("'")))
    cpus = int(group["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"])
    assert resources == {"sandbox": cpus - 1}  # one CPU is left to the gateway
    ((gateways,),) = documents("overlays/prod-sandbox/gateways.yaml")
    workers = ray_cluster("prod")["workerGroupSpecs"][0]["replicas"]
    assert gateways["value"] == str(1 + workers + group["replicas"])
    env = "/spec/headGroupSpec/template/spec/containers/0/env/0/value"
    assert (gateways["op"], gateways["path"]) == ("replace", env)


def serve_lines() -> list[list[str]]:
    """The arguments of each `rewardplane serve` that is written down."""
    script = (DEPLOY / "base" / "head.sh").read_text().replace("\\\n", "")
    (line,) = re.findall(r"^rewardplane serve (.*) &$", script, re.MULTILINE)
    (default,) = re.findall(r"^CMD (.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    program, *arguments = json.loads(default)
    assert program == "serve"
    access = "--access /etc/rewardplane-access/access.yaml"
    return [shlex.split(line.replace("$GATEWAYS", "3").replace("$ACCESS", access)), arguments]


@pytest.mark.parametrize("arguments", serve_lines(), ids=["head.sh", "Dockerfile"])
def test_the_command_line_takes_what_is_written_down(arguments: list[str]) -> None:
    command: Any = typer.main.get_command(app)
    context = command.get_command(None, "serve").make_context("serve", arguments)
    assert context.params["host"] == "0.0.0.0"  # noqa: S104 - a pod's own address
    assert (context.params["access"] is not None) != context.params["insecure"]
    for pod in pods():
        mounts = {m["name"]: m["mountPath"] for m in pod["containers"][0]["volumeMounts"]}
        assert mounts["config"] == str(context.params["config"].parent)
        if context.params["access"] is not None:
            assert mounts["access"] == str(context.params["access"].parent)
    assert (
        context.params["config"].name
        in documents("base/kustomization.yaml")[0]["configMapGenerator"][0]["files"]
    )
