"""The chart's templates, from `base/` and the components."""

from __future__ import annotations

import copy
import re
from typing import Any

from tests.support.rendered import DEPLOY, documents, rendered

from .parts import Choice, Given, Text, Value, When, lines

COMPONENTS = {  # in the order of the worker groups; with the names of their switches
    "egress": "egress",
    "monitoring": "monitoring",
    "sandbox": "sandbox",
    "guest-kernel": "guestKernel",
    "gpu": "gpu",
    "mtls": "mtls",
    "http": "http",
    "keys": "keys",
    "redis": "redis",
    "rocksdb": "rocksdb",
    "priority": "priorityClasses",
    "route": "route",
    "autoscaled": "autoscaled",
}
HEADER = "{{- /* Made by deploy/chart from the kustomizations of deploy/: not to be edited. */}}\n"
NAME = '{{ include "rewardplane.name" . }}'
OURS = re.compile(r"^rewardplane(-[a-z]+)*$")
"""A name of one of the objects; in a chart it begins with the release's."""
RULES = """\
{{- $rule := .Files.Get "files/alerts.yaml" | fromYaml }}
{{- $job := printf "%s-metrics" (include "rewardplane.name" .) }}
spec:
  {{- toYaml $rule.spec | replace "rewardplane-metrics" $job | nindent 2 }}
"""


def named(node: Any, key: str = "") -> Any:
    """The same with the release's name in place of ours."""
    if isinstance(node, dict):
        return {k: named(v, k) for k, v in node.items()}
    if isinstance(node, list):
        return [named(v, key) for v in node]
    if isinstance(node, str) and key != "app.kubernetes.io/name":
        if OURS.match(node) and key != "image":
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
            # Of two components that add the same, the later one goes before.
            before = place.get(last)
            place[last] = Choice(switch, value, before) if before else When(switch, value)
        elif not (isinstance(place[last], Value) and place[last].path.startswith("pool.")):
            # The number of workers is a value already.
            place[last] = Choice(switch, value, place[last])


def special(made: dict[str, Any]) -> None:
    """Values of single objects."""
    kind, name = made["kind"], made["metadata"]["name"]
    name = name.text.removeprefix(NAME) if isinstance(name, Text) else name
    if kind == "NetworkPolicy" and not name:
        ingress = made["spec"]["ingress"]
        ingress[1] = {"from": Given("networkPolicy.from"), **ingress[1]}
    if kind == "PodDisruptionBudget" and name != "-head":
        group = name.removeprefix("-")
        made["spec"]["minAvailable"] = Text(
            f"{{{{ .Values.{group}.minAvailable"
            f" | default (sub (int .Values.{group}.replicas) 1) }}}}"
        )
    if kind == "GRPCRoute":
        made["spec"]["parentRefs"] = Value("route.parentRefs", tree=True)
        made["spec"]["hostnames"] = Value("route.hostnames", tree=True)
    made["metadata"]["labels"] = {
        **made["metadata"].get("labels", {}),
        "app.kubernetes.io/part-of": "rewardplane",
        "app.kubernetes.io/instance": Text("{{ .Release.Name }}"),
        "app.kubernetes.io/managed-by": Text("{{ .Release.Service }}"),
        "helm.sh/chart": Text("{{ .Chart.Name }}-{{ .Chart.Version }}"),
    }


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
    return {f"{n}.yaml": HEADER + "---\n".join(parts) for n, parts in files.items()}


def values_of(cluster: dict[str, Any]) -> None:
    """Values of what the components brought to the RayCluster."""
    spec = cluster["spec"]
    kept = spec["gcsFaultToleranceOptions"]
    kept.then["storage"]["size"] = Value("rocksdb.size")
    kept.otherwise.node["redisAddress"] = Value("redis.address")
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
