"""Makes the Helm chart of deploy/helm from the kustomizations beside it.

    python -m deploy.chart [--check]

From `base/` and the components come the templates; each component is switched on by a value. From
the overlays come files of values, with which the chart renders what the overlay renders. What an
overlay changes and no value covers is an error here. `--check` only compares.
"""

from __future__ import annotations

import argparse
import copy
import json
import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support.rendered import DEPLOY, documents, rendered

CHART = DEPLOY / "helm"
HEADER = (
    "{{- /* Made by deploy/chart.py from the kustomizations of deploy/: not to be edited. */}}\n"
)
NAME = '{{ include "rewardplane.name" . }}'
COMPONENTS = {  # in the order of the worker groups; the name of the switch
    "egress": "egress",
    "monitoring": "monitoring",
    "sandbox": "sandbox",
    "guest-kernel": "guestKernel",
    "gpu": "gpu",
    "mtls": "mtls",
    "redis": "redis",
    "priority": "priorityClasses",
    "route": "route",
    "autoscaled": "autoscaled",
}
OVERLAYS = sorted(p.parent.name for p in (DEPLOY / "overlays").glob("*/kustomization.yaml"))
GROUPS = ("head", "pool", "sandbox", "gpu")
NOT_OURS = re.compile(r"^rewardplane(-[a-z]+)*$")
"""A name of one of the objects; in a chart it begins with the release's."""


# ---- the parts of a template that are no constants ------------------------------------------------


@dataclass(frozen=True)
class Value:
    """What a value of the chart says; `tree`: not a scalar; `quoted`: a string in any case."""

    path: str
    tree: bool = False
    quoted: bool = False

    @property
    def text(self) -> str:
        """As the template has it in one line."""
        return "{{ .Values." + self.path + (" | quote" if self.quoted else "") + " }}"


@dataclass(frozen=True)
class Text:
    """A scalar that is a template."""

    text: str


@dataclass(frozen=True)
class When:
    """There only where a value says so."""

    switch: str
    node: Any


@dataclass(frozen=True)
class Choice:
    """One or the other."""

    switch: str
    then: Any
    otherwise: Any


@dataclass(frozen=True)
class Given:
    """There where the value is not empty, and is it."""

    path: str


# ---- YAML with templates in it --------------------------------------------------------------------


def scalar(value: object) -> str:
    """A constant, on one line."""
    if isinstance(value, str):
        value = value.replace("{{", '{{ "{{" }}')
        line = yaml.safe_dump(value, width=10**6, default_style=None).splitlines()[0]
        return line if "\n" not in value else json.dumps(value)
    return json.dumps(value)


def lines(node: Any, indent: int) -> list[str]:
    """The lines of a mapping or a sequence that is not empty."""
    pad = " " * indent
    found: list[str] = []
    if isinstance(node, dict):
        for key, value in node.items():
            found += entry(scalar(key), value, indent)
        return found
    for value in node:
        if isinstance(value, When):
            found += ["{{- if " + value.switch + " }}", *lines([value.node], indent), "{{- end }}"]
        elif isinstance(value, dict) and value:
            of = lines(value, indent + 2)
            if of[0].startswith("{{"):
                found += [f"{pad}-", *of]
            else:
                found += [f"{pad}- {of[0].lstrip()}", *of[1:]]
        else:
            found.append(f"{pad}- {inline(value)}")
    return found


def entry(key: str, value: Any, indent: int) -> list[str]:
    """The lines of one key."""
    pad = " " * indent
    match value:
        case When(switch, node):
            return ["{{- if " + switch + " }}", *entry(key, node, indent), "{{- end }}"]
        case Choice(switch, then, otherwise):
            other = entry(key, otherwise, indent)
            return [
                "{{- if " + switch + " }}",
                *entry(key, then, indent),
                "{{- else }}",
                *other,
            ] + ["{{- end }}"]
        case Given(path):
            made = f"{pad}{key}: " + "{{- toYaml . | nindent " + str(indent + 2) + " }}"
            return ["{{- with .Values." + path + " }}", made, "{{- end }}"]
        case Value(path, tree=True):
            return [
                f"{pad}{key}: " + "{{- toYaml .Values." + path + f" | nindent {indent + 2} }}}}"
            ]
        case dict() | list() if value:
            return [f"{pad}{key}:", *lines(value, indent + 2)]
        case _:
            return [f"{pad}{key}: {inline(value)}"]


