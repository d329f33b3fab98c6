"""The way in: runs untrusted code on a number of slots, at a proven level of isolation."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import os
import time
from collections.abc import Callable, Coroutine, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

from .canaries import break_out
from .errand import Fault, request_file
from .level import Canary, IsolationUnavailable, Level, Report
from .limits import Limits
from .probe import controls_of, guest_kernel
from .profile import Profile
from .proof import LEVELS, prove, with_guest_kernel
from .protocol import FIRST_TOOL, GIVEN_PROGRAM
from .session import Session
from .slot import Becomes, Slot
from .slots import Roster
from .verdict import Run, SessionEnded, Verdict

__all__ = ["Profile", "SandboxPool"]

_ATTEMPTS = 5
_NO_ZYGOTE_S = 0.2
_CANARY = "canary"


class SandboxPool:
    """Slots that run one child each at a time; sessions lie beside them.

    A run waits for a slot, first come first served. A session waits for nothing: an item that has
    both a session and a run, as test code that calls a solution, cannot wait for itself. Who opens
    sessions bounds their number, by its own concurrency.

    `start` blocks and may be called before there is an event loop; all else is for one event loop
    at a time.
    """

    def __init__(
        self,
        profile: Profile,
        *,
        slots: int,
        demand: Level,
        at_most: Level = Level.GUEST_KERNEL,
        most: Limits | None = None,
        declared_kernel: str | None = None,
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        """Starts nothing.

        `demand`: below it `start` raises. `at_most`: no higher level is tried. `most`: limits are
        cut to it. `declared_kernel`: "gvisor", "kata" or "firecracker", where the operator vouches
        that this host runs in one; by default the environment's REWARDPLANE_GUEST_KERNEL.
        `on_lost` is called when there will be no zygote any more: this process must be replaced.
        """
        self._profile = profile
        self._guests = (*profile.guests, _CANARY)
        self._count = slots
        self._demand = demand
        self._at_most = at_most
        self._most = most
        declared = os.environ.get("REWARDPLANE_GUEST_KERNEL", "")
        self._declared = declared if declared_kernel is None else declared_kernel
        self._on_lost = on_lost
        self._started: Roster | None = None
        self._report: Report | None = None
        self._has_scratch = False
        self._figures: collections.Counter[str] = collections.Counter()

    @property
    def report(self) -> Report:
        """What `start` found."""
        if self._report is None:
            raise RuntimeError("the pool was not started")
        return self._report

    @property
    def has_scratch(self) -> bool:
        """Whether runs have a folder to write to: from NAMESPACED on, where there is Landlock."""
        return self._has_scratch

    @property
    def lost(self) -> str:
        """Why it will have no zygote any more: the process that holds it must be replaced."""
        return self._roster.lost

    def zygote_pids(self) -> list[int]:
        """The process ids of the slots' zygotes."""
        return [pid for slot in self._roster.slots if (pid := slot.pid)]

    @property
    def seed_pid(self) -> int:
        """The process id of the seed; 0: there is none."""
        return self._roster.seed_pid

    def start(self) -> Report:
        """Starts the zygotes and attacks them. Blocks, some tenths of a second.

        Raises:
            IsolationUnavailable: the demanded level does not hold; nothing is left running.
            SeedFailed: a module of the profile cannot be imported.
        """
        self._started = Roster(self._profile, self._guests, self._on_lost)
        try:
            run_apart(self._settle)
        except BaseException:
            self.kill()
            raise
        return self.report

    async def run(
        self,
        entry: str,
        request: bytes,
        limits: Limits,
        stdin: bytes | None = None,
        program: int = -1,
    ) -> Run:
        """Runs a guest on a request in a child of its own; `stdin` is the file at descriptor 0.

        `program`: the descriptor of a file that it may become (see `guest.become`); that needs a
        stdin. A fault of the sandbox is tried again, and then SANDBOX_ERROR. What the host kills
        twice takes more memory than there is: MEMORY_LIMIT. Cancelled, the child is killed.
        """
        index = self._guests.index(entry)
        becomes = Becomes(GIVEN_PROGRAM, file=program) if program >= 0 else None
        with _request(request) as file:
            limits = self._cut(limits)
            return await self._insist(lambda slot: slot.run(index, file, limits, stdin, becomes))

    async def run_steps(self, work: Callable[[Steps], Coroutine[Any, Any, Run]]) -> Run:
        """Runs several children one after the other on one slot, where they share a scratch.

        Its end, and faults, are as those of a run; on a fault all begins anew.
        """
        return await self._insist(lambda slot: self._stepping(slot, work))

    async def _stepping(self, slot: Slot, work: Callable[[Steps], Coroutine[Any, Any, Run]]) -> Run:
        try:
            return await work(Steps(slot, self._guests, self._cut))
        finally:
            if not slot.failure:
                await slot.idle()
                slot.clear()

    async def _insist(self, once: Callable[[Slot], Coroutine[Any, Any, Run]]) -> Run:
        self._roster.attach()
        why = ""
        was_killed = False
        for _attempt in range(_ATTEMPTS):
            try:
                run = await self._on_slot(once)
            except Fault as fault:
                why = str(fault)
                continue
            if run.verdict is Verdict.HOST_KILLED:
                why = run.detail
                if not was_killed:
                    was_killed = True
                    continue
                run = replace(run, verdict=Verdict.MEMORY_LIMIT, detail=f"twice: {why}")
            self._figures[f"runs_{run.verdict.value}"] += 1
            self._figures["run_us"] += run.wall_us
            return run
        self._figures[f"runs_{Verdict.SANDBOX_ERROR.value}"] += 1
        return Run(Verdict.SANDBOX_ERROR, b"", b"", b"", why, 0, 0)

    async def open(self, entry: str, request: bytes, limits: Limits) -> Session:
        """Starts a child that is kept. Whoever opens it closes it.

        `limits`: of each question; time counts from its asking.

        Raises:
            SessionEnded: SANDBOX_ERROR, after it was tried again.
        """
        self._roster.attach()
        index = self._guests.index(entry)
        file = request_file(request)
        why = "there is no zygote"
        try:
            for _attempt in range(_ATTEMPTS):
                slots = self._roster.slots
                if not slots:
                    await asyncio.sleep(_NO_ZYGOTE_S)
                    continue
                slot = min(slots, key=lambda s: s.children)
                try:
                    session = Session(slot, index, file, self._cut(limits))
                    await session.confined()
                except Fault as fault:
                    why = str(fault)
                    slot.fail(why)
                    self._figures["faults"] += 1
                    continue
                self._figures["sessions"] += 1
                return session
        finally:
            os.close(file)
        raise SessionEnded(Verdict.SANDBOX_ERROR, why)

    def take_figures(self) -> dict[str, float]:
        """What there was since the last call.

        `runs_<verdict>`, `run_us`, `wait_us` (for a slot), `sessions`, `faults`, and
        `restarts_<cause>`: `runs`, `age` or `fault`.
        """
        figures = self._figures + self._roster.figures
        self._figures.clear()
        self._roster.figures.clear()
        return dict(figures)

    async def close(self) -> None:
        """Ends all; what runs is SANDBOX_ERROR."""
        if self._started is not None:
            await self._started.close()

    def kill(self) -> None:
        """Ends all processes at once."""
        if self._started is not None:
            self._started.kill()

    async def _on_slot(self, once: Callable[[Slot], Coroutine[Any, Any, Run]]) -> Run:
        asked_ns = time.monotonic_ns()
        slot = await self._roster.take()
        self._figures["wait_us"] += (time.monotonic_ns() - asked_ns) // 1000
        try:
            run = await once(slot)
        except Fault as fault:
            slot.fail(str(fault))
            self._figures["faults"] += 1
            raise
        except BaseException:  # cancelled, or this process has no descriptor left
            self._roster.give_when_idle(slot)
            raise
        self._roster.give(slot)
        return run

    async def _settle(self) -> None:
        """Finds the highest level that holds, and fills the places with zygotes of it."""
        roster = self._roster
        levels = [level for level in LEVELS if level <= self._at_most]
        canary = self._guests.index(_CANARY)
        proof = await prove(levels, lambda level: roster.begin(0, level), canary)
        if proof.slot is None:
            raise IsolationUnavailable(self._demand, proof.report)
        self._report = with_guest_kernel(proof.report, guest_kernel(self._declared), self._at_most)
        if self._report.level < self._demand:
            proof.slot.kill()
            raise IsolationUnavailable(self._demand, self._report)
        held = proof.report.level
        self._has_scratch = proof.slot.has_scratch

        async def vet(slot: Slot) -> None:
            slot.check()
            controls = controls_of(held, slot.controls, slot.failure)
            if lacking := [control.name for control in controls if not control.held]:
                slot.fail(f"a new zygote lacks {', '.join(lacking)}")
                slot.check()
            met = [*await break_out(partial(slot.run, canary), held), *await self._met(slot, held)]
            for each in met:
                if not each.stopped:
                    slot.fail(f"canary {each.name} got through a new zygote: {each.seen}")
            slot.check()
            slot.runs = 0

        through = tuple(c for c in await self._met(proof.slot, held) if not c.stopped)
        if through:
            proof.slot.kill()
            canaries = (*self._report.canaries, *through)
            report = Report(Level.PROCESS, self._report.controls, canaries)
            raise IsolationUnavailable(self._demand, report)
        proof.slot.runs = 0
        await roster.fill(proof.slot, held, self._count, vet)

    async def _met(self, slot: Slot, level: Level) -> list[Canary]:
        """What the canaries meet in a child that could become a program, where there are such."""
        if not self._profile.tools:
            return []
        program = request_file(b"", 0o555)
        becomes = Becomes(GIVEN_PROGRAM, file=program)
        canary = self._guests.index(_CANARY)
        try:
            return await break_out(
                lambda file, limits: slot.run(canary, file, limits, b"", becomes),
                level,
                imports=False,
            )
        finally:
            os.close(program)

    @property
    def _roster(self) -> Roster:
        if self._started is None:
            raise RuntimeError("the pool was not started")
        return self._started

    def _cut(self, limits: Limits) -> Limits:
        return limits if self._most is None else limits.within(self._most)


class Steps:
    """A slot, for runs that follow one another (see `SandboxPool.run_steps`)."""

    def __init__(self, slot: Slot, guests: Sequence[str], cut: Callable[[Limits], Limits]) -> None:
        self._slot = slot
        self._guests = guests
        self._cut = cut

    async def run(
        self, entry: str, request: bytes, limits: Limits, stdin: bytes = b"", tool: int = -1
    ) -> Run:
        """Runs a guest. `tool`: the index of that of the profile that it may become.

        What it leaves in its scratch the next one finds.

        Raises:
            Fault: of the sandbox.
        """
        becomes = Becomes(FIRST_TOOL + tool if tool >= 0 else 0, keeps=True)
        with _request(request) as file:
            index = self._guests.index(entry)
            return await self._slot.run(index, file, self._cut(limits), stdin, becomes)


@contextlib.contextmanager
def _request(request: bytes) -> Generator[int]:
    file = request_file(request)
    try:
        yield file
    finally:
        os.close(file)


def run_apart(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Runs a coroutine in a loop of its own, in a thread where this one has a loop already."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work())
    else:
        with ThreadPoolExecutor(1) as executor:
            executor.submit(lambda: asyncio.run(work())).result()
