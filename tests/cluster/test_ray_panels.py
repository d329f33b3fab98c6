"""What the dashboard and the alerts show of models, and of lost replicas, in a real Prometheus."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rewardplane.client.client import RewardClient
from rewardplane.config.load import parse
from rewardplane.rewards import Content, Example, Group, Part, Reason, Response, Score, ScoreError

from ..support.endpoint_server import serving
from ..support.functions.stub_model import number_of
from ..support.prometheus import (
    ONLY_ON_RAY,
    PROMETHEUS,
    Prometheus,
    measured,
    panels,
    prometheus,
    rules,
)
from .conftest import CPUS, FOLDER, rewards

if TYPE_CHECKING:
    from .conftest import Service

pytestmark = [
    pytest.mark.ray,
    pytest.mark.timeout(300),
    pytest.mark.skipif(PROMETHEUS is None, reason="needs Debian's prometheus"),
]


GOLDEN = {"messages": [{"role": "user", "content": "a"}], "value": number_of("a")}
STUBS = str(Path(__file__).parent.parent / "support" / "functions")
STUB = {
    **{"runs": "python", "path": "stub_model:StubModel", "head": "scalar", "cpus": 0.1},
    "engine": {"python_path": [STUBS]},
}
SCALED = {"kind": "math", "replicas": {"min": 1, "max": 2}, **CPUS}
TOLD_S = 30.0
"""How long it may take until Prometheus has scraped what there is."""


def group(*texts: str) -> Group:
    return Group(Example(references={"answer": "1"}), [Response(text) for text in texts])


async def test_models_and_lost_replicas_have_data(service: Service, tmp_path: Path) -> None:
    asked = [
        *panels(),
        *(
            (rule["alert"], part)
            for rules_of in rules()["groups"]
            for rule in rules_of["rules"]
            for part in measured(rule["expr"])
        ),
    ]
    wanted = [pair for pair in asked if any(name in pair[1] for name in ONLY_ON_RAY)]
    assert {title for title, _ in wanted} == {
        "Models: questions",
        "Models: tokens",
        "Models: noise",
        "RewardplaneModelChanged",
        "Scaled rewards: replicas",
        "Scaled rewards: work to do",
        "RewardplaneNoRoomToScale",
    }
    async with serving() as endpoint, RewardClient(service.address) as client:
        given = rewards(
            good={"kind": "judge", "model": "m", "ask": "Is it good?"},
            number={"kind": "reward_model", "model": "own"},
            scaled=SCALED,
        )
        golden = tmp_path / "golden.jsonl"
        golden.write_text(json.dumps(GOLDEN) + "\n")
        given["models"] = {
            "m": {"runs": "endpoint", "base_url": endpoint.base_url, "name": "n", "cpus": 0.1},
            "own": {**STUB, "golden": str(golden)},
        }
        await asyncio.to_thread(service.cluster.reload, parse(given, FOLDER))
        try:
            with prometheus(tmp_path, {"gateway-0": service.metrics_port}) as it:
                (found,) = await client.score("good", [group("a", "a", "b")], timeout_s=60)
                assert all(isinstance(outcome, Score) for outcome in found)
                asked_of_it = Group(Example([Content("user", [Part("?")])]), [Response("a")])
                await client.score("number", [asked_of_it], timeout_s=60)
                await client.score("scaled", [group("a")], timeout_s=60)
                await lose_a_replica(service, client)
                endpoint.model = "another"
                (found,) = await client.score("good", [group("c")], timeout_s=60)
                assert [o.reason for o in found if isinstance(o, ScoreError)] == [
                    Reason.MODEL_CHANGED
                ]
                await told(it, wanted)
        finally:
            await asyncio.to_thread(service.cluster.reload, parse(rewards(), FOLDER))
            await asyncio.to_thread(service.cluster.upkeep)


async def lose_a_replica(service: Service, client: RewardClient) -> None:
    """Kills what runs a call; its items are run elsewhere."""
    while len(service.at_work("probe")) < 2:  # a gateway looks for replicas when there is work
        await client.score("probe", [group("ok")], timeout_s=60)
        await asyncio.sleep(0.1)
    call = asyncio.create_task(client.score("probe", [group("sleep 1"), group("sleep 1")]))
    await asyncio.sleep(0.3)
    for replica in service.at_work("probe"):
        replica.send_signal(signal.SIGKILL)
    await call


async def told(it: Prometheus, wanted: list[tuple[str, str]]) -> None:
    """Every query has data soon, and what was lost has been counted."""
    lost = 'rewardplane_retries_total{reward="probe"} > 0'
    until_s = time.monotonic() + TOLD_S
    for title, expression in (*wanted, ("retries", lost)):
        while not await asyncio.to_thread(it.query, expression):
            assert time.monotonic() < until_s, f"no data of {title}: {expression}"
            await asyncio.sleep(0.2)
