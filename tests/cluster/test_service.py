"""The whole way on a real Ray cluster: gateway, replicas, workers, their loss, and reload."""

from __future__ import annotations

import asyncio
import itertools
import signal
import socket
import urllib.request
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families
from rewardplane.cli.dataset import read
from rewardplane.client.client import RewardClient
from rewardplane.config.load import parse
from rewardplane.host.progress import DeployFailed
from rewardplane.rewards import Example, Group, Reason, Response, Score, ScoreError
from rewardplane.wire.errors import VersionGone

from ..support.sockets import listener, listens
from .conftest import CPUS, FOLDER, rewards

if TYPE_CHECKING:
    from .conftest import Service

pytestmark = [
    pytest.mark.ray,
    pytest.mark.timeout(300),
]

SAMPLE = Path(__file__).parents[2] / "service" / "cli" / "demo_data" / "gsm8k_sample.jsonl"


def group(name: str, words: list[str], log: Path | None = None) -> Group:
    """A group of the probe reward."""
    references = {"group": name} | ({"log": str(log)} if log else {})
    return Group(Example(references=references), [Response(word) for word in words])


async def test_math_agrees_with_the_labels(service: Service) -> None:
    lines = list(read(SAMPLE))
    async with RewardClient(service.address) as client:
        result = await client.score("math", [line.group for line in lines], timeout_s=120)
    for line, outcomes in zip(lines, result, strict=True):
        for outcome, labelled in zip(outcomes, line.raw["responses"], strict=True):
            assert isinstance(outcome, Score)
            assert (outcome.reward == 1.0) == labelled["is_correct"]


async def test_a_composite_of_two_lanes_follows_its_members_through_a_reload(
    service: Service,
) -> None:
    items = Group(Example(references={"answer": "18"}), [Response("18"), Response("18.0")])
    digests: list[str] = []
    async with RewardClient(service.address) as client:
        for right in (1.0, 3.0):
            changed = {"kind": "exact", "correct_reward": right}
            await asyncio.to_thread(service.cluster.reload, parse(rewards(exact=changed), FOLDER))
            result = await client.score("both", [items], include_components=True, timeout_s=60)
            assert [o.reward for o in result[0] if isinstance(o, Score)] == [0.5 + right / 2, 0.5]
            assert [o.components["math"] for o in result[0] if isinstance(o, Score)] == [1, 1]
            digests.append(result.rewards[0].digest)
        infos = {info.name: info for info in await client.list_rewards()}
    assert len(set(digests)) == 2
    assert infos["both"].lane == "composite"
    assert not service.processes("rewardplane-both")
    await asyncio.to_thread(service.cluster.reload, parse(rewards(), FOLDER))


async def test_large_inline_responses_go_to_the_pool(service: Service) -> None:
    long = "x" * 200_000
    items = Group(Example(references={"answer": long}), [Response(long), Response(long + "y")])
    async with RewardClient(service.address) as client:
        (outcomes,) = await client.score("exact", [items], timeout_s=60)
    assert [o.reward for o in outcomes if isinstance(o, Score)] == [1.0, 0.0]


async def test_a_10_mb_response_passes(service: Service) -> None:
    huge = Group(Example(references={"answer": "1"}), [Response("word " * 2_000_000)])
    async with RewardClient(service.address) as client:
        ((outcome,),) = await client.score("exact", [huge], timeout_s=60)
    assert isinstance(outcome, Score)


async def test_replicas_of_this_node_are_reached_by_socket_and_others_by_handle(
    service: Service,
) -> None:
    for name in ("probe", "apart"):
        words = [f"{name}{i}" for i in range(40)]
        async with RewardClient(service.address) as client:
            (outcomes,) = await client.score(name, [group("g", words)], timeout_s=60)
        assert all(isinstance(outcome, Score) for outcome in outcomes)
        replicas = 2 if name == "probe" else 1
        async with asyncio.timeout(30):
            while True:
                alive = {replica.pid for replica in service.processes(f"rewardplane-{name}")}
                links = await asyncio.to_thread(service.links, name)
                found = [count for pid, count in links.items() if pid in alive]
                if len(found) == replicas:
                    break
                await asyncio.sleep(0.2)
        assert sum(found) > 0 if name == "probe" else sum(found) == 0


