"""The chart's values: those of `base/` and the components, and those of each overlay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.support.rendered import DEPLOY, documents, rendered

from .parts import scalar
from .templates import COMPONENTS

GROUPS = ("head", "pool", "sandbox", "gpu")
DOCS = {
    "nameOverride": "The name of all objects; else the release's.",
    "image": "That of the Dockerfile's target `cpu`. `tag`: else the chart's appVersion.",
    "imagePullSecrets": "[{name: ...}]",
    "insecure": "Nobody is asked who calls; else the secret NAME-access says who may.",
    "config": "rewards.yaml (docs/operating.md); empty: that of files/.",
    "files": "Files beside it, by --set-file 'files.my_rewards\\.py=my_rewards.py'.",
    "networkPolicy": "Whose pods may reach the gateways' ports; empty: all.",
    "disruptionBudgets": "One worker at a time, and never the head.",
    "head": "Ray's control plane and `rewardplane serve`; `serveFlags`: further flags of it.",
    "pool": "The workers. `cpus`: for replicas, one less than the pod's. `minAvailable`: of the\n"
    "budget; 0: `replicas` less one.",
}


def group_values(name: str, cluster: dict[str, Any]) -> dict[str, Any]:
    """The values of a group, as a rendered RayCluster has them."""
    spec = cluster["spec"]
    if name == "head":
        group = spec["headGroupSpec"]
    else:
        (group,) = [g for g in spec["workerGroupSpecs"] if g["groupName"] == name]
    pod = group["template"]["spec"]
    made: dict[str, Any] = {}
    if name == "head":
        flags = {e["name"]: e.get("value") for e in pod["containers"][0]["env"]}["SERVE_FLAGS"]
        made["serveFlags"] = "" if spec.get("enableInTreeAutoscaling") else flags
    else:
        made |= {k: group[k] for k in ("replicas", "minReplicas", "maxReplicas")}
    if name == "pool":
        made["cpus"] = int(group["rayStartParams"]["num-cpus"])
    if "resources" in group:
        made["rayResources"] = group["resources"]
    made["resources"] = pod["containers"][0]["resources"]
    made["nodeSelector"] = pod.get("nodeSelector", {})
    made["tolerations"] = pod.get("tolerations", [])
    return made


def one(objects: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """The only object of a kind."""
    (found,) = [o for o in objects if o["kind"] == kind]
    return found


def base_values() -> dict[str, Any]:
    """The chart's values, as base/ and the components have them."""
    cluster = one(rendered(DEPLOY / "base"), "RayCluster")
    made: dict[str, Any] = {
        "nameOverride": "",
        "image": {"repository": "rewardplane", "tag": ""},
        "imagePullSecrets": [],
        "insecure": False,
        "config": {},
        "files": {},
        "networkPolicy": {"from": []},
        "disruptionBudgets": {"enabled": False},
        "head": group_values("head", cluster),
        "pool": {**group_values("pool", cluster), "minAvailable": 0},
    }
    for component, switch in COMPONENTS.items():
        made[switch] = {"enabled": False}
        (spec,) = documents(DEPLOY / component / "kustomization.yaml")
        for patch in spec.get("patches", []):
            for change in documents(DEPLOY / component / patch["path"])[0]:
                group = change.get("value")
                if change["path"].endswith("workerGroupSpecs/-"):
                    whole = {"spec": {"workerGroupSpecs": [group]}}
                    made[switch] |= group_values(group["groupName"], whole)
                if component == "redis":
                    made[switch]["address"] = group["redisAddress"]
                if component == "rocksdb":
                    made[switch]["size"] = group["storage"]["size"]
                if change["path"].endswith("autoscalerOptions"):
                    made[switch]["idleTimeoutSeconds"] = group["idleTimeoutSeconds"]
    made["sandbox"]["minAvailable"] = 0
    made["gpu"]["image"] = {"repository": "rewardplane-gpu", "tag": ""}
    made["guestKernel"] |= {"runtimeClassName": "gvisor", "kernel": "gvisor"}
    (route,) = documents(DEPLOY / "route" / "route.yaml")
    made["route"] |= {k: route["spec"][k] for k in ("parentRefs", "hostnames")}
    return made


def named_components(folder: Path) -> set[str]:
    """The components of a kustomization and of those that it builds on."""
    (spec,) = documents(folder / "kustomization.yaml")
    found = {(folder / name).resolve().name for name in spec.get("components", [])}
    for name in spec.get("resources", []):
        if (folder / name).is_dir():
            found |= named_components(folder / name)
    return found


