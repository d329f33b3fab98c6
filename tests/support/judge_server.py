"""A judge for tests: a real HTTP server that speaks chat completions, and misbehaves as it is told.

    async with serving() as judge:
        judge.replies = [status(429, {"Retry-After": "1"}), says('{"steps": [], "result": 0.5}')]

The last reply is given again to whoever asks more often.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from aiohttp import web

from .listening import listening

Reply = Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]


def says(content: Any, **more: Any) -> Reply:
    """A completion with this content; `more` are `finish_reason`, `refusal`, `delay_s`."""

    async def reply(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        await asyncio.sleep(more.get("delay_s", 0))
        message = {"role": "assistant", "content": content, "refusal": more.get("refusal")}
        finish = more.get("finish_reason", "stop")
        usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
        choice = {"index": 0, "message": message, "finish_reason": finish}
        return web.json_response(
            {"id": "c", "model": body["model"], "choices": [choice], "usage": usage}
        )

    return reply


def status(code: int, headers: dict[str, str] | None = None, body: str = "{}") -> Reply:
    """An answer that is no completion."""

    async def reply(request: web.Request, given: dict[str, Any]) -> web.StreamResponse:
        return web.Response(
            status=code, headers=headers, text=body, content_type="application/json"
        )

    return reply


async def cuts_off(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """Promises more bytes than it sends, and hangs up."""
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"choices": [')
    assert request.transport is not None
    request.transport.close()
    return response


class JudgeServer:
    """What it was asked, and what it will say."""

    def __init__(self) -> None:
        self.replies: list[Reply] = [says("fine")]
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.times_s: list[float] = []
        self.in_flight = self.most_in_flight = 0
        self.embed: Callable[[str], list[float]] = lambda text: [float(len(text)), 1.0]
        self.port = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        self.keys.append(request.headers.get("Authorization"))
        self.times_s.append(asyncio.get_running_loop().time())
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await reply(request, body)
        finally:
            self.in_flight -= 1

    async def embeddings(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        data = [{"index": i, "embedding": self.embed(text)} for i, text in enumerate(body["input"])]
        return web.json_response({"data": data[::-1], "usage": {"prompt_tokens": 7}})


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[JudgeServer]:
    """A judge on a free port of this machine."""
    judge = JudgeServer()
    app = web.Application(client_max_size=2**26)
    app.router.add_post("/v1/chat/completions", judge.chat)
    app.router.add_post("/v1/embeddings", judge.embeddings)
    async with listening(app) as judge.port:
        yield judge
