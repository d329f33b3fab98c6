"""What deploy/ and the Dockerfile say agrees with itself, with the service and with the lock."""

from __future__ import annotations

import errno
import json
import re
import shlex
import subprocess
import tomllib
from collections import Counter
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import typer.main
import yaml
from rewardplane.access.settings import Access
from rewardplane.cli.commands import app
from rewardplane.cluster.gateway import DRAIN_S
from rewardplane.cluster.names import GATEWAY_LABEL, NO_GATEWAY
from rewardplane.cluster.placement import wanted
from rewardplane.config.load import ServiceConfig, load
from rewardplane.host.options import Options
from rewardplane.rewards.sandbox.probe import KERNELS

from .support.rendered import DEPLOY, KUBECTL, overlaid, rendered
from .support.rendered import documents as read

ROOT = Path(__file__).parents[1]
RAY_DRAIN_S = 30.0
"""How long Ray waits for a node that is told to end."""
OVERLAYS = tuple(sorted(p.parent.name for p in DEPLOY.glob("overlays/*/kustomization.yaml")))
PORTS = {"grpc": Options().port, "http-metrics": Options().metrics_port}


def documents(path: str) -> list[Any]:
    return read(DEPLOY / path)


def objects(kind: str) -> list[dict[str, Any]]:
    files = [p.relative_to(DEPLOY) for p in sorted(DEPLOY.rglob("*.yaml"))]
    files = [p for p in files if p.parts[0] != "helm"]  # test_chart.py
    found = [doc for file in files for doc in documents(str(file)) if isinstance(doc, dict)]
    return [doc for doc in found if doc.get("kind") == kind]


def ray_cluster(overlay: str) -> dict[str, Any]:
    """The RayCluster as an overlay leaves it."""
    (found,) = [o for o in rendered(DEPLOY / "overlays" / overlay) if o["kind"] == "RayCluster"]
    return found["spec"]


