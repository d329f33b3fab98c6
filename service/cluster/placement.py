"""What replicas want of a cluster's nodes, and what the nodes have."""
# pyright: basic

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rewardplane.config.models import ModelConfig
from rewardplane.host.progress import DeployFailed

from .names import GATEWAY, GATEWAY_APP, GATEWAY_LABEL, NO_GATEWAY, Deployed, entry_of


def actor_options(part: Deployed) -> dict[str, Any]:
    """What Ray gives a replica: one CPU; none for an inline reward: overflow is rare.

    A model says what it wants.
    """
    if isinstance(part, ModelConfig):
        return {"num_cpus": part.settings.cpus, "num_gpus": part.settings.gpus}
    return {"num_cpus": 0 if part.lane == "inline" else 1, **part.settings.ray_actor_options}


def wanted(part: Deployed) -> dict[str, float]:
    """What a replica takes of a node, by Ray's names."""
    options = actor_options(part)
    of = {"CPU": options["num_cpus"], "GPU": options.get("num_gpus")}
    of |= {"memory": options.get("memory"), **(options.get("resources") or {})}
    return {name: float(amount) for name, amount in of.items() if amount}


def check(parts: Iterable[Deployed]) -> None:
    """Refuses rewards and models of which no node could ever hold a replica.

    Raises:
        DeployFailed: with what a replica wants and what there is, all of them at once.
    """
    faults = [f"{entry_of(part)}: {text}" for part in parts if (text := too_large(part))]
    if faults:
        raise DeployFailed("\n".join(faults))


def too_large(part: Deployed) -> str:
    """What a replica wants that no node has; empty where one has it all."""
    want = wanted(part)
    have = [node["Resources"] for node in _alive()]
    if not have or any(all(n.get(k, 0) >= v for k, v in want.items()) for n in have):
        return ""
    most = {name: max(node.get(name, 0) for node in have) for name in want}
    short = {name: most[name] for name, amount in want.items() if amount > most[name]} or most
    return f"a replica wants {_told(want)}; no node has more than {_told(short)}"


def shortage(part: Deployed) -> str:
    """What a replica that does not start wants, and what of it is free in the cluster."""
    import ray

    if text := too_large(part):
        return text
    want = wanted(part)
    free: Mapping[str, float] = ray.available_resources()
    if not want or all(free.get(name, 0) >= amount for name, amount in want.items()):
        return ""
    left = {name: free.get(name, 0) for name in want}
    return f"a replica wants {_told(want)}; the cluster has {_told(left)} free"


def gateway_nodes(most: int) -> int:
    """How many nodes are there to run a gateway; `most`: not more than so many, 0: all."""
    count = sum(node.get("Labels", {}).get(GATEWAY_LABEL) != NO_GATEWAY for node in _alive())
    return min(count, most) if most else count


def _alive() -> list[dict[str, Any]]:
    import ray

    return [node for node in ray.nodes() if node["Alive"]]


def _told(amounts: Mapping[str, float]) -> str:
    return ", ".join(f"{amount:g} {name}" for name, amount in amounts.items()) or "nothing"


def scale_gateways(count: int, timeout_s: float) -> None:
    """Has so many gateways run. Serve has no public way to scale by hand what a program deployed.

    Raises:
        RayError: Serve's controller does not answer in time.
    """
    import ray
    from ray.serve._private.common import DeploymentID
    from ray.serve.context import _get_global_client

    client: Any = _get_global_client()
    of = DeploymentID(name=GATEWAY, app_name=GATEWAY_APP)
    ray.get(client._controller.update_deployment_replicas.remote(of, count), timeout=timeout_s)
