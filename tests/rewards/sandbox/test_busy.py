"""Limits hold while every slot is busy and more wait."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

from rewardplane.rewards.sandbox.level import Level
from rewardplane.rewards.sandbox.limits import Limits
from rewardplane.rewards.sandbox.pool import Profile, SandboxPool
from rewardplane.rewards.sandbox.verdict import Run, Verdict

from .pools import started

LIMITS = Limits(cpu_s=0.5, wall_s=3.0, memory_mb=128)
PROFILE = Profile("busy", guests=("attack",))
RUNS = {
    "while True: pass": Verdict.CPU_LIMIT,
    "import time; time.sleep(60)": Verdict.WALL_LIMIT,
    "x = b'x' * (256 << 20)": Verdict.MEMORY_LIMIT,
    "import os\nwhile True: os.write(1, b'x' * 65536)": Verdict.OUTPUT_LIMIT,
    "import os\nwhile True: os.write(2, b'x' * 65536)": Verdict.OUTPUT_LIMIT,
    "1 / 0": Verdict.RUNTIME_ERROR,
    "import os; os.kill(os.getpid(), 6)": Verdict.KILLED,
    "print('fine')": Verdict.OK,
}


async def run(pool: SandboxPool, source: str) -> Run:
    request = json.dumps({"source": source, "facts": {}}).encode()
    limits = replace(LIMITS, wall_s=0.5) if "sleep" in source else LIMITS
    return await pool.run("attack", request, limits)


async def test_limits_hold_with_all_slots_busy() -> None:
    async with started(Level.PROCESS, slots=2, profile=PROFILE) as pool:
        ends = await asyncio.gather(*(run(pool, source) for source in [*RUNS] * 3))
    wanted = [*RUNS.values()] * 3
    assert [end.verdict for end in ends] == wanted
    fine = [end for end in ends if end.verdict is Verdict.OK]
    assert {end.stdout for end in fine} == {b"fine\n"}
    # A neighbour's time is not one's own.
    assert max(end.cpu_us for end in fine) < 200_000