def inline(value: Any) -> str:
    """A scalar, a template, or an empty collection."""
    return value.text if isinstance(value, Value | Text) else scalar(value)


# ---- what of the objects is a value ---------------------------------------------------------------


def named(node: Any, key: str = "") -> Any:
    """The same with the release's name in place of ours."""
    if isinstance(node, dict):
        return {k: named(v, k) for k, v in node.items()}
    if isinstance(node, list):
        return [named(v, key) for v in node]
    if isinstance(node, str) and key != "app.kubernetes.io/name":
        if NOT_OURS.match(node) and key != "image":
            return Text(NAME + node.removeprefix("rewardplane"))
        if node.startswith("rewardplane.rewardplane"):
            rest = node.removeprefix("rewardplane.rewardplane")
            return Text(f"{NAME}.{{{{ .Release.Namespace }}}}{rest}")
    return node


def group_of(group: dict[str, Any], name: str) -> dict[str, Any]:
    """A group of pods, with its values."""
    made = named(group)
    if name != "head":
        made["groupName"] = name
        for key in ("replicas", "minReplicas", "maxReplicas"):
            made[key] = Value(f"{name}.{key}")
    if name == "pool":
        made["rayStartParams"] = {"num-cpus": Value("pool.cpus", quoted=True)}
    if "resources" in made:
        made["resources"] = Value(f"{name}.rayResources", tree=True)
    pod = made["template"]["spec"]
    (container,) = pod["containers"]
    of = "gpu.image" if name == "gpu" else "image"
    container["image"] = Text(
        f"{{{{ .Values.{of}.repository }}}}:{{{{ .Values.{of}.tag | default .Chart.AppVersion }}}}"
    )
    container["resources"] = Value(f"{name}.resources", tree=True)
    for key in ("nodeSelector", "tolerations"):
        pod[key] = Given(f"{name}.{key}")
    pod["imagePullSecrets"] = Given("imagePullSecrets")
    return made


def ray_cluster(found: dict[str, Any]) -> dict[str, Any]:
    """The RayCluster of base, with its values."""
    spec = found["spec"]
    made = named({k: v for k, v in found.items() if k != "spec"})
    made["spec"] = {
        **{k: v for k, v in spec.items() if k not in ("headGroupSpec", "workerGroupSpecs")},
        "headGroupSpec": group_of(spec["headGroupSpec"], "head"),
        "workerGroupSpecs": [group_of(g, g["groupName"]) for g in spec["workerGroupSpecs"]],
    }
    env = made["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]["env"]
    told = {e["name"]: e for e in env}
    told["SERVE_FLAGS"]["value"] = Value("head.serveFlags", quoted=True)
    told["ACCESS"]["value"] = Choice(".Values.insecure", "--insecure", told["ACCESS"]["value"])
    return made


def patched(target: dict[str, Any], changes: list[dict[str, Any]], switch: str) -> None:
    """Puts a component's patch in, where the switch says so."""
    for change in changes:
        *above, last = [int(p) if p.isdigit() else p for p in change["path"].split("/")[1:]]
        place: Any = target
        for part in above:
            place = place[part]
            place = place.node if isinstance(place, When) else place
        op, value = change["op"], named(change.get("value"))
        if last == "-":
            if above[-1] == "workerGroupSpecs":
                value = group_of(change["value"], change["value"]["groupName"])
            place.append(When(switch, value))
        elif op == "test":
            assert place[last] == value, change
        elif op == "remove":
            place[last] = When(f"not {switch}", place[last])
        elif op == "add":
            place[last] = When(switch, value)
        elif not (isinstance(place[last], Value) and place[last].path.startswith("pool.")):
            # The number of workers is a value already.
            place[last] = Choice(switch, value, place[last])


def special(made: dict[str, Any]) -> None:
    """Values of single objects."""
    kind, name = made["kind"], made["metadata"]["name"]
    name = name.text.removeprefix(NAME) if isinstance(name, Text) else name
    if kind == "NetworkPolicy" and not name:
        made["spec"]["ingress"][1] = {"from": Given("networkPolicy.from")} | made["spec"][
            "ingress"
        ][1]
    if kind == "PodDisruptionBudget" and name != "-head":
        group = name.removeprefix("-")
        made["spec"]["minAvailable"] = Text(
            f"{{{{ .Values.{group}.minAvailable | default (sub (int .Values.{group}.replicas) 1) }}}}"
        )
    if kind == "GRPCRoute":
        made["spec"]["parentRefs"] = Value("route.parentRefs", tree=True)
        made["spec"]["hostnames"] = Value("route.hostnames", tree=True)
    made["metadata"]["labels"] = {
        **{k: v for k, v in made["metadata"].get("labels", {}).items()},
        "app.kubernetes.io/part-of": "rewardplane",
        "app.kubernetes.io/instance": Text("{{ .Release.Name }}"),
        "app.kubernetes.io/managed-by": Text("{{ .Release.Service }}"),
        "helm.sh/chart": Text("{{ .Chart.Name }}-{{ .Chart.Version }}"),
    }


RULES = """\
{{- $rule := .Files.Get "files/alerts.yaml" | fromYaml }}
spec:
  {{- toYaml $rule.spec | replace "rewardplane-metrics" (printf "%s-metrics" (include "rewardplane.name" .)) | nindent 2 }}
"""
CONFIG = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "rewardplane.name" . }}-config
  labels:
    app.kubernetes.io/part-of: rewardplane