def groups(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [spec["headGroupSpec"], *spec["workerGroupSpecs"]]


def sandbox_group() -> dict[str, Any]:
    """The worker group that the component of deploy/sandbox adds."""
    (group,) = [
        g for g in ray_cluster("prod-sandbox")["workerGroupSpecs"] if g["groupName"] == "sandbox"
    ]
    return group


def rewards(overlay: str) -> ServiceConfig:
    """What an overlay serves, apart from models, whose weights are elsewhere."""
    own = DEPLOY / "overlays" / overlay.partition("-")[0] / "rewards.yaml"
    return load(own if own.exists() else DEPLOY / "base" / "rewards.yaml")


def gpu_rewards(weights: Path) -> ServiceConfig:
    """What the overlay with GPUs serves, its weights in a folder of ours."""
    text = (DEPLOY / "overlays" / "prod-gpu" / "rewards.yaml").read_text()
    path = weights / "rewards.yaml"
    path.write_text(text.replace("/models/", f"{weights}/"))
    for name in ("reward", "judge"):
        (weights / name).mkdir()
    return load(path)


def pods(*overlays: str) -> list[dict[str, Any]]:
    """The pod templates' specs of these overlays; without any, of all."""
    specs = [ray_cluster(overlay) for overlay in overlays or OVERLAYS]
    return [group["template"]["spec"] for spec in specs for group in groups(spec)]


@pytest.mark.parametrize("path", sorted(DEPLOY.rglob("kustomization.yaml")), ids=str)
def test_a_kustomization_names_files_that_exist(path: Path) -> None:
    (spec,) = yaml.safe_load_all(path.read_text())
    generated = [f for g in spec.get("configMapGenerator", []) for f in g["files"]]
    named = [
        *spec.get("resources", []),
        *spec.get("components", []),
        *(patch["path"] for patch in spec.get("patches", [])),
        *(file.rpartition("=")[2] for file in generated),
    ]
    assert [name for name in named if not (path.parent / name).exists()] == []


@pytest.mark.skipif(not KUBECTL, reason="there is no kubectl: `make helm`")
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kustomize_builds_an_overlay(overlay: str) -> None:
    command = [KUBECTL, "kustomize", DEPLOY / "overlays" / overlay]
    built = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = {doc["kind"]: doc for doc in yaml.safe_load_all(built)}
    assert found["RayCluster"]["spec"] == ray_cluster(overlay)
    config = {d["metadata"]["name"]: d for d in yaml.safe_load_all(built) if "data" in d}
    assert set(config["rewardplane-config"]["data"]) == {"rewards.yaml", "head.sh"}


def test_versions_are_those_of_the_project_and_the_lock() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    images = {pod["containers"][0]["image"] for pod in pods()}
    assert images == {f"rewardplane:{version}", f"rewardplane-gpu:{version}"}
    ray = documents("base/raycluster.yaml")[0]["spec"]["rayVersion"]
    assert f"ray=={ray}" in (ROOT / "requirements.lock").read_text().splitlines()
    dockerfile = (ROOT / "Dockerfile").read_text()
    pythons = re.findall(r"^FROM python:(\S+?)-slim", dockerfile, re.MULTILINE)
    (of_lock,) = re.findall(r"CPython (\S+),", (ROOT / "requirements.lock").read_text())
    assert set(pythons) == {of_lock}
    assert f'org.opencontainers.image.version="{version}"' in dockerfile


def test_ports_are_those_that_the_service_listens_on() -> None:
    for pod in pods("prod"):
        (container,) = pod["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert ports.items() >= PORTS.items()
        probe = container["readinessProbe"]["httpGet"]
        assert (probe["path"], probe["port"]) == ("/healthz", PORTS["http-metrics"])
    for service in objects("Service"):
        if service["metadata"]["name"] == "rewardplane-http":
            continue
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
        ("rewardplane/gateway", "true"),
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
    group = ray_cluster(overlay)["workerGroupSpecs"][0]
    if overlay == "prod-autoscaled":
        assert group["minReplicas"] <= group["replicas"] < group["maxReplicas"]
    else:
        assert group["replicas"] == group["minReplicas"] == group["maxReplicas"]
    env = ray_cluster(overlay)["headGroupSpec"]["template"]["spec"]["containers"][0]["env"]
    file = "--access /etc/rewardplane-access/access.yaml"
    assert env[2] == {"name": "ACCESS", "value": "--insecure" if overlay == "dev" else file}
    settings = [reward.settings for reward in rewards(overlay).rewards.values()]
    needed = sum(s.replicas * s.ray_actor_options.get("num_cpus", 1) for s in settings)
    assert 2 * needed <= group["maxReplicas"] * int(group["rayStartParams"]["num-cpus"])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_gateways_service_selects_the_pods_that_have_one(overlay: str) -> None:
    """A gateway runs on every node that is not labelled; its pods say so, and are asked for it."""
    for group in groups(ray_cluster(overlay)):
        (container, *_) = group["template"]["spec"]["containers"]
        has_one = group.get("labels", {}).get(GATEWAY_LABEL) != NO_GATEWAY
        told = group["template"].get("metadata", {}).get("labels", {})
        assert (told.get("rewardplane/gateway") == "true") == has_one
        probed = container["readinessProbe"]["httpGet"]["path"]
        assert (probed == "/healthz") == has_one


def budgets_of(overlay: str) -> dict[str, dict[str, Any]]:
    made = rendered(DEPLOY / "overlays" / overlay)
    return {o["metadata"]["name"]: o["spec"] for o in made if o["kind"] == "PodDisruptionBudget"}


def test_the_fewest_autoscaled_workers_can_be_drained() -> None:
    fewest = ray_cluster("prod-autoscaled")["workerGroupSpecs"][0]["minReplicas"]
    assert 0 < budgets_of("prod-autoscaled")["rewardplane-pool"]["minAvailable"] < fewest


def test_disruption_takes_one_worker_at_a_time_and_never_the_head() -> None:
    budgets = budgets_of("prod-sandbox")
    workers = ray_cluster("prod-sandbox")["workerGroupSpecs"][0]["replicas"]
    assert {name: spec["minAvailable"] for name, spec in budgets.items()} == {
        "rewardplane-head": 1,
        "rewardplane-pool": workers - 1,
        "rewardplane-sandbox": sandbox_group()["replicas"] - 1,
    }
    # Else a pod that never became ready could not be evicted from a node that is drained.
    assert {spec["unhealthyPodEvictionPolicy"] for spec in budgets.values()} == {"AlwaysAllow"}


def test_a_pod_has_time_to_drain() -> None:
    for pod in pods():
        assert pod["terminationGracePeriodSeconds"] > max(RAY_DRAIN_S, DRAIN_S)


def test_orphans_have_a_parent() -> None:
    for pod in pods():
        assert pod["containers"][0]["command"][:2] == ["tini", "--"]


def test_a_new_image_replaces_the_pods() -> None:
    for overlay in OVERLAYS:
        assert ray_cluster(overlay)["upgradeStrategy"] == {"type": "Recreate"}


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
        p["spec"]
        for p in objects("NetworkPolicy")
        if p["metadata"]["name"] == "rewardplane-sandbox"
    ]
    assert policy["policyTypes"] == ["Egress"]
    assert policy["podSelector"]["matchLabels"]["ray.io/group"] == sandbox_group()["groupName"]
    peers = [peer for rule in policy["egress"] for peer in rule["to"]]
    assert not [peer for peer in peers if "ipBlock" in peer or "podSelector" not in peer]
    open_to_all = [rule for rule in policy["egress"] if "ports" not in rule]
    own = {"matchLabels": {"ray.io/cluster": "rewardplane"}}
    assert open_to_all == [{"to": [{"podSelector": own}]}]


def test_sandbox_pods_hold_sandbox_rewards_alone() -> None:
    group = sandbox_group()
    assert group["replicas"] == group["minReplicas"] == group["maxReplicas"]
    assert group["rayStartParams"] == {}  # KubeRay takes resources from one of the two
    cpus = int(group["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"])
    assert group["resources"] == {"CPU": "0", "sandbox": str(cpus - 1)}  # one is for Ray's own


def has_gateway(pod: Any) -> bool:
    """Whether a gateway runs in a pod: its readiness is that of the gateway then."""
    probe = pod["containers"][0]["readinessProbe"]
    return probe["httpGet"]["path"] == "/healthz"


def serve_lines() -> list[list[str]]:
    """The arguments of each `rewardplane serve` that is written down."""
    script = (DEPLOY / "base" / "head.sh").read_text().replace("\\\n", "")
    (line,) = re.findall(r"^rewardplane serve (.*) &$", script, re.MULTILINE)
    (default,) = re.findall(r"^CMD (.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    program, *arguments = json.loads(default)
    assert program == "serve"
    access = "--access /etc/rewardplane-access/access.yaml"
    line = (
        line.replace("${ACCESS-}", access)
        .replace("${HTTP-}", "--http-port 8000")
        .replace("${SERVE_FLAGS-}", "--autoscaled")
    )
    return [shlex.split(line), arguments]


@pytest.mark.parametrize("arguments", serve_lines(), ids=["head.sh", "Dockerfile"])
def test_the_command_line_takes_what_is_written_down(arguments: list[str]) -> None:
    command: Any = typer.main.get_command(app)
    context = command.get_command(None, "serve").make_context("serve", arguments)
    assert context.params["host"] == "0.0.0.0"  # noqa: S104 - a pod's own address
    assert (context.params["access"] is not None) != context.params["insecure"]
    for pod in pods():
        mounts = {m["name"]: m["mountPath"] for m in pod["containers"][0]["volumeMounts"]}
        assert mounts["config"] == str(context.params["config"].parent)
        if context.params["access"] is not None and has_gateway(pod):
            assert mounts["access"] == str(context.params["access"].parent)
    assert (
        context.params["config"].name
        in documents("base/kustomization.yaml")[0]["configMapGenerator"][0]["files"]
    )


# ---- schemas ---------------------------------------------------------------------------------

_WORDS = {"additionalProperties": {"type": "string"}, "type": "object"}
_GROUP = {
    "rayStartParams": _WORDS,
    "resources": _WORDS,
    "labels": _WORDS,
    "template": {"type": "object"},  # held to Kubernetes' own schema
}
_SECRET = {"type": "object", "required": ["valueFrom"], "additionalProperties": False}
RAY_CLUSTER: dict[str, Any] = {
    "type": "object",
    "required": ["rayVersion", "authOptions", "upgradeStrategy", "headGroupSpec"],
    "additionalProperties": False,
    "properties": {
        "rayVersion": {"type": "string"},
        "authOptions": {"const": {"mode": "token"}},
        "upgradeStrategy": {"properties": {"type": {"enum": ["Recreate", "None"]}}},
        "enableInTreeAutoscaling": {"type": "boolean"},
        "autoscalerOptions": {
            "additionalProperties": False,
            "properties": {
                "version": {"enum": ["v1", "v2"]},
                "idleTimeoutSeconds": {"type": "integer"},
                "upscalingMode": {"enum": ["Default", "Aggressive", "Conservative"]},
                "resources": {"type": "object"},
                "securityContext": {"type": "object"},
            },
        },
        "gcsFaultToleranceOptions": {
            "additionalProperties": False,
            "oneOf": [{"required": ["redisAddress"]}, {"required": ["backend", "storage"]}],
            "properties": {
                "backend": {"const": "rocksdb"},
                "storage": {
                    "additionalProperties": False,
                    "properties": {"size": {"pattern": "^[0-9]+Gi$"}},
                },
                "redisAddress": {"type": "string"},
                "redisPassword": {**_SECRET, "properties": {"valueFrom": {"type": "object"}}},
            },
        },
        "headGroupSpec": {"additionalProperties": False, "properties": _GROUP},
        "workerGroupSpecs": {
            "type": "array",
            "items": {
                "additionalProperties": False,
                "required": ["groupName", "replicas", "minReplicas", "maxReplicas", "template"],
                "properties": {
                    **_GROUP,
                    "groupName": {"type": "string", "pattern": "^[a-z][a-z0-9-]*$"},
                    **{f"{name}eplicas": {"type": "integer"} for name in ("r", "minR", "maxR")},
                },
            },
        },
    },
}
"""The fields of a RayCluster that deploy/ uses, as KubeRay 1.6 and 1.7 know them; no others."""


_REFERENCE = {
    "type": "object",
    "required": ["name"],
    "additionalProperties": False,
    "properties": {"name": {"type": "string"}, "kind": {"enum": ["Issuer", "ClusterIssuer"]}},
}
_TEXTS = {"type": "array", "items": {"type": "string"}, "minItems": 1}
_HOURS = {"type": "string", "pattern": "^[0-9]+h$"}
CERT_MANAGER: dict[str, Any] = {
    "Certificate": {
        "type": "object",
        "required": ["secretName", "issuerRef"],
        "additionalProperties": False,
        "properties": {
            "secretName": {"type": "string"},
            "issuerRef": _REFERENCE,
            "isCA": {"type": "boolean"},
            "commonName": {"type": "string", "maxLength": 64},
            "duration": _HOURS,
            "renewBefore": _HOURS,
            "usages": {"type": "array", "items": {"enum": ["server auth", "client auth"]}},
            "dnsNames": _TEXTS,
            "uris": _TEXTS,
            "privateKey": {
                "additionalProperties": False,
                "properties": {
                    "algorithm": {"enum": ["RSA", "ECDSA", "Ed25519"]},
                    "size": {"enum": [256, 384, 521]},
                    "rotationPolicy": {"enum": ["Always", "Never"]},
                },
            },
        },
    },
    "Issuer": {
        "type": "object",
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
        "properties": {
            "selfSigned": {"type": "object", "maxProperties": 0},
            "ca": {
                "required": ["secretName"],
                "additionalProperties": False,
                "properties": {"secretName": {"type": "string"}},
            },
        },
    },
}
"""The fields of cert-manager's objects that deploy/ uses, as its 1.12 and later know them."""


@pytest.mark.parametrize("version", ["1.33"])
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_objects_are_those_that_kubernetes_knows(overlay: str, version: str) -> None:
    """Unknown fields are errors."""
    for made in rendered(DEPLOY / "overlays" / overlay):
        if made["apiVersion"] in ("v1", "policy/v1", "networking.k8s.io/v1"):
            kubernetes_validate.validate(made, version, strict=True)
        elif made["apiVersion"] == "cert-manager.io/v1":
            jsonschema.validate(made["spec"], CERT_MANAGER[made["kind"]])
        else:
            assert made["kind"] in ("RayCluster", "ServiceMonitor", "PrometheusRule")
    spec = ray_cluster(overlay)
    jsonschema.validate(spec, RAY_CLUSTER)
    for group in groups(spec):
        template = group["template"]
        pod = {"apiVersion": "v1", "kind": "Pod", "spec": template["spec"]}
        pod["metadata"] = {"name": "it", **template.get("metadata", {})}
        kubernetes_validate.validate(pod, version, strict=True)
        # KubeRay refuses a group that has resources in both.
        books = {"num-cpus", "num-gpus", "memory", "resources"} & set(group["rayStartParams"])
        assert not (books and group.get("resources"))
        assert "labels" not in group["rayStartParams"]


GRPC_ROUTE: dict[str, Any] = {
    "additionalProperties": False,
    "properties": {
        "parentRefs": {"items": {"required": ["name"]}},
        "hostnames": {"items": {"type": "string"}},
        "rules": {
            "items": {
                "additionalProperties": False,
                "properties": {
                    "matches": {
                        "items": {
                            "additionalProperties": False,
                            "properties": {"method": {"required": ["service"]}},
                        }
                    },
                    "backendRefs": {"items": {"required": ["name", "port"]}},
                },
            }
        },
    },
}


def test_components_that_no_overlay_has_are_known_too() -> None:
    made = overlaid(DEPLOY / "base", DEPLOY / "route", DEPLOY / "priority")
    (route,) = [o["spec"] for o in made if o["kind"] == "GRPCRoute"]
    jsonschema.validate(route, GRPC_ROUTE)
    assert {r["port"] for rule in route["rules"] for r in rule["backendRefs"]} == {PORTS["grpc"]}
    classes = [o for o in made if o["kind"] == "PriorityClass"]
    for priority in classes:
        kubernetes_validate.validate(priority, "1.33", strict=True)
    (kept,) = [
        o["spec"]
        for o in overlaid(DEPLOY / "base", DEPLOY / "rocksdb")
        if o["kind"] == "RayCluster"
    ]
    jsonschema.validate(kept, RAY_CLUSTER)
    (cluster,) = [o["spec"] for o in made if o["kind"] == "RayCluster"]
    named = [g["template"]["spec"]["priorityClassName"] for g in groups(cluster)]
    assert named == [o["metadata"]["name"] for o in classes]


def test_an_unknown_field_is_an_error() -> None:
    spec = ray_cluster("prod")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**spec, "upgradeStrategi": {}}, RAY_CLUSTER)
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "it"}, "spec": pods("prod")[0]}
    broken = json.loads(json.dumps(pod).replace("readinessProbe", "readynessProbe"))
    kubernetes_validate.validate(pod, "1.33", strict=True)
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, "1.33", strict=True)


