"""Replicas follow the work, on a real Ray cluster: up for a burst, down after it, from none."""

from __future__ import annotations

import asyncio
import logging
import time
import urllib.request
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from rewardplane.client.client import RewardClient
from rewardplane.config.load import parse
from rewardplane.rewards import Example, Group, Response, Score

from .conftest import CPUS, FOLDER, rewards

if TYPE_CHECKING:
    from .conftest import Service

pytestmark = [
    pytest.mark.ray,
    pytest.mark.timeout(300),
]

WAIT_S = 90.0
ITEM_S = 0.2

_log = logging.getLogger(__name__)


def scaled(least: int) -> dict[str, Any]:
    """A reward of which up to four replicas run."""
    return {
        "kind": "python",
        "function": "probes:probe",
        "replicas": {"min": least, "max": 4, "idle_s": 3},
        "timeout_s": 20,
        **CPUS,
    }


def sleepers(count: int, groups: int) -> list[Group]:
    """Groups of items that take `ITEM_S` each."""
    responses = [Response(f"sleep {ITEM_S}") for _ in range(count)]
    return [Group(Example(references={"group": f"g{k}"}), responses) for k in range(groups)]


def told_s(what: str, seconds: float) -> None:
    """A figure, for who runs this with `--log-cli-level=info`."""
    _log.info("%s: %.1f s", what, seconds)


async def until(holds: Callable[[], bool], seconds: float = WAIT_S) -> float:
    """Waits until something holds; how long that took."""
    begin_s = time.monotonic()
    while not holds():
        assert time.monotonic() - begin_s < seconds, "it does not become true"
        await asyncio.sleep(0.1)
    return time.monotonic() - begin_s


def gauges(service: Service, reward: str) -> dict[str, float]:
    """What the gateway tells of a reward's replicas."""
    url = f"http://127.0.0.1:{service.metrics_port}/metrics"
    with urllib.request.urlopen(url) as page:
        families = text_string_to_metric_families(page.read().decode())
    return {
        sample.name: sample.value
        for family in families
        for sample in family.samples
        if family.type == "gauge" and sample.labels == {"reward": reward}
    }


async def test_replicas_follow_a_burst_and_start_from_none(service: Service) -> None:
    added = parse(rewards(steps=scaled(1), rare=scaled(0)), FOLDER)
    await asyncio.to_thread(service.cluster.reload, added)

    def count(reward: str) -> int:
        return len(service.processes(f"rewardplane-{reward}"))

    try:
        async with RewardClient(service.address) as client:
            assert count("steps") == 1
            # From none: a call waits until a replica has started, and is answered.
            await until(lambda: count("rare") == 0)
            begin_s = time.monotonic()
            (outcomes,) = await client.score("rare", sleepers(2, 1), timeout_s=WAIT_S)
            told_s("from none to an answer", time.monotonic() - begin_s)
            assert [o.reward for o in outcomes if isinstance(o, Score)] == [3.0, 3.0]

            # A burst: 1 to 4, and back when it is over.
            await client.score("steps", sleepers(2, 1), timeout_s=60)  # its cost is known then
            begin_s = time.monotonic()
            burst = asyncio.create_task(client.score("steps", sleepers(12, 24), timeout_s=120))
            told_s("1 to 4", await until(lambda: count("steps") == 4))
            seen: list[int] = []
            while not burst.done():
                seen.append(count("steps"))
                await asyncio.sleep(0.2)
            told_s("the burst", time.monotonic() - begin_s)
            answered = [outcome for outcomes in await burst for outcome in outcomes]
            assert [o.reward for o in answered if isinstance(o, Score)] == [3.0] * 288
            assert set(seen) <= {4}, "it went down under a batch"
            told = gauges(service, "steps")
            assert told["rewardplane_replicas_wanted"] == 4
            told_s("4 to 1", await until(lambda: count("steps") == 1))
            await until(lambda: gauges(service, "steps")["rewardplane_replicas"] == 1)
            await until(lambda: count("rare") == 0)
    finally:
        await asyncio.to_thread(service.cluster.reload, parse(rewards(), FOLDER))
