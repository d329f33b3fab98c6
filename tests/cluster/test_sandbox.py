"""Untrusted code on a real Ray cluster, by gRPC and by HTTP."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import psutil
import pytest
from rewardplane.client.client import RewardClient
from rewardplane.rewards import Example, Group, Response, Score

if TYPE_CHECKING:
    from .conftest import Service

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

HUMANEVAL = Path(__file__).parents[3] / "shared" / "data" / "humaneval_0_99.jsonl"


def tasks() -> list[dict[str, str]]:
    return [json.loads(line) for line in HUMANEVAL.read_text().splitlines()]


def group(task: dict[str, str], *bodies: str) -> Group:
    given = {name: task[name] for name in ("prompt", "entry_point", "test")}
    programs = [f"```python\n{task['prompt']}{body}\n```" for body in bodies]
    return Group(Example(references=given), [Response(program) for program in programs])


async def test_human_eval(service: Service) -> None:
    groups = [group(t, t["canonical_solution"], "    raise ValueError\n") for t in tasks()]
    async with RewardClient(service.address) as client:
        scores = await client.score("code", groups, timeout_s=200, min_isolation="namespaced")
    for right, wrong in scores:
        assert isinstance(right, Score)
        assert isinstance(wrong, Score)
        assert right.reward == 1.0
        assert wrong.reward < 1.0
    assert set(scores.isolation) <= {"namespaced", "guest_kernel"}


async def test_a_killed_replica_loses_nothing_and_leaves_no_orphan(service: Service) -> None:
    """Replicas of untrusted code are killed under load: every item has its score."""
    zygotes: set[psutil.Process] = set()

    async def load(client: RewardClient) -> None:
        groups = [group(t, t["canonical_solution"]) for t in tasks()[:40]]
        for outcomes in await client.score("code", groups, timeout_s=200):
            assert [o.reward for o in outcomes if isinstance(o, Score)] == [1.0], outcomes

    async with RewardClient(service.address) as client:
        await load(client)
        task = asyncio.create_task(load(client))
        await asyncio.sleep(0.3)
        victim = service.processes("rewardplane-code")[0]
        zygotes |= set(victim.children(recursive=True))
        victim.send_signal(signal.SIGKILL)
        await task
    assert zygotes
    _gone, alive = await asyncio.to_thread(psutil.wait_procs, zygotes, 10)
    assert not alive


async def test_a_tuning_jobs_call(service: Service) -> None:
    task = tasks()[0]
    call: dict[str, Any] = {
        "example": {"references": {name: task[name] for name in ("prompt", "entry_point", "test")}},
        "response": {"parts": [{"text": task["canonical_solution"]}]},
        "metadata": {"step": 3, "tuningJobId": "77"},
    }
    async with aiohttp.ClientSession(f"http://127.0.0.1:{service.http_port}") as client:
        async with client.post("/rewards/code", json=call) as answer:
            assert (answer.status, await answer.json()) == (200, {"reward": 1.0})
        call["response"]["parts"][0]["text"] = "    return None\n"
        async with client.post("/rewards/code", json=call) as answer:
            assert answer.status == 200
            assert (await answer.json())["reward"] < 1.0