def test_pods_pass_restricted_admission() -> None:
    """By the rules of https://kubernetes.io/docs/concepts/security/pod-security-standards/."""
    contexts = [(pod, c["securityContext"]) for pod in pods() for c in pod["containers"]]
    for pod, container in contexts:
        assert not {"hostNetwork", "hostPID", "hostIPC"} & {k for k, v in pod.items() if v}
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] != 0
        assert pod["securityContext"]["seccompProfile"]["type"] in ("RuntimeDefault", "Localhost")
        assert container["allowPrivilegeEscalation"] is False
        assert container["capabilities"] == {"drop": ["ALL"]}
        assert container["readOnlyRootFilesystem"] is True
        kinds = {key for volume in pod["volumes"] for key in volume if key != "name"}
        assert kinds <= {"configMap", "emptyDir", "secret", "projected", "downwardAPI"} | {
            "persistentVolumeClaim"
        }
    sidecar = ray_cluster("prod-autoscaled")["autoscalerOptions"]["securityContext"]
    assert sidecar["capabilities"] == {"drop": ["ALL"]}
    assert sidecar["allowPrivilegeEscalation"] is False
    assert sidecar["runAsNonRoot"] is True
    assert sidecar["seccompProfile"] == {"type": "RuntimeDefault"}


@pytest.mark.parametrize("overlay", [name for name in OVERLAYS if name != "dev"])
def test_what_is_asked_for_fits_what_the_pod_has(overlay: str) -> None:
    """Ray's books leave a CPU of the pod to the gateway and to Ray itself."""
    for group in ray_cluster(overlay)["workerGroupSpecs"]:
        limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
        told = group.get("resources") or {"CPU": group["rayStartParams"]["num-cpus"]}
        taken = int(told["CPU"]) + int(told.get("sandbox", 0))
        assert taken < int(limits["cpu"])
        assert int(told.get("GPU", 0)) == int(limits.get("nvidia.com/gpu", 0))


