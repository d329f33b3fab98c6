"""Every query of the dashboard and of the alerts has data in a real Prometheus, under a load that
provokes what it shows."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
import pytest_asyncio
from aiohttp import web
from rewardplane.access.tokens import new_token
from rewardplane.client.client import RewardClient
from rewardplane.client.endpoint import Credentials
from rewardplane.config.load import parse
from rewardplane.host.local import LocalService
from rewardplane.host.options import Options
from rewardplane.host.progress import Progress
from rewardplane.rewards.types import Example, Group, Response
from rewardplane.wire.errors import CallError

from ..rewards.formats.gemini.configs import cloud_run, composite, rater
from ..rewards.formats.gemini.world import serving_cloud_run
from ..support.judge_server import JudgeServer, says, serving, status
from ..support.prometheus import (
    ONLY_ON_RAY,
    PROMETHEUS,
    Prometheus,
    measured,
    panels,
    prometheus,
    rules,
)
from ..support.rig import FOLDER, SERVICE, poison, request_of

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(300),
    pytest.mark.skipif(PROMETHEUS is None, reason="needs Debian's prometheus"),
]

NEVER = {
    'code=~"INTERNAL|UNKNOWN|UNAVAILABLE"': "calls fail so by bugs, and while the service stops",
}
"""What a service that works has no data of, by a part of the query, with the reason. Its alert
fires in tests/monitoring/test_alerts.py."""
SNIPPET = "def grade(sample, item):\n    return float(len(sample['output_text']))\n"
CODE = "import time\ntime.sleep({})\nprint(3)\n"
CASES = '{"inputs": ["\\n"], "outputs": ["3\\n"]}'
ZYGOTE_DEPTH = 4
"""Below the service: fork server, worker, seed, zygote."""


class Judged:
    """Answers as the response says that it is to be judged."""

    def __init__(self) -> None:
        self.was_busy = False

    async def __call__(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        text = str(body["messages"][0]["content"])
        last = text.rpartition(" ")[2]
        if text == "again":
            self.was_busy = not self.was_busy
            if self.was_busy:
                return await status(429, {"Retry-After": "0"})(request, body)
            last = "1"
        if text == "refuse":
            return await says(None, refusal="no")(request, body)
        if text.startswith(("Rate:", "garble")):
            return await says(last)(request, body)
        return await says(json.dumps({"steps": [], "result": float(last)}))(request, body)


def rewards(judge: JudgeServer, cloud_run_url: str) -> dict[str, Any]:
    """One reward of each sort that has figures of its own."""
    asked = [{"role": "user", "content": "{{ sample.output_text }}"}]
    model = {"type": "score_model", "name": "s", "model": "m", "input": asked, "range": [0, 1]}
    to_judge = {"base_url": judge.base_url}
    members = composite((rater(name="rated"), 1.0), (cloud_run(cloud_run_url, name="run"), 1.0))
    return {
        "exact": {"kind": "exact"},
        "one": poison(timeout_s=1, replicas=1),
        "slow": poison(timeout_s=60),
        "costly": poison(deterministic=True),
        "code": {"kind": "code_tests", "reference": "test", "slots": 1, "timeout_s": 60},
        "snippet": {"kind": "snippet", "source": SNIPPET, "slots": 1},
        "grader": {"kind": "openai_grader", "grader": model, "judge": to_judge},
        "gemini": {"kind": "gemini", "config": members, "judge": to_judge},
    }


def access(folder: Path) -> dict[str, str]:
    """Writes an access file; the tokens of its callers."""
    token, line = new_token("team-a")
    tight, tight_line = new_token("tight")
    until = " until=2099-01-01T00:00:00Z"
    (folder / "tokens").write_text(f"{line}{until}\n{tight_line}\n")
    (folder / "access.yaml").write_text(
        "tokens_file: tokens\ncallers:\n  team-a: {}\n"
        "  tight: {rewards: [exact], quota: {items_per_s: 1}}\n"
    )
    return {"team-a": token, "tight": tight}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scraped(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Prometheus]:
    """A Prometheus that has seen everything that a service without Ray can show."""
    folder = tmp_path_factory.mktemp("prometheus")
    tokens = access(folder)
    metrics_port = free_port()
    options = Options(port=0, metrics_port=metrics_port, access=str(folder / "access.yaml"))
    service = LocalService(options)
    async with serving() as judge, serving_cloud_run() as cloud:
        judge.replies = [Judged()]
        cloud.replies = [503, {"reward": 7.0}]
        limits = {"max_in_flight_items": 2000, "default_deadline_s": 60}
        config = parse({"rewards": rewards(judge, cloud.origin + "/"), "limits": limits}, FOLDER)
        await asyncio.to_thread(service.start, config, Progress())
        try:
            (address,) = service.addresses()
            with prometheus(folder, {"gateway-0": metrics_port}) as asked:
                # So that what is counted from now on is growth.
                await provoke(address, tokens)
                await until(asked, 'rewardplane_items_total{reward="exact"}')
                await provoke(address, tokens)
                await asyncio.sleep(2.5)
                yield asked
        finally:
            await asyncio.to_thread(service.stop)


async def until(asked: Prometheus, expression: str) -> None:
    end_s = time.monotonic() + 30
    while not await asyncio.to_thread(asked.query, expression):
        assert time.monotonic() < end_s, f"no data of {expression}"
        await asyncio.sleep(0.2)


async def provoke(address: str, tokens: dict[str, str]) -> None:
    """Calls that go well, fail, wait, are refused, and lose what runs them."""
    team = Credentials(tokens["team-a"], tls=False)
    tight = Credentials(tokens["tight"], tls=False)
    async with RewardClient(address, credentials=team) as client:

        async def score(reward: str, *texts: str, **references: str) -> None:
            group = Group(Example(references=references), [Response(text) for text in texts])
            await client.score(reward, [group], job="train", timeout_s=60)

        await asyncio.gather(
            score("exact", "1", "2", answer="1"),
            score("exact", "1", "1", answer="1"),
            score("one", "1", "raise it", "exit 3", "hang"),
            score("code", CODE.format(0), CODE.format(0), CODE.format(0.01), test=CASES),
            score("snippet", "a", "bb"),
            score("costly", *["sleep 0.01"] * 4),
            score("grader", "fine 0.5", "garble seven", "refuse", "again", "far 9"),
            score("gemini", "0.5", "1"),
        )
        running = asyncio.create_task(score("code", CODE.format(1.5), test=CASES))
        await asyncio.sleep(0.7)
        kill_zygotes()
        await running
        for reward in ("nobody", ""):
            with contextlib.suppress(CallError):
                await score(reward, "1")
        with contextlib.suppress(CallError):  # more than may ever be in flight
            await score("exact", *["1"] * 3000, answer="1")
    await asyncio.gather(*(flood(address, tokens["team-a"]) for _ in range(4)))
    async with RewardClient(address, credentials=tight) as client:
        for reward in ("one", *["exact"] * 3):
            with contextlib.suppress(CallError):
                group = Group(Example(references={"answer": "1"}), [Response("1")] * 10)
                await client.score(reward, [group], timeout_s=0.3)
    async with RewardClient(address, credentials=Credentials("wrong", tls=False)) as client:
        with contextlib.suppress(CallError):
            await client.list_rewards(timeout_s=5)


async def flood(address: str, token: str) -> None:
    """A call that is refused for want of room: the work before it would take too long."""
    request = request_of("slow", ["sleep 0.4"] * 40, job="flood")
    metadata = (("authorization", f"Bearer {token}"),)
    async with grpc.aio.insecure_channel(address) as channel:
        call: Any = channel.unary_unary(f"/{SERVICE}/Score")
        with contextlib.suppress(grpc.aio.AioRpcError):
            await call(request.SerializeToString(), timeout=1.5, metadata=metadata)


def kill_zygotes() -> None:
    """What runs in the sandbox is a fault of the sandbox, and is tried again."""
    here = psutil.Process()
    for process in here.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if [p.pid for p in process.parents()].index(here.pid) == ZYGOTE_DEPTH - 1:
                process.send_signal(signal.SIGKILL)


def free_port() -> int:
    """A port that nobody listened on a moment ago."""

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cannot_be(expression: str) -> bool:
    """Whether what it asks for cannot be here."""
    if any(part in expression for part in NEVER):
        return True
    names = set(re.findall(r"\brewardplane_\w+", expression))
    return any(name.startswith(known) for name in names for known in ONLY_ON_RAY)


@pytest.mark.parametrize(("title", "expression"), panels())
async def test_a_panel_has_data(scraped: Prometheus, title: str, expression: str) -> None:
    found = await asyncio.to_thread(scraped.query, expression)
    if cannot_be(expression):
        assert found == []  # else it need not be looked for on Ray
    else:
        assert found, f"{title}: no data of {expression}"


@pytest.mark.parametrize(
    ("alert", "expression"),
    [
        (rule.get("alert") or rule["record"], part)
        for group in rules()["groups"]
        for rule in group["rules"]
        for part in measured(rule["expr"])
    ],
)
async def test_an_alert_has_data(scraped: Prometheus, alert: str, expression: str) -> None:
    found = await asyncio.to_thread(scraped.query, expression)
    assert bool(found) is not cannot_be(expression), f"{alert}: {expression}"


async def test_prometheus_takes_the_rules(scraped: Prometheus) -> None:
    told = await asyncio.to_thread(scraped.get, "rules")
    taken = [rule for group in told["groups"] for rule in group["rules"]]
    assert len(taken) == sum(len(group["rules"]) for group in rules()["groups"])
    assert {rule["health"] for rule in taken} == {"ok"}
    assert not [rule.get("lastError") for rule in taken if rule.get("lastError")]


async def test_no_label_of_ours_is_renamed(scraped: Prometheus) -> None:
    """Prometheus calls a label `exported_x` where the scraped target has an `x` of its own."""
    labels = await asyncio.to_thread(scraped.get, "labels")
    assert "training_job" in labels
    assert not [label for label in labels if label.startswith("exported_")]


async def test_a_job_that_waits_is_told_with_the_reward_it_waits_for(scraped: Prometheus) -> None:
    query = 'rewardplane_job_waiting_seconds_total{training_job="train"}'
    (whole,) = await asyncio.to_thread(scraped.query, query)
    query = 'rewardplane_job_reward_waiting_seconds_total{training_job="train"}'
    by_reward = {
        series["metric"]["reward"]: float(series["value"][1])
        for series in await asyncio.to_thread(scraped.query, query)
    }
    assert by_reward["exact"] < by_reward["code"]
    assert max(by_reward.values()) <= float(whole["value"][1]) <= sum(by_reward.values())