def overlay_values(overlay: str, defaults: dict[str, Any]) -> dict[str, Any]:
    """The values with which the chart renders an overlay: what differs from the defaults."""
    folder = DEPLOY / "overlays" / overlay
    objects = rendered(folder)
    cluster = one(objects, "RayCluster")
    named_ones = named_components(folder)
    made: dict[str, Any] = {s: {"enabled": True} for c, s in COMPONENTS.items() if c in named_ones}
    if (rewards := rewards_of(folder)) != DEPLOY / "base" / "rewards.yaml":
        (made["config"],) = documents(rewards)
    budgets = {o["metadata"]["name"]: o for o in objects if o["kind"] == "PodDisruptionBudget"}
    made["disruptionBudgets"] = {"enabled": "rewardplane-head" in budgets}
    env = {
        e["name"]: e.get("value")
        for e in cluster["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]["env"]
    }
    made["insecure"] = env["ACCESS"] == "--insecure"
    (policy,) = [
        o
        for o in objects
        if o["kind"] == "NetworkPolicy" and o["metadata"]["name"] == "rewardplane"
    ]
    made["networkPolicy"] = {"from": policy["spec"]["ingress"][1].get("from", [])}
    groups = {"head", *(g["groupName"] for g in cluster["spec"]["workerGroupSpecs"])}
    for name in GROUPS:
        if name in groups:
            made[name] = made.get(name, {}) | group_values(name, cluster)
        if (budget := budgets.get(f"rewardplane-{name}")) and name != "head":
            least = budget["spec"]["minAvailable"]
            if least != made[name]["replicas"] - 1:
                made[name]["minAvailable"] = least
    return different(made, defaults)


def rewards_of(folder: Path) -> Path:
    """The rewards.yaml that an overlay's pods get."""
    if (folder / "rewards.yaml").exists():
        return folder / "rewards.yaml"
    (spec,) = documents(folder / "kustomization.yaml")
    below = [(folder / name).resolve() for name in spec["resources"] if (folder / name).is_dir()]
    return rewards_of(below[0])


def different(made: Any, defaults: Any) -> Any:
    """What of values is not the default."""
    return {
        key: different(value, defaults[key])
        if isinstance(value, dict)
        and key != "config"
        and isinstance(defaults.get(key), dict)
        and defaults[key]
        and set(value) <= set(defaults[key])
        else value
        for key, value in made.items()
        if value != defaults.get(key)
    }


def commented(values: dict[str, Any]) -> str:
    """values.yaml."""
    parts: list[str] = []
    for key, value in values.items():
        doc = DOCS.get(key) or comment_of(key)
        parts.append("".join(f"# {line}\n" for line in doc.splitlines()) + dumped(key, value))
    head = "# Made by deploy/chart from the kustomizations of deploy/: not to be edited.\n\n"
    return head + "\n".join(parts)


def dumped(key: str, value: Any, indent: int = 0) -> str:
    """One value: mappings by lines, down to those that hold no others."""
    pad = " " * indent
    if isinstance(value, dict) and value and (not indent or has_mappings(value)):
        return f"{pad}{key}:\n" + "".join(dumped(k, v, indent + 2) for k, v in value.items())
    flow = yaml.safe_dump([value], default_flow_style=True, width=10**6, sort_keys=False).strip()
    return f"{pad}{scalar(key)}: {flow[1:-1]}\n"


def has_mappings(value: dict[str, Any]) -> bool:
    """Whether mappings stand in it."""
    return any(isinstance(v, dict) and v for v in value.values())


def comment_of(switch: str) -> str:
    """What a component says of itself, at the head of its kustomization."""
    (component,) = [c for c, name in COMPONENTS.items() if name == switch]
    text = (DEPLOY / component / "kustomization.yaml").read_text()
    told = [line[2:] for line in text.splitlines() if line.startswith("# ")]
    return "\n".join(told)


FREE = ("config", "files", "resources", "rayResources", "nodeSelector")
"""Values that may hold any keys."""


def schema(values: Any, key: str = "") -> dict[str, Any]:
    """values.schema.json: what is not known is refused."""
    if isinstance(values, dict) and key not in FREE:
        properties = {k: schema(v, k) for k, v in values.items()}
        return {"type": "object", "additionalProperties": False, "properties": properties}
    kinds = {bool: "boolean", int: "integer", str: "string", list: "array", dict: "object"}
    return {"type": kinds[type(values)]}