# ---- mutual TLS, a kernel of its own, models -------------------------------------------------


def test_certificates_are_for_the_names_and_the_files_that_are_used() -> None:
    made = rendered(DEPLOY / "overlays" / "prod-mtls")
    issued = {o["metadata"]["name"]: o["spec"] for o in made if o["kind"] == "Certificate"}
    issuers = {o["metadata"]["name"]: o["spec"] for o in made if o["kind"] == "Issuer"}
    served = issued["rewardplane"]
    service = "rewardplane.rewardplane"
    assert {service, f"{service}.svc", f"{service}.svc.cluster.local"} <= {*served["dnsNames"]}
    for spec in issued.values():
        assert spec["issuerRef"]["name"] in issuers
    assert issuers["rewardplane"]["ca"]["secretName"] == issued["rewardplane-ca"]["secretName"]
    settings = Access.model_validate(
        {"tls": {"folder": "/etc/rewardplane-tls", "client_certificates": "required"}}
    )
    assert settings.tls is not None
    mounted = 0
    for group in groups(ray_cluster("prod-mtls")):
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        if not has_gateway(pod):
            continue
        volumes = {v["name"]: v.get("secret", {}).get("secretName") for v in pod["volumes"]}
        places = {volumes[m["name"]]: m["mountPath"] for m in container["volumeMounts"]}
        assert places[served["secretName"]] == str(settings.tls.folder)
        mounted += 1
    assert mounted == 2


