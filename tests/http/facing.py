"""A service with an HTTP port, for tests, and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from rewardplane.config.load import parse
from rewardplane.gateway.validate import Validator
from rewardplane.http.server import HttpFace

from ..support.rig import FOLDER, Rig


@asynccontextmanager
async def facing(
    rewards: Mapping[str, Any],
    http: Mapping[str, Any],
    limits: Mapping[str, Any] | None = None,
) -> AsyncIterator[tuple[Rig, aiohttp.ClientSession]]:
    """The service of these rewards; the client's base is its HTTP port."""
    document = {"rewards": dict(rewards), "http": dict(http), "limits": dict(limits or {})}
    async with Rig(parse(document, FOLDER), None) as it:
        served = HttpFace(
            it.scorer,
            Validator(it.scorer, it.metrics, it.config.limits),
            it.rewards,
            it.metrics,
            it.config.limits,
        )
        port = await served.start("127.0.0.1", 0)
        try:
            async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
                yield it, client
        finally:
            await served.stop(2.0)
