"""What replicas want of a cluster's nodes, and what the nodes have."""
# pyright: basic

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rewardplane.config.load import RewardConfig
from rewardplane.host.progress import DeployFailed

from .names import GATEWAY_LABEL, NO_GATEWAY


def actor_options(reward: RewardConfig) -> dict[str, Any]:
    """What Ray gives a replica: one CPU; none for an inline reward: overflow is rare."""
    return {"num_cpus": 0 if reward.lane == "inline" else 1, **reward.settings.ray_actor_options}


def wanted(reward: RewardConfig) -> dict[str, float]:
    """What a replica takes of a node, by Ray's names."""
    options = actor_options(reward)
    of = {"CPU": options["num_cpus"], "GPU": options.get("num_gpus")}
    of |= {"memory": options.get("memory"), **(options.get("resources") or {})}
    return {name: float(amount) for name, amount in of.items() if amount}


def check(rewards: Iterable[RewardConfig]) -> None:
    """Refuses rewards of which no node could ever hold a replica.

    Raises:
        DeployFailed: with what a replica wants and what there is, all such rewards at once.
    """
    faults = [f"rewards.{r.name}: {text}" for r in rewards if (text := too_large(r))]
    if faults:
        raise DeployFailed("\n".join(faults))


def too_large(reward: RewardConfig) -> str:
    """What a replica wants that no node has; empty where one has it all."""
    want = wanted(reward)
    have = [node["Resources"] for node in _alive()]
    if not have or any(all(n.get(k, 0) >= v for k, v in want.items()) for n in have):
        return ""
    most = {name: max(node.get(name, 0) for node in have) for name in want}
    short = {name: most[name] for name, amount in want.items() if amount > most[name]} or most
    return f"a replica wants {_told(want)}; no node has more than {_told(short)}"


def shortage(reward: RewardConfig) -> str:
    """What a replica that does not start wants, and what of it is free in the cluster."""
    import ray

    if text := too_large(reward):
        return text
    want = wanted(reward)
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