data:
  head.sh: |
    {{- .Files.Get "files/head.sh" | nindent 4 }}
  rewards.yaml: |
    {{- .Values.config | empty | ternary (.Files.Get "files/rewards.yaml") (toYaml .Values.config) | nindent 4 }}
  {{- range $name, $text := .Values.files }}
  {{ $name }}: |
    {{- $text | nindent 4 }}
  {{- end }}
"""
DASHBOARD = """\
{{- if .Values.monitoring.enabled }}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "rewardplane.name" . }}-dashboard
  labels:
    app.kubernetes.io/part-of: rewardplane
    grafana_dashboard: "1"
data:
  rewardplane.json: |
    {{- .Files.Get "files/dashboard.json" | nindent 4 }}
{{- end }}
"""
HELPERS = """\
{{- define "rewardplane.name" -}}
{{ .Values.nameOverride | default .Release.Name }}
{{- end -}}
"""
NOTES = """\
The operator makes the pods; they are ready in about a minute:
  kubectl get pods -n {{ .Release.Namespace }} -l ray.io/cluster={{ include "rewardplane.name" . }} -w
Trainers use  dns:///{{ include "rewardplane.name" . }}.{{ .Release.Namespace }}:50051
{{- if not .Values.insecure }}
Who may call is in the secret {{ include "rewardplane.name" . }}-access; without it nobody is served:
  kubectl create secret generic {{ include "rewardplane.name" . }}-access -n {{ .Release.Namespace }} --from-file=access.yaml --from-file=tokens
{{- end }}
After a change of `config`: helm upgrade, wait a minute for the kubelet, then
  kubectl exec -n {{ .Release.Namespace }} -c ray-head "$(kubectl get pod -n {{ .Release.Namespace }} -l ray.io/cluster={{ include "rewardplane.name" . }},ray.io/node-type=head -o name)" -- rewardplane reload
"""


def templates() -> dict[str, str]:
    """The chart's templates by their names."""
    files: dict[str, list[str]] = {}

    def put(file: str, made: dict[str, Any], switch: str = "") -> None:
        special(made)
        body = "\n".join(lines(made, 0)) + "\n"
        if made["kind"] == "PrometheusRule":
            body += RULES
        if switch:
            body = "{{- if " + switch + " }}\n" + body + "{{- end }}\n"
        files.setdefault(file, []).append(body)

    base = copy.deepcopy(rendered(DEPLOY / "base"))
    (cluster,) = [ray_cluster(o) for o in base if o["kind"] == "RayCluster"]
    for made in base:
        if made["kind"] != "RayCluster":
            put(made["kind"].lower(), named(made))
    for budget in documents(DEPLOY / "overlays" / "prod" / "pdb.yaml"):
        put("poddisruptionbudget", named(budget), ".Values.disruptionBudgets.enabled")
    for component, switch in COMPONENTS.items():
        folder, on = DEPLOY / component, f".Values.{switch}.enabled"
        (spec,) = documents(folder / "kustomization.yaml")
        for name in spec.get("resources", []):
            for made in copy.deepcopy(documents(folder / name)):
                if made["kind"] == "PrometheusRule":
                    del made["spec"]  # its braces are Prometheus' own
                put(component, named(made), on)
        for patch in spec.get("patches", []):
            assert patch["target"]["kind"] == "RayCluster", patch
            (changes,) = documents(folder / patch["path"])
            patched(cluster, copy.deepcopy(changes), on)
    values_of(cluster)
    put("raycluster", cluster)
    return {
        **{f"{n}.yaml": HEADER + "---\n".join(parts) for n, parts in files.items()},
        "config.yaml": HEADER + CONFIG,
        "dashboard.yaml": HEADER + DASHBOARD,
        "_helpers.tpl": HELPERS,
        "NOTES.txt": NOTES,
    }