def test_a_guest_kernel_is_declared_and_asked_for() -> None:
    (group,) = [
        g for g in ray_cluster("prod-gvisor")["workerGroupSpecs"] if g["groupName"] == "sandbox"
    ]
    pod = group["template"]["spec"]
    env = {e["name"]: e.get("value") for e in pod["containers"][0]["env"]}
    assert pod["runtimeClassName"] == env["REWARDPLANE_GUEST_KERNEL"] == "gvisor"
    assert env["REWARDPLANE_GUEST_KERNEL"] in KERNELS
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert "hostUsers" not in pod


def test_models_fit_the_cards_of_the_gpu_workers(tmp_path: Path) -> None:
    """Several engines on a card, none of which wants what Ray's books do not have there."""
    config = gpu_rewards(tmp_path)
    spec = ray_cluster("prod-gpu")
    (group,) = [g for g in spec["workerGroupSpecs"] if g["groupName"] == "gpu"]
    books = {name: float(amount) * group["replicas"] for name, amount in group["resources"].items()}
    needs = [wanted(model) for model in config.models.values()]
    assert len(needs) > books["GPU"]
    for name in ("CPU", "GPU"):
        assert sum(need.get(name, 0) for need in needs) <= books.get(name, 0)
    # A card that is full has no room for new weights beside the old.
    assert {m.settings.swap for m in config.models.values()} == {"in_place"}
    for pod in (spec["headGroupSpec"]["template"]["spec"], group["template"]["spec"]):
        (claimed,) = [v["name"] for v in pod["volumes"] if "persistentVolumeClaim" in v]
        places = {m["name"]: m["mountPath"] for m in pod["containers"][0]["volumeMounts"]}
        assert places[claimed] == "/models"  # the head reads the digest of the weights


