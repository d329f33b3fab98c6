"""What kustomize makes of an overlay of deploy/: resources, components, JSON patches, namespace.

The part of kustomize that deploy/ uses; `tests/test_deploy.py` compares with the real one where
there is a kubectl.
"""

from __future__ import annotations

import copy
import os
import shutil
import sys
from functools import cache
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"


def command(name: str) -> str:
    """Where a command is, beside this Python (`make helm`) or on the path; empty: nowhere."""
    return shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}") or ""


KUBECTL = command("kubectl")


@cache
def documents(path: Path) -> list[Any]:
    """What a YAML file holds; not to be changed."""
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return [doc for doc in yaml.load_all(path.read_text(), Loader=loader) if doc is not None]


@cache
def rendered(folder: Path) -> list[dict[str, Any]]:
    """The objects of a kustomization, without those that it generates."""
    return _component(folder, [])


def overlaid(base: Path, *components: Path) -> list[dict[str, Any]]:
    """The objects of a kustomization with components, as an overlay of them would have them."""
    objects = rendered(base)
    for component in components:
        objects = _component(component, objects)
    return objects


def _component(folder: Path, objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    (spec,) = documents(folder / "kustomization.yaml")
    for name in spec.get("resources", []):
        path = folder / name
        objects = [*objects, *(rendered(path) if path.is_dir() else documents(path))]
    for name in spec.get("components", []):
        objects = _component(folder / name, objects)
    for patch in spec.get("patches", []):
        ((changes,),) = (documents(folder / patch["path"]),)
        target = patch["target"]
        objects = [_patched(o, changes) if _is_target(o, target) else o for o in objects]
    return objects


def _is_target(made: dict[str, Any], target: dict[str, str]) -> bool:
    name = made["metadata"]["name"]
    return made["kind"] == target["kind"] and target.get("name", name) == name


def _patched(target: dict[str, Any], changes: list[dict[str, Any]]) -> dict[str, Any]:
    target = copy.deepcopy(target)
    for change in changes:
        *above, last = [int(p) if p.isdigit() else p for p in change["path"].split("/")[1:]]
        place: Any = target
        for part in above:
            place = place[part]
        if change["op"] == "add" and last == "-":
            place.append(change["value"])
            continue
        if change["op"] == "test":
            assert place[last] == change["value"], change
            continue
        if change["op"] == "remove":
            del place[last]
            continue
        if change["op"] == "replace":
            assert type(place[last]) is type(change["value"]), change
        else:
            assert change["op"] == "add", change
            assert last not in place, change
        place[last] = change["value"]
    return target
