"""What 10,000 runs leave behind, and what 100 killed zygotes cost: nothing, or it ends with 1.

    python -m tests.load.sandbox_soak [--runs 10000] [--kills 100]

Every run answers with a number of its own, which is checked. Zygotes are killed amid runs.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
import time
from pathlib import Path

import psutil
from rewardplane.rewards.sandbox.level import Level
from rewardplane.rewards.sandbox.limits import Limits
from rewardplane.rewards.sandbox.pool import Profile, SandboxPool

SLOTS = 2
WARM_RUNS = 400
PROGRAM = """
import time
open("/tmp/scratch", "w").write("x") if {number} % 10 == 0 and {scratch} else None
if {number} % 50 == 0: time.sleep(0.01)
channel.send(b"{number}")
"""
GROWTH = {"descriptors": 0, "processes": 0, "mounts": 0, "memory_mb": 8, "zygotes_mb": 8}
"""How much more of each there may be at the end."""
SETTLE_S = 10.0


class Soak:
    """A pool, and the numbers that it must answer with."""

    def __init__(self, pool: SandboxPool) -> None:
        self._pool = pool
        self._next = 0
        self._scratch = pool.report.level >= Level.NAMESPACED
        self.wrong = 0
        self.lost = 0

    async def run(self, runs: int) -> None:
        """So many runs, two slots' worth and as many waiting."""
        end = self._next + runs

        async def some() -> None:
            while self._next < end:
                number = self._next
                self._next += 1
                source = PROGRAM.format(number=number, scratch=self._scratch).encode()
                run = await self._pool.run("program", source, Limits())
                self.lost += run.verdict.value == "sandbox_error"
                self.wrong += run.verdict.value == "ok" and run.answer != str(number).encode()
                self.wrong += run.verdict.value not in {"ok", "sandbox_error"}

        await asyncio.gather(*(some() for _ in range(2 * SLOTS)))

    async def kill(self, kills: int) -> None:
        """Kills zygotes while it runs, until so many are dead; then some runs in peace."""
        running = asyncio.create_task(self._keep_running())
        for _ in range(kills):
            await asyncio.sleep(random.uniform(0.02, 0.1))
            while not (pids := self._pool.zygote_pids()):
                await asyncio.sleep(0.01)
            os.kill(random.choice(pids), signal.SIGKILL)
        running.cancel()
        await asyncio.wait((running,))
        await self.run(WARM_RUNS)

    async def _keep_running(self) -> None:
        while True:
            await self.run(50)

    async def figures(self) -> dict[str, int]:
        """What is held now, once both slots are there."""
        end_s = time.monotonic() + SETTLE_S
        while len(self._pool.zygote_pids()) < SLOTS and time.monotonic() < end_s:
            await asyncio.sleep(0.05)
        here = psutil.Process()
        zygotes = [psutil.Process(pid) for pid in self._pool.zygote_pids()]
        return {
            "descriptors": here.num_fds() + sum(z.num_fds() for z in zygotes),
            "processes": len(here.children(recursive=True)),
            "mounts": sum(mounts(pid) for pid in (here.pid, *(z.pid for z in zygotes))),
            "memory_mb": here.memory_info().rss >> 20,
            "zygotes_mb": sum(z.memory_info().rss for z in zygotes) >> 20,
        }


def mounts(pid: int) -> int:
    """The mounts of a process's namespace."""
    return len(Path(f"/proc/{pid}/mountinfo").read_text().splitlines())


async def soak(pool: SandboxPool, runs: int, kills: int) -> bool:
    """Prints what there was before and after; True: nothing grew and nothing was lost."""
    work = Soak(pool)
    await work.run(WARM_RUNS)
    before = await work.figures()
    begin = time.perf_counter()
    await work.run(runs)
    rate = runs / (time.perf_counter() - begin)
    after = await work.figures()
    print(f"| | before | after {runs:,} runs | may grow by |\n|---|--:|--:|--:|")
    for name, most in GROWTH.items():
        print(f"| {name} | {before[name]} | {after[name]} | {most} |")
    print(f"{rate:,.0f} runs/s; {work.lost} lost, {work.wrong} wrong answers")
    await work.kill(kills)
    left = await work.figures()
    figures = {name: round(value) for name, value in sorted(pool.take_figures().items())}
    print(f"{kills} zygotes killed: {work.lost} lost, {work.wrong} wrong answers; {figures}")
    print(f"then: {left}")
    grown = [n for n, most in GROWTH.items() if max(after[n], left[n]) - before[n] > most]
    if grown:
        print(f"grown: {', '.join(grown)}")
    return not grown and not work.lost and not work.wrong


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=100)
    args = parser.parse_args()
    profile = Profile("soak", guests=("program",))
    pool = SandboxPool(profile, slots=SLOTS, demand=Level.PROCESS)
    print(f"level {pool.start().level.name}, {SLOTS} slots")

    async def run() -> bool:
        try:
            return await soak(pool, args.runs, args.kills)
        finally:
            await pool.close()

    sys.exit(not asyncio.run(run()))


if __name__ == "__main__":
    main()
