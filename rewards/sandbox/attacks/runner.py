"""Runs the attacks against a pool at one level, one at a time, and looks at what they did."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from ..level import Level
from ..limits import Limits
from ..pool import Profile, SandboxPool
from ..verdict import Run, Verdict
from .case import DONE, Case
from .scene import Scene
from .survivors import adopt_orphans, descendants, survivors

ENTRY = "attack"
LIMITS = Limits(cpu_s=2, wall_s=6)
_PROFILE = Profile("attacks", guests=(ENTRY,))
_MAX_GROWTH_MB = 64
_MAX_TOLD = 20
_AFTER = """
import builtins, json, os
if len("four") != 4 or json.loads("[1]") != [1]:
    breach("the next run has other builtins")
for folder in ("/tmp", "."):
    try:
        left = [name for name in os.listdir(folder) if "rp" + "attack" in name]
    except OSError:
        continue
    if left:
        breach(f"the next run finds {left} in {folder}")
print("clean", end="")
"""


@dataclass(frozen=True, slots=True)
class Row:
    """How an attack ended."""

    case: Case
    level: Level
    verdict: Verdict
    got: tuple[str, ...]
    """What it got, hurt, left, or outlasted, 20 at most; nothing where it failed as it must."""
    wall_s: float

    @property
    def held(self) -> bool:
        """Whether the sandbox held."""
        return not self.got


class Suite:
    """A pool with one slot at `level`, another as its neighbour, and what could be hurt."""

    def __init__(self, level: Level) -> None:
        self.level = level
        self._number = 0

    async def run(self, cases: Sequence[Case]) -> list[Row]:
        """One row for each case, in their order.

        Raises:
            IsolationUnavailable: this host does not have the level.
        """
        adopt_orphans()
        with Scene() as self._scene:
            async with _Slot(self.level) as self._slot, _Slot(self.level) as self._neighbour:
                return [await self._try(case) for case in cases]

    async def _try(self, case: Case) -> Row:
        self._number += 1
        before = descendants()
        size = _size_mb()
        tag = f"rpattack{os.getpid()}x{self._number}x"
        facts = self._scene.facts(tag, self._slot.pids(), self._neighbour.pids())
        limits = replace(LIMITS, **case.limits)
        begin = time.monotonic()
        if case.before:
            marked = facts | {"marks": self._scene.marks()}
            await self._slot.send(case.before, marked, limits)
            begin = time.monotonic()
        beside = None
        if case.beside:
            beside = asyncio.create_task(self._neighbour.send(case.beside, facts, limits))
        run = await self._slot.send(case.source, facts, limits)
        wall_s = time.monotonic() - begin
        if beside is not None:
            await beside
        got = [*_told(run, facts["breach_mark"]), *_unlike(case, run, wall_s)]
        got += [f"process {pid} runs on" for pid in survivors(before)]
        got += self._scene.damage()
        if _size_mb() - size > _MAX_GROWTH_MB:
            got.append("the supervisor grew with its output")
        got += await self._next(facts)
        return Row(case, self.level, run.verdict, tuple(got[:_MAX_TOLD]), wall_s)

    async def _next(self, facts: dict[str, Any]) -> list[str]:
        """What is wrong with the runs that come next, on the same slot and on the neighbour."""
        wrong: list[str] = []
        for slot in (self._slot, self._neighbour):
            run = await slot.send(_AFTER, facts, LIMITS)
            wrong += [f"the next run: {told}" for told in _told(run, facts["breach_mark"])]
            if run.verdict is not Verdict.OK or run.stdout != b"clean":
                wrong.append(f"the next run ended with {run.verdict.name}: {run.detail}")
        return wrong


class _Slot:
    """A pool of one slot, so that the run after an attack is on the slot that was attacked."""

    def __init__(self, level: Level) -> None:
        self._pool = SandboxPool(_PROFILE, slots=1, demand=level, at_most=level)
        self._seeds: set[int] = set()

    async def __aenter__(self) -> Self:
        before = descendants()
        self._pool.start()
        self._seeds = descendants() - before
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._pool.close()

    async def send(self, source: str, facts: dict[str, Any], limits: Limits) -> Run:
        request = json.dumps({"source": source, "facts": facts}).encode()
        return await self._pool.run(ENTRY, request, limits)

    def pids(self) -> list[int]:
        """Its seed and what was forked from it, by now."""
        return sorted(self._seeds | descendants(*self._seeds))


def _told(run: Run, mark: str) -> Iterator[str]:
    """What it said that it reached, by the guest or from a program that it became."""
    for line in (run.stdout + b"\n" + run.stderr).split(b"\n"):
        if mark.encode() in line:
            said = line.partition(mark.encode())[2][:200].decode(errors="replace").strip()
            yield said.encode("unicode_escape").decode() or "its mark came out"


def _unlike(case: Case, run: Run, wall_s: float) -> Iterator[str]:
    if run.verdict not in case.ends:
        ends = ", ".join(sorted(end.name for end in case.ends))
        yield f"ended with {run.verdict.name}, not {ends}: {run.detail}"
    if case.ends == DONE and run.verdict is Verdict.OK and run.answer != b"done":
        yield f"answered {run.answer[:60]!r}"
    if wall_s > case.bound_s:
        yield f"took {wall_s:.1f} s, not {case.bound_s:g}"
    if case.stdout is not None and run.stdout != case.stdout:
        yield f"its output came back as {run.stdout[:60]!r}"


def _size_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
