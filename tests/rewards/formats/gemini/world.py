"""What a Gemini reward reaches out to, for tests: real servers on this machine, real processes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest
from aiohttp import web
from rewardplane.rewards.code.snippet_runner import SnippetLimits
from rewardplane.rewards.code.snippets import Snippets
from rewardplane.rewards.registry import build
from rewardplane.rewards.reward import Reward
from rewardplane.rewards.run import Clip, run_item, run_items_async
from rewardplane.rewards.types import Example, Outcome, Reason, Response, RewardFault

from ....support.judge_server import JudgeServer, says
from ....support.judge_server import serving as serving_judge


class TimedOut(RewardFault):
    reason = Reason.TIMED_OUT


DRIVER = """
import json, sys
given = json.load(sys.stdin)
space = {}
exec(given["source"], space)
json.dump(space["evaluate"](given["example"], given["response"]), sys.stdout)
"""


class ProcessRunner:
    """A `SnippetRunner` that starts a process for each call. No sandbox: for tests alone."""

    def __init__(self, source: str, limits: SnippetLimits) -> None:
        self.source = source
        self.limits = limits
        self.calls = 0

    async def call(self, arguments: Sequence[Any], timeout_s: float) -> float:
        example, response = arguments
        self.calls += 1
        given = {"source": self.source, "example": example, "response": response}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-I", "-S", "-c", DRIVER),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(min(timeout_s, self.limits.timeout_s)):
                out, err = await process.communicate(json.dumps(given).encode())
        except TimeoutError:
            raise TimedOut("the snippet took too long") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode != 0:
            raise RewardFault(err.decode().strip().splitlines()[-1])
        return float(json.loads(out))

    async def close(self) -> None:
        pass


class CloudRunServer:
    """A user's reward service: answers `replies` one after the other, the last one ever again."""

    def __init__(self) -> None:
        self.replies: list[Any] = [{"reward": 1.0}]
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[Mapping[str, str]] = []
        self.metadata_calls: list[tuple[Mapping[str, str], Mapping[str, str]]] = []
        self.token = ""
        self.delay_s = 0.0
        self.in_flight = self.most_in_flight = 0
        self.origin = ""

    async def reward(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.json())
        self.headers.append(request.headers)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        await asyncio.sleep(self.delay_s)
        self.in_flight -= 1
        if isinstance(reply, int):
            return web.Response(status=reply, headers={"Location": "/"} if reply < 400 else None)
        if isinstance(reply, str):
            return web.Response(text=reply, content_type="application/json")
        return web.json_response(reply)

    async def identity(self, request: web.Request) -> web.Response:
        self.metadata_calls.append((request.query, request.headers))
        return web.Response(text=self.token)


@contextlib.asynccontextmanager
async def serving_cloud_run() -> AsyncIterator[CloudRunServer]:
    """A reward service on a free port, with a metadata server beside it."""
    server = CloudRunServer()
    app = web.Application()
    app.router.add_post("/", server.reward)
    app.router.add_get(
        "/computeMetadata/v1/instance/service-accounts/default/identity", server.identity
    )
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    server.origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()


class World:
    """Servers, and rewards that know where they are."""

    def __init__(self, judge: JudgeServer, cloud_run: CloudRunServer) -> None:
        self.judge = judge
        self.cloud_run = cloud_run
        self.runners: list[ProcessRunner] = []
        self.rewards: list[Any] = []

    def runner(self, source: str, limits: SnippetLimits) -> ProcessRunner:
        self.runners.append(ProcessRunner(source, limits))
        return self.runners[-1]

    def reward(self, config: Any, **params: Any) -> Any:
        """A reward of kind gemini. The URI "CLOUD_RUN" is the server's, as waits are none."""
        here = json.loads(json.dumps(config).replace("CLOUD_RUN", self.cloud_run.origin + "/"))
        cloud_run = {"backoff_s": [0, 0], **params.pop("cloud_run", {})}
        judge = {"base_url": self.judge.base_url, "models": {"judge-1": "local"}}
        params.setdefault("judge", judge)
        reward = build("gemini", {"config": here, "cloud_run": cloud_run, **params})
        self.rewards.append(reward)
        reward.setup()
        return reward

    async def close(self) -> None:
        for reward in self.rewards:
            await reward.close()


async def outcome_of(
    reward: Reward, example: Example, response: Response, timeout_s: float = 20.0
) -> Outcome:
    """What the service would make of it."""
    if not reward.is_async:
        return run_item(reward, (example, response), Clip())
    (outcome,) = await run_items_async(reward, [(example, response)], Clip(), timeout_s)
    return outcome


@contextlib.asynccontextmanager
async def world() -> AsyncIterator[World]:
    """All of it, for one test."""
    async with serving_judge() as judge, serving_cloud_run() as cloud_run:
        judge.replies = [says("1")]
        made = World(judge, cloud_run)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Snippets, "setup", lambda _self: None)
            patch.setattr(Snippets, "make_runner", lambda _self, *given: made.runner(*given))
            try:
                yield made
            finally:
                await made.close()