async def test_killed_replicas_lose_nothing(service: Service, tmp_path: Path) -> None:
    """Five SIGKILLs under load: every item has its reward, none ran more than twice."""
    log = tmp_path / "executions"
    stop = asyncio.Event()
    scored = 0

    async def load(client: RewardClient, worker: int) -> None:
        nonlocal scored
        for call in itertools.count():
            if stop.is_set():
                return
            words = [f"work {worker}.{call}.{i}" for i in range(16)]
            (outcomes,) = await client.score("probe", [group("g", words, log)], timeout_s=120)
            for word, outcome in zip(words, outcomes, strict=True):
                assert isinstance(outcome, Score), outcome
                assert outcome.reward == len(word.partition(" ")[2])
            scored += 16

    async with RewardClient(service.address) as client, asyncio.TaskGroup() as calls:
        for worker in range(4):
            calls.create_task(load(client, worker))
        for _ in range(5):
            # Both at work again: an item whose replicas are lost three times is UNAVAILABLE.
            while len(settled := service.at_work("probe")) < 2:
                await asyncio.sleep(0.1)
            settled[0].send_signal(signal.SIGKILL)
        await asyncio.sleep(2.0)
        stop.set()
    executions = Counter(log.read_text().split())
    assert len(executions) == scored
    assert max(executions.values()) <= 2


async def test_a_killed_gateway_loses_nothing(service: Service) -> None:
    """Calls in flight when the gateway dies are sent again by the client, within their deadline."""

    async def call(client: RewardClient, number: int) -> None:
        words = [f"work {number}.{i}" for i in range(16)]
        (outcomes,) = await client.score("probe", [group("g", words)], timeout_s=120)
        assert all(isinstance(outcome, Score) for outcome in outcomes)

    async with RewardClient(service.address) as client, asyncio.TaskGroup() as calls:
        for number in range(32):
            calls.create_task(call(client, number))
        await asyncio.sleep(0.3)
        (gateway,) = service.processes("rewardplane-gateway")
        gateway.send_signal(signal.SIGKILL)


async def test_a_door_that_dies_is_replaced(service: Service) -> None:
    """A gateway that no client reaches any more ends itself; Serve starts another."""
    port = int(service.address.rpartition(":")[2])
    gateways = service.processes("rewardplane-gateway")
    (gateway,) = [process for process in gateways if listens(process.pid, port)]
    with listener(gateway.pid, port) as found:
        found.shutdown(socket.SHUT_RDWR)
    async with asyncio.timeout(30):
        while gateway.is_running():
            await asyncio.sleep(0.1)
    async with RewardClient(service.address) as client:
        (outcomes,) = await client.score("probe", [group("g", ["work a"])], timeout_s=60)
    assert isinstance(outcomes[0], Score)


async def test_the_deadline_brings_what_is_done(service: Service) -> None:
    words = [f"ok {i}" for i in range(999)]
    words.insert(500, "sleep 60")
    async with RewardClient(service.address) as client:
        begin_s = asyncio.get_running_loop().time()
        (outcomes,) = await client.score("probe", [group("g", words)], timeout_s=4)
        assert asyncio.get_running_loop().time() - begin_s < 4
    failed = [o for o in outcomes if isinstance(o, ScoreError)]
    assert [o.reason for o in failed] == [Reason.DEADLINE]
    assert isinstance(outcomes[500], ScoreError)


async def test_reload_under_load_fails_no_call(service: Service) -> None:
    """Versions switch while calls run; each call has one version, none fails, the old one goes."""
    changing = {"kind": "exact", "lane": "pool", **CPUS}
    service.cluster.reload(
        parse(rewards(changing={**changing, "version": "1", "correct_reward": 1.0}), FOLDER)
    )
    stop = asyncio.Event()
    seen: set[tuple[str, float]] = set()

    async def load(client: RewardClient) -> None:
        while not stop.is_set():
            groups = [Group(Example(references={"answer": "a"}), [Response("a")] * 8)] * 8
            result = await client.score("changing", groups, timeout_s=60)
            values = {o.reward for g in result for o in g if isinstance(o, Score)}
            assert len(values) == 1
            assert all(isinstance(o, Score) for g in result for o in g)
            seen.add((result.rewards[0].version, values.pop()))

    two = parse(rewards(changing={**changing, "version": "2", "correct_reward": 2.0}), FOLDER)
    async with RewardClient(service.address) as client:
        async with asyncio.TaskGroup() as calls:
            for _ in range(4):
                calls.create_task(load(client))
            async with asyncio.timeout(60):
                while ("1", 1.0) not in seen:
                    await asyncio.sleep(0.1)
            assert await asyncio.to_thread(service.cluster.reload, two) == ["changing"]
            async with asyncio.timeout(60):
                while ("2", 2.0) not in seen:
                    await asyncio.sleep(0.1)
            stop.set()
        assert seen == {("1", 1.0), ("2", 2.0)}
        with pytest.raises(VersionGone):
            await client.score("changing", [group("g", ["a"])], version="1")
    for _ in range(250):
        await asyncio.to_thread(service.cluster.upkeep)
        if len(service.processes("rewardplane-changing")) == 1:
            break
        await asyncio.sleep(0.2)
    else:
        pytest.fail("the old version still runs")


