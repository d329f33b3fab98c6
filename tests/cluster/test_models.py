"""Models on a real Ray cluster: an engine's death, a poison item, new prompts and new weights."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from rewardplane.client.client import RewardClient
from rewardplane.config.load import parse
from rewardplane.host.progress import DeployFailed, Progress
from rewardplane.replica.own_folder import own_folder
from rewardplane.rewards import Content, Example, Group, Part, Reason, Response, Score, ScoreError

from ..support.functions.stub_model import number_of
from ..support.rig import FOLDER as STUBS
from .conftest import FOLDER, rewards

if TYPE_CHECKING:
    from .conftest import Service

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

RM = {"kind": "reward_model", "model": "m", "timeout_s": 20}
STUB = {"runs": "python", "path": "stub_model:StubModel", "head": "scalar", "cpus": 0.1}


@pytest.fixture
def serves(service: Service, tmp_path: Path) -> Iterator[Any]:
    """Has the service serve a model `m` and rewards that ask it; at the end it is as it was."""

    async def serve(
        model: dict[str, Any] | None = None,
        reward: dict[str, Any] | None = None,
        progress: Progress | None = None,
        **engine: Any,
    ) -> list[str]:
        engine = {"python_path": [str(STUBS)], "log": str(tmp_path / "log"), **engine}
        given = rewards(plain={**RM, **(reward or {})})
        given["models"] = {"m": {**STUB, "engine": engine, **(model or {})}}
        return await asyncio.to_thread(service.cluster.reload, parse(given, FOLDER), progress)

    yield serve
    service.cluster.reload(parse(rewards(), FOLDER))
    service.cluster.upkeep()


def group(words: list[str]) -> Group:
    """A group of answers to one prompt."""
    return Group(Example([Content("user", [Part("a prompt")])]), [Response(w) for w in words])


def pids(service: Service) -> set[int]:
    """The processes of the model."""
    return {process.pid for process in service.processes("rewardplane-_model-m")}


async def test_a_killed_engine_loses_no_item(service: Service, serves: Any, tmp_path: Path) -> None:
    await serves({"in_flight": 16}, latency_s=0.05)
    words = [f"answer {i}" for i in range(500)]
    log = tmp_path / "log"
    async with RewardClient(service.address) as client:
        call = asyncio.create_task(client.score("plain", [group(words)], timeout_s=120))
        while not log.exists() or len(log.read_text().splitlines()) < 100:
            await asyncio.sleep(0.05)
        (engine,) = service.processes("rewardplane-_model-m")
        engine.send_signal(signal.SIGKILL)
        killed_s, asked = time.monotonic(), len(log.read_text().splitlines())
        while len(log.read_text().splitlines()) <= asked:
            await asyncio.sleep(0.05)
        print(f"asked again {time.monotonic() - killed_s:.1f} s after the engine was killed")
        (outcomes,) = await call
    assert [o.reward for o in outcomes if isinstance(o, Score)] == [number_of(w) for w in words]


async def test_an_item_that_kills_its_engine_each_time_is_one_crash(
    service: Service, serves: Any
) -> None:
    await serves({"in_flight": 8})
    words = [f"answer {i}" for i in range(40)]
    words[20] = "crash"
    async with RewardClient(service.address) as client:
        (outcomes,) = await client.score("plain", [group(words)], timeout_s=200)
    crashed = [o for o in outcomes if isinstance(o, ScoreError)]
    assert [outcomes.index(o) for o in crashed] == [20]
    assert crashed[0].reason is Reason.CRASHED
    assert "alone" in crashed[0].message


async def test_a_prompt_changes_without_the_engine(service: Service, serves: Any) -> None:
    await serves()
    before = pids(service)
    assert await serves(reward={"transform": {"mean": 1.0, "std": 2.0}}) == ["plain"]
    async with RewardClient(service.address) as client:
        ((outcome,),) = await client.score("plain", [group(["a"])], timeout_s=60)
    assert isinstance(outcome, Score)
    assert outcome.reward == (number_of("a") - 1.0) / 2.0
    assert pids(service) == before


@pytest.mark.parametrize("swap", ["beside", "in_place"])
async def test_new_weights_under_calls(service: Service, serves: Any, swap: str) -> None:
    """No call fails, none mixes two, and at the end one engine is left."""
    await serves({"swap": swap}, latency_s=0.01)
    (old,) = pids(service)
    stop = asyncio.Event()
    digests: Counter[tuple[str, ...]] = Counter()

    async def call(client: RewardClient, number: int) -> None:
        while not stop.is_set():
            words = [f"{number}", "other"]
            result = await client.score("plain", [group(words)] * 2, timeout_s=90)
            assert all(isinstance(o, Score) for outcomes in result for o in outcomes)
            digests[tuple(used.digest for used in result.rewards)] += 1

    async with RewardClient(service.address) as client, asyncio.TaskGroup() as calls:
        for number in range(64):
            calls.create_task(call(client, number))
        async with asyncio.timeout(60):
            while not digests:
                await asyncio.sleep(0.1)
        progress = Progress()
        await serves({"swap": swap}, progress=progress, latency_s=0.01, weights="two")
        async with asyncio.timeout(60):
            while len(digests) < 2:
                await asyncio.sleep(0.1)
        stop.set()
    assert sorted(map(len, digests)) == [1, 1]
    (note,) = progress.notes
    assert note.startswith("model m, reward plain: "), note
    assert "rank correlation 1.000" in note, "the stub's numbers are the same"
    async with asyncio.timeout(30):
        while old in pids(service):
            await asyncio.to_thread(service.cluster.upkeep)
            await asyncio.sleep(0.2)
    assert len(pids(service)) == 1


@pytest.mark.parametrize("swap", ["beside", "in_place"])
async def test_weights_that_cannot_be_loaded_change_nothing(
    service: Service, serves: Any, swap: str
) -> None:
    await serves({"swap": swap})
    with pytest.raises(DeployFailed, match="no such weights"):
        await serves({"swap": swap}, fails="no such weights")
    async with RewardClient(service.address) as client:
        ((outcome,),) = await client.score("plain", [group(["a"])], timeout_s=60)
    assert isinstance(outcome, Score)


async def test_a_reward_that_its_model_cannot_answer_is_refused(
    service: Service, serves: Any
) -> None:
    await serves(
        {"head": "chat"},
        {
            "kind": "judge",
            "ask": {"kind": "predicate", "instructions": "Is it?"},
        },
        head="chat",
    )
    with pytest.raises(DeployFailed, match=r"rewards\.plain: "):
        await serves(
            {"head": "chat"},
            {
                "kind": "judge",
                "ask": {"kind": "predicate", "instructions": "Is it?"},
            },
            head="chat",
            tells_label_mass=False,
        )


async def test_weights_that_were_written_over_give_no_number(
    service: Service, serves: Any, tmp_path: Path
) -> None:
    """A replica that starts with others than the first one says so; a reload accepts them."""
    weights = tmp_path / "weights"
    weights.write_text("one")
    await serves(weights_file=str(weights))
    async with RewardClient(service.address) as client:
        ((outcome,),) = await client.score("plain", [group(["a"])], timeout_s=60)
        assert isinstance(outcome, Score)
        weights.write_text("two")
        (engine,) = service.processes("rewardplane-_model-m")
        engine.send_signal(signal.SIGKILL)
        engine.wait(10)
        async with asyncio.timeout(60):  # what comes before Serve notices is sent again
            ((outcome,),) = await client.score("plain", [group(["b"])], timeout_s=60)
        assert isinstance(outcome, ScoreError), outcome
        assert outcome.reason is Reason.MODEL_CHANGED
        assert "is two, was one; reload the service" in outcome.message
        await serves(weights_file=str(weights), noise=0.0)  # as new times of files would
        ((outcome,),) = await client.score("plain", [group(["c"])], timeout_s=60)
        assert isinstance(outcome, Score)


async def test_jobs_come_by_the_socket_of_the_node(service: Service, serves: Any) -> None:
    """Without one they come by Serve's handle, which costs a millisecond more."""
    await serves()
    folder = own_folder()
    assert folder is not None
    async with RewardClient(service.address) as client:
        await client.score("plain", [group(["a"])], timeout_s=60)
    (replica,) = service.processes("rewardplane-_model-m")
    sockets = list(folder.glob(f"*/*.{replica.pid}"))
    assert len(sockets) == 1
    # One that listens, and the connection of the gateway.
    used = [c for c in replica.net_connections("unix") if c.laddr]
    assert len([c for c in used if c.laddr.rpartition("/.")[2] == sockets[0].name]) >= 2