def values_of(cluster: dict[str, Any]) -> None:
    """Values of what the components brought to the RayCluster."""
    spec = cluster["spec"]
    redis = spec["gcsFaultToleranceOptions"].node
    redis["redisAddress"] = Value("redis.address")
    options = spec["autoscalerOptions"].node
    options["idleTimeoutSeconds"] = Value("autoscaled.idleTimeoutSeconds")
    (sandbox,) = [
        g.node
        for g in spec["workerGroupSpecs"]
        if isinstance(g, When) and g.node["groupName"] == "sandbox"
    ]
    pod = sandbox["template"]["spec"]
    on = pod["runtimeClassName"].switch
    pod["runtimeClassName"] = When(on, Value("guestKernel.runtimeClassName"))
    (kernel,) = [e.node for e in pod["containers"][0]["env"] if isinstance(e, When)]
    kernel["value"] = Value("guestKernel.kernel")


# ---- values ---------------------------------------------------------------------------------------

DOCS = {
    "nameOverride": "The name of all objects; else the release's.",
    "image": "The image of the Dockerfile's target `cpu`, in your registry. `tag`: else the chart's appVersion.",
    "imagePullSecrets": "[{name: ...}]",
    "insecure": "Nobody is asked who calls: for a cluster of your own. Else the secret NAME-access says.",
    "config": "rewards.yaml (docs/operating.md); empty: that of files/.",
    "files": "Files beside it: {my_rewards.py: |-text}; with --set-file files.my_rewards\\.py=my_rewards.py",
    "networkPolicy": "Whose pods may reach the gateways' ports; empty: all.",
    "disruptionBudgets": "One worker at a time, and never the head.",
    "head": "Ray's control plane and `rewardplane serve`; `serveFlags`: further flags of it.",
    "pool": "The workers. `cpus`: for replicas, one less than the pod's. `minAvailable`: of the budget; 0: `replicas` less one.",
    **{k: "" for k in ("sandbox", "gpu")},
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
    made |= {"nodeSelector": pod.get("nodeSelector", {}), "tolerations": pod.get("tolerations", [])}
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
                if change["path"].endswith("gcsFaultToleranceOptions"):
                    made[switch]["address"] = group["redisAddress"]
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
    head = "# Made by deploy/chart.py from the kustomizations of deploy/: not to be edited.\n\n"
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


def chart() -> dict[str, str]:
    """All files of the chart."""
    version = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text())["project"]["version"]
    values = base_values()
    about = {
        "apiVersion": "v2",
        "name": "rewardplane",
        "description": "A reward service for RL fine-tuning of language models, on KubeRay",
        "type": "application",
        "version": version,
        "appVersion": version,
        "kubeVersion": ">=1.29.0-0",
    }
    checked = {"$schema": "http://json-schema.org/draft-07/schema#", **schema(values)}
    checked["properties"]["global"] = {"type": "object"}  # which Helm adds
    made = {
        "Chart.yaml": yaml.safe_dump(about, sort_keys=False),
        "values.yaml": commented(values),
        "values.schema.json": json.dumps(checked, indent=2) + "\n",
    }
    made |= {f"templates/{name}": text for name, text in templates().items()}
    for overlay in OVERLAYS:
        told = f"# What deploy/overlays/{overlay} says: helm install -f overlays/{overlay}.yaml\n"
        text = "".join(dumped(k, v) for k, v in overlay_values(overlay, values).items())
        made[f"overlays/{overlay}.yaml"] = told + text
    return made


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    made = chart()
    there = {
        str(p.relative_to(CHART))
        for p in CHART.rglob("*")
        if p.is_file() and not p.is_symlink() and p.name != ".helmignore"
    }
    stale = sorted(there - set(made))
    changed = [n for n, t in made.items() if n not in there or (CHART / n).read_text() != t]
    if args.check:
        if stale or changed:
            sys.exit(f"deploy/helm is not what `make chart` makes: {[*stale, *changed]}")
        return
    for name in stale:
        (CHART / name).unlink()
    for name in changed:
        path = CHART / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(made[name])


if __name__ == "__main__":
    main()