async def test_a_reload_gets_the_cpus_of_versions_that_no_call_uses(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing but the reload itself looks after them: reloads that follow each other at once."""
    import ray

    monkeypatch.setattr("rewardplane.cluster.applications.READY_S", 60.0)
    share = round(0.4 * ray.available_resources()["CPU"], 2)
    large = {"kind": "exact", "lane": "pool", "ray_actor_options": {"num_cpus": share}}
    for version in ("1", "2", "3"):  # two fit
        config = parse(rewards(large={**large, "version": version}), FOLDER)
        changed = await asyncio.to_thread(service.cluster.reload, config)
        assert "large" in changed
    await asyncio.to_thread(service.cluster.reload, parse(rewards(), FOLDER))
    for _ in range(250):
        await asyncio.to_thread(service.cluster.upkeep)
        if not service.processes("rewardplane-large"):
            break
        await asyncio.sleep(0.2)
    else:
        pytest.fail("it still runs")


async def test_a_reload_that_fails_changes_nothing(service: Service) -> None:
    broken = parse(
        rewards(broken={"kind": "python", "function": "broken:setup_fails", **CPUS}), FOLDER
    )
    with pytest.raises(DeployFailed, match="no weights here"):
        await asyncio.to_thread(service.cluster.reload, broken)
    async with RewardClient(service.address) as client:
        names = {info.name for info in await client.list_rewards()}
    assert "broken" not in names
    assert {"exact", "math", "probe"} <= names


async def test_a_reload_that_a_gateway_does_not_take_up_is_taken_back(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rewardplane.cluster.cluster.SWITCH_S", 1.0)
    late = {"kind": "exact", "lane": "pool", **CPUS}
    changed = parse(rewards(late=late, exact={"kind": "exact", "correct_reward": 7.0}), FOLDER)
    stopped = service.processes("rewardplane-gateway")
    for process in stopped:
        process.suspend()
    try:
        with pytest.raises(DeployFailed, match="do not serve the new configuration"):
            await asyncio.to_thread(service.cluster.reload, changed)
    finally:
        for process in stopped:
            process.resume()
    async with RewardClient(service.address) as client:
        for _ in range(20):  # it asks for what is in force, and that is what was
            item = Group(Example(references={"answer": "a"}), [Response("a")])
            result = await client.score("exact", [item])
            await asyncio.sleep(0.1)
        assert [outcome.reward for outcome in result[0]] == [1.0]  # type: ignore[union-attr]
        assert "late" not in {info.name for info in await client.list_rewards()}
    for _ in range(250):
        await asyncio.to_thread(service.cluster.upkeep)
        if not service.processes("rewardplane-late"):
            break
        await asyncio.sleep(0.2)
    else:
        pytest.fail("what was brought up for it still runs")


async def test_metrics_are_scraped(service: Service) -> None:
    async with RewardClient(service.address) as client:
        await client.score("exact", [Group(Example(), [Response("a"), Response("b")])], job="j")
    url = f"http://127.0.0.1:{service.metrics_port}/metrics"
    text = await asyncio.to_thread(lambda: urllib.request.urlopen(url).read().decode())
    samples = {
        (s.name, s.labels.get("reward"), s.labels.get("reason")): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }
    assert samples["rewardplane_items_total", "exact", "INVALID_REFERENCE"] >= 2
    assert samples["rewardplane_in_flight_items", None, None] == 0


async def test_gateways_start_after_the_membership_actor_was_lost(service: Service) -> None:
    """It comes back without what it knew; the driver teaches it again."""
    import ray
    from rewardplane.cluster.membership import NAME
    from rewardplane.cluster.names import NAMESPACE

    ray.kill(ray.get_actor(NAME, namespace=NAMESPACE), no_restart=False)
    await asyncio.to_thread(service.cluster.upkeep)
    for gateway in service.processes("Gateway"):
        gateway.kill()
    async with RewardClient(service.address) as client:
        until_s = asyncio.get_running_loop().time() + 90
        while True:
            try:
                scores = await client.score("probe", [group("lost", ["ok 1"])], timeout_s=20)
                break
            except Exception:
                await asyncio.to_thread(service.cluster.upkeep)
                if asyncio.get_running_loop().time() > until_s:
                    raise
                await asyncio.sleep(1)
    assert isinstance(scores[0][0], Score)
