"""The one HTTP client: what it does again, and when it stops."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from rewardplane.rewards.deadline import ends_in
from rewardplane.rewards.http.client import CallRules, Client, Listed
from rewardplane.rewards.types import InvalidResult, RateLimited, RewardFault, Unavailable

from ...support.judge_server import JudgeServer, cuts_off, says, serving, status


async def no_key(session: object) -> str:
    del session
    return ""


async def a_key(session: object) -> str:
    del session
    return "s3cret"


@contextlib.asynccontextmanager
async def client_of(**rules: Any) -> AsyncIterator[tuple[Client, JudgeServer, str]]:
    """A client that waits 0 s twice, and a server."""
    defaults = {"authorize": no_key, "backoff": lambda: Listed((0.0, 0.0))}
    client = Client(CallRules("it", **{**defaults, **rules}))
    async with serving() as server:
        try:
            yield client, server, f"{server.base_url}/chat/completions"
        finally:
            await client.close()


async def test_listed_waits_end() -> None:
    async with client_of() as (client, server, url):
        server.replies = [status(503), cuts_off, status(429)]
        with pytest.raises(RateLimited, match=r"429.*tries: 3"):
            await client.post(url, {"model": "m"})
        assert client.take_figures() == {"it_calls": 3.0, "it_retries": 2.0}
        server.replies = [status(409), status(503), says("fine")]
        assert (await client.post(url, {"model": "m"}))["choices"]


@pytest.mark.parametrize("code", [429, 503])
async def test_retry_after_goes_before_the_listed_wait(code: int) -> None:
    async with client_of(backoff=lambda: Listed((0.0, 0.0))) as (client, server, url):
        server.replies = [status(code, {"Retry-After": "0.4"}), says("fine")]
        begin = time.monotonic()
        await client.post(url, {"model": "m"})
        assert 0.4 <= time.monotonic() - begin < 3


async def test_no_try_starts_that_the_time_has_no_room_for() -> None:
    async with client_of(backoff=lambda: Listed((60.0,))) as (client, server, url):
        server.replies = [status(503)]
        ends_in(5.0)
        begin = time.monotonic()
        with pytest.raises(Unavailable, match="503"):
            await client.post(url, {"model": "m"})
        ends_in(math.inf)
        assert time.monotonic() - begin < 2


@pytest.mark.parametrize(("again", "tries"), [(False, 1), (True, 3)])
async def test_a_slow_endpoint(again: bool, tries: int) -> None:
    async with client_of(timeout_s=0.1, retry_timeouts=again) as (client, server, url):
        server.replies = [says("late", delay_s=5)]
        with pytest.raises(Unavailable, match=r"within 0\.1 s"):
            await client.post(url, {"model": "m"})
        assert len(server.bodies) == tries


async def test_what_is_unreadable_is_as_the_rules_say() -> None:
    async with client_of(unreadable=InvalidResult, max_reply_bytes=2_000) as (client, server, url):
        for reply in (status(200, body="<html>"), status(200, body="[1]"), says("x" * 5_000)):
            server.replies = [reply]
            with pytest.raises(InvalidResult):
                await client.post(url, {"model": "m"})


async def test_a_key_is_told_to_nobody_and_its_absence_is_explained() -> None:
    async with client_of(authorize=a_key, denied=" (ask for a role)") as (client, server, url):
        server.replies = [status(403, body='{"error": {"message": "no right: s3cret"}}')]
        with pytest.raises(Unavailable, match="ask for a role") as caught:
            await client.post(url, {"model": "m"})
        assert server.keys == ["Bearer s3cret"]
        assert "s3cret" not in str(caught.value)


async def test_no_key_no_call() -> None:
    async def none(session: object) -> str:
        raise RewardFault("no key")

    async with client_of(authorize=none) as (client, server, url):
        with pytest.raises(RewardFault, match="no key"):
            await client.post(url, {"model": "m"})
        assert not server.bodies


async def test_a_large_request() -> None:
    async with client_of() as (client, server, url):
        server.replies = [says("fine")]
        await client.post(url, {"model": "m", "text": "x" * 3_000_000})
        assert len(server.bodies[0]["text"]) == 3_000_000