def test_the_http_port_is_the_one_that_is_told() -> None:
    made = overlaid(DEPLOY / "base", DEPLOY / "http")
    (cluster,) = [o["spec"] for o in made if o["kind"] == "RayCluster"]
    (head,) = cluster["headGroupSpec"]["template"]["spec"]["containers"]
    told = {e["name"]: e.get("value") for e in head["env"]}["HTTP"]
    (service,) = [o for o in made if o["metadata"]["name"] == "rewardplane-http"][:1]
    for group in groups(cluster):
        ports = {
            p["name"]: p["containerPort"]
            for p in group["template"]["spec"]["containers"][0]["ports"]
        }
        assert told == f"--http-port {ports['http']}"
        assert service["spec"]["ports"][0]["port"] == ports["http"]


def test_keys_reach_no_pod_that_runs_untrusted_code() -> None:
    made = overlaid(DEPLOY / "base", DEPLOY / "sandbox", DEPLOY / "keys")
    (cluster,) = [o["spec"] for o in made if o["kind"] == "RayCluster"]
    given = {
        group.get("groupName", "head"): "envFrom" in group["template"]["spec"]["containers"][0]
        for group in groups(cluster)
    }
    assert given == {"head": True, "pool": True, "sandbox": False}


def test_a_silent_node_is_lost_within_twenty_seconds() -> None:
    env = ray_cluster("prod")["headGroupSpec"]["template"]["spec"]["containers"][0]["env"]
    told = {e["name"]: e.get("value") for e in env}
    period, limit, times = (
        int(told[f"RAY_health_check_{name}"])
        for name in ("period_ms", "timeout_ms", "failure_threshold")
    )
    assert 10_000 <= times * (period + limit) <= 20_000


def test_pods_reach_no_metadata_service() -> None:
    made = rendered(DEPLOY / "overlays" / "prod")
    (policy,) = [o["spec"] for o in made if o["metadata"]["name"] == "rewardplane-egress"]
    blocks = [p["ipBlock"] for rule in policy["egress"] for p in rule["to"] if "ipBlock" in p]
    hidden = [ip_network(network) for block in blocks for network in block["except"]]
    for address in ("169.254.169.254", "fd00:ec2::254"):
        assert any(ip_address(address) in network for network in hidden)
    assert policy["podSelector"]["matchLabels"] == {"ray.io/cluster": "rewardplane"}
