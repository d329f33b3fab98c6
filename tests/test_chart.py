"""The Helm chart of deploy/helm is that of `make chart`, and renders what the overlays render.

By the real Helm, which `make helm` brings; without it these tests are skipped.
"""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from .support.rendered import DEPLOY, KUBECTL, command, overlaid, rendered

ROOT = Path(__file__).parents[1]
CHART = DEPLOY / "helm"
HELM = command("helm")
OVERLAYS = sorted(path.stem for path in (CHART / "overlays").glob("*.yaml"))
needs_helm = pytest.mark.skipif(not HELM, reason="there is no helm: `make helm`")


def helm(*arguments: str, name: str = "rewardplane") -> list[dict[str, Any]]:
    """What Helm makes of the chart."""
    line = [HELM, "template", name, str(CHART), "--namespace", "rewardplane", *arguments]
    made = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert made.returncode == 0, made.stderr
    return [o for o in yaml.safe_load_all(made.stdout) if o]


def by_name(objects: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    """Objects without what differs: the namespace, and labels that tell who made them."""
    found = {}
    for made in copy.deepcopy(objects):
        metadata = made["metadata"]
        metadata.pop("namespace", None)
        labels = metadata.get("labels", {})
        kept = {k: v for k, v in labels.items() if "helm" not in k and "/part-of" not in k}
        for label in ("app.kubernetes.io/instance", "app.kubernetes.io/managed-by"):
            kept.pop(label, None)
        metadata.pop("labels", None)
        if kept:
            metadata["labels"] = kept
        if made["kind"] == "ConfigMap":
            made["data"] = {
                k: yaml.safe_load(v) if k.endswith("yaml") else v.strip()
                for k, v in made["data"].items()
            }
        found[made["kind"], metadata["name"]] = made
    return found


def test_the_chart_is_that_of_the_kustomizations() -> None:
    line = [sys.executable, "-m", "deploy.chart", "--check"]
    told = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr


@needs_helm
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_chart_renders_what_an_overlay_renders(overlay: str) -> None:
    made = by_name(helm("-f", str(CHART / "overlays" / f"{overlay}.yaml")))
    wanted = by_name(rendered(DEPLOY / "overlays" / overlay))
    assert {k: v for k, v in made.items() if k[0] != "ConfigMap"} == wanted
    config = made["ConfigMap", "rewardplane-config"]["data"]
    assert config["head.sh"] == (DEPLOY / "base" / "head.sh").read_text().strip()


@needs_helm
@pytest.mark.skipif(not KUBECTL, reason="there is no kubectl: `make helm`")
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_chart_renders_what_kustomize_renders(overlay: str) -> None:
    line = [KUBECTL, "kustomize", str(DEPLOY / "overlays" / overlay)]
    told = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    wanted = by_name(list(yaml.safe_load_all(told)))
    assert by_name(helm("-f", str(CHART / "overlays" / f"{overlay}.yaml"))) == wanted


@needs_helm
@pytest.mark.parametrize(
    "component",
    ["priority", "route", "redis", "rocksdb", "autoscaled", "sandbox", "gpu", "http", "keys"],
)
def test_a_component_is_switched_on_by_itself(component: str) -> None:
    switch = {"priority": "priorityClasses"}.get(component, component)
    made = by_name(helm("--set", f"{switch}.enabled=true"))
    made.pop(("ConfigMap", "rewardplane-config"))
    wanted = by_name(overlaid(DEPLOY / "base", DEPLOY / component))
    if component == "autoscaled":  # the number of workers is a value
        for group in made["RayCluster", "rewardplane"]["spec"]["workerGroupSpecs"]:
            group |= {"minReplicas": 2, "maxReplicas": 16}
    assert made == wanted


@needs_helm
def test_values_reach_the_objects() -> None:
    made = helm(
        *("--set", "image.repository=registry.example/rewardplane,image.tag=0.2.0"),
        *("--set", "pool.replicas=6,pool.minReplicas=6,pool.maxReplicas=6"),
        *("--set", "disruptionBudgets.enabled=true,imagePullSecrets[0].name=regcred"),
        *("--set", "pool.nodeSelector.disk=fast,config.rewards.mine.kind=exact"),
        *("--set-string", "files.my\\.py=X = 1"),
        name="green",
    )
    objects = {(o["kind"], o["metadata"]["name"]): o for o in made}
    assert all(name.startswith("green") for _kind, name in objects)
    spec = objects["RayCluster", "green"]["spec"]
    pods = [g["template"]["spec"] for g in (spec["headGroupSpec"], *spec["workerGroupSpecs"])]
    images = {c["image"] for pod in pods for c in pod["containers"]}
    assert images == {"registry.example/rewardplane:0.2.0"}
    assert all(pod["imagePullSecrets"] == [{"name": "regcred"}] for pod in pods)
    assert [pod.get("nodeSelector") for pod in pods] == [None, {"disk": "fast"}]
    assert objects["PodDisruptionBudget", "green-pool"]["spec"]["minAvailable"] == 5
    selector = objects["Service", "green"]["spec"]["selector"]
    assert selector["ray.io/cluster"] == "green"
    data = objects["ConfigMap", "green-config"]["data"]
    assert yaml.safe_load(data["rewards.yaml"]) == {"rewards": {"mine": {"kind": "exact"}}}
    assert data["my.py"].strip() == "X = 1"


@needs_helm
@pytest.mark.parametrize("wrong", ["pool.replica=3", "sandbx.enabled=true", "insecure=maybe"])
def test_a_value_that_is_not_known_is_refused(wrong: str) -> None:
    with pytest.raises(AssertionError, match=wrong.replace("=", ".").partition(".")[0]):
        helm("--set", wrong)


@needs_helm
def test_helm_lints_the_chart() -> None:
    told = subprocess.run([HELM, "lint", "--strict", str(CHART)], capture_output=True, check=False)
    assert told.returncode == 0, told.stdout.decode()
