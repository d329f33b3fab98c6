"""Pools for tests: started, and gone when the test is over, with nothing left behind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from rewardplane.rewards.sandbox.level import Level
from rewardplane.rewards.sandbox.limits import Limits
from rewardplane.rewards.sandbox.pool import Profile, SandboxPool

LIMITS = Limits(cpu_s=1.0, wall_s=5.0, memory_mb=128)
PROFILE = Profile("test", guests=("program",))


@asynccontextmanager
async def started(
    level: Level = Level.NAMESPACED, *, slots: int = 1, profile: Profile = PROFILE, **options: Any
) -> AsyncIterator[SandboxPool]:
    pool = SandboxPool(profile, slots=slots, demand=level, at_most=level, **options)
    pool.start()
    pids = pool.zygote_pids()
    try:
        yield pool
    finally:
        pids += pool.zygote_pids()
        await pool.close()
        await gone(pids)


async def gone(pids: list[int], within_s: float = 5.0) -> None:
    """Waits until processes have ended."""
    end = time.monotonic() + within_s
    while left := [pid for pid in pids if alive(pid)]:
        assert time.monotonic() < end, f"{left} are still there"
        await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether a process exists that is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
