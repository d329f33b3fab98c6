"""The way in: runs untrusted code on a number of slots, at a proven level of isolation."""

from __future__ import annotations

import asyncio
import collections
import contextvars
import os
import resource
import secrets
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from .errand import Fault, request_file
from .level import IsolationUnavailable, Level, Report
from .limits import Limits
from .probe import guest_kernel
from .proof import LEVELS, prove, with_guest_kernel
from .seed import Seed, SeedFailed
from .session import Session
from .slot import Slot
from .verdict import Run, SessionEnded, Verdict

_READY_S = 30.0
_ATTEMPTS = 5
_RESTARTS = 5
"""In a row, after which all that waits is told that there is no slot."""
_BACKOFF_S = 0.05
_MAX_BACKOFF_S = 5.0
_FIRST_UID, _UIDS = 20_000, 40_000
"""Of the slots of a pool that runs as root: no account of a usual system, and within what a pod
with a user namespace has."""
_LOST = "the seed died; one started now would have the memory limit that this process has got since"


@dataclass(frozen=True)
class Profile:
    """What all runs of a pool have in common."""

    name: str
    modules: tuple[str, ...] = ()
    """Imported before any run, so that no run pays for it."""
    guests: tuple[str, ...] = ()
    """The modules of `guest/` that may be run."""
    scratch_mb: int = 16
    """Of /tmp, from NAMESPACED on; below, nothing can be written, and never in a session."""
    scratch_files: int = 1024
    recycle_runs: int = 2000
    """After so many runs a slot gets a new zygote,"""
    recycle_s: float = 600.0
    """and after so many seconds."""


class SandboxPool:
    """Slots that run one child each at a time; sessions lie beside them.

    A run waits for a slot, first come first served. A session waits for nothing: an item that has
    both a session and a run, as test code that calls a solution, cannot wait for itself. Who opens
    sessions bounds their number, by its own concurrency.

    `start` blocks and may be called before there is an event loop; all else is for one event loop.
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
    ) -> None:
        """Starts nothing.

        `demand`: below it `start` raises. `at_most`: no higher level is tried. `most`: limits are
        cut to it. `declared_kernel`: "gvisor", "kata" or "firecracker", where the operator vouches
        that this host runs in one; by default the environment's REWARDPLANE_GUEST_KERNEL.
        """
        self._profile = profile
        self._guests = (*profile.guests, "canary")
        self._count = slots
        self._demand = demand
        self._at_most = at_most
        self._most = most
        declared = os.environ.get("REWARDPLANE_GUEST_KERNEL", "")
        self._declared = declared if declared_kernel is None else declared_kernel
        self._seed: Seed | None = None
        self._report: Report | None = None
        self._inner = Level.PROCESS
        self._first_uid = _FIRST_UID + secrets.randbelow(_UIDS - slots)
        self._slots: dict[int, Slot] = {}
        self._retired: list[Slot] = []
        self._free: collections.deque[Slot] = collections.deque()
        self._waiting: collections.deque[asyncio.Future[Slot]] = collections.deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._figures: collections.Counter[str] = collections.Counter()
        self._closed = False
        self._memory_limit = resource.RLIM_INFINITY
        self.lost = ""
        """Why it will have no zygote any more; the process that holds it must be replaced."""

    @property
    def report(self) -> Report:
        """What `start` found."""
        if self._report is None:
            raise RuntimeError("the pool was not started")
        return self._report

    def start(self) -> Report:
        """Starts the zygotes and attacks them. Blocks, some tenths of a second.

        Raises:
            IsolationUnavailable: the demanded level does not hold; nothing is left running.
            SeedFailed: a module of the profile cannot be imported.
        """
        self._memory_limit = resource.getrlimit(resource.RLIMIT_DATA)[1]
        self._seed = Seed(self._profile.modules, self._guests)
        try:
            _run_apart(self._settle)
        except BaseException:
            self.kill()
            raise
        return self.report

    async def run(self, entry: str, request: bytes, limits: Limits) -> Run:
        """Runs a guest on a request in a child of its own.

        A fault of the sandbox is tried again, and then SANDBOX_ERROR. Cancelled, the child is
        killed.
        """
        self._attach()
        index = self._guests.index(entry)
        file = request_file(request)
        why = ""
        try:
            for _attempt in range(_ATTEMPTS):
                try:
                    run = await self._run_once(index, file, self._cut(limits))
                except Fault as fault:
                    why = str(fault)
                    continue
                self._figures[f"runs_{run.verdict.value}"] += 1
                self._figures["run_us"] += run.wall_us
                return run
        finally:
            os.close(file)
        self._figures[f"runs_{Verdict.SANDBOX_ERROR.value}"] += 1
        return Run(Verdict.SANDBOX_ERROR, b"", b"", b"", why, 0, 0)

    async def open(self, entry: str, request: bytes, limits: Limits) -> Session:
        """Starts a child that is kept. Whoever opens it closes it.

        `limits`: the time is for its start, and then for each question.

        Raises:
            SessionEnded: SANDBOX_ERROR, after it was tried again.
        """
        self._attach()
        index = self._guests.index(entry)
        file = request_file(request)
        why = "there is no zygote"
        try:
            for _attempt in range(_ATTEMPTS):
                live = [s for s in self._slots.values() if not s.failure]
                if not live:
                    await asyncio.sleep(_BACKOFF_S * 4)
                    continue
                slot = min(live, key=lambda s: s.children)
                try:
                    session = Session(slot, index, file, self._cut(limits))
                    await session.confined()
                except Fault as fault:
                    why = str(fault)
                    slot.fail(why)
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
        figures, self._figures = self._figures, collections.Counter()
        return dict(figures)

    async def close(self) -> None:
        """Ends all and waits for the tasks it owns."""
        self.kill()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def kill(self) -> None:
        """Ends all processes at once; what runs is SANDBOX_ERROR."""
        self._closed = True
        for slot in (*self._slots.values(), *self._retired):
            slot.fail("the pool is closed")
        if self._seed is not None:
            self._seed.close()
            self._seed = None
        self._fail_waiting("the pool is closed")

    def zygote_pids(self) -> list[int]:
        """The process ids of the slots' zygotes."""
        return [pid for slot in self._slots.values() if (pid := slot.pid)]

    @property
    def seed_pid(self) -> int:
        """The process id of the seed; 0: there is none."""
        return self._seed.pid if self._seed is not None else 0

    async def _run_once(self, entry: int, file: int, limits: Limits) -> Run:
        asked_ns = time.monotonic_ns()
        slot = await self._take()
        self._figures["wait_us"] += (time.monotonic_ns() - asked_ns) // 1000
        try:
            run = await slot.run(entry, file, limits)
        except Fault as fault:
            slot.fail(str(fault))
            self._figures["faults"] += 1
            raise
        except BaseException:  # cancelled, or this process has no descriptor left
            self._own(self._give_when_idle(slot))
            raise
        self._give(slot)
        return run

    async def _take(self) -> Slot:
        while self._free:
            slot = self._free.popleft()
            if not slot.failure:
                return slot
        if self._closed or self.lost:
            raise Fault(self.lost or "the pool is closed")
        place: asyncio.Future[Slot] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.exception() is None:
                self._give(place.result())
            raise

    def _give(self, slot: Slot) -> None:
        """A slot has nothing to run: it is the next one's, unless it is due for a new zygote."""
        if slot.failure or self._closed:
            return
        if slot.runs >= self._profile.recycle_runs:
            self._replace(slot, "runs")
        elif time.monotonic() - slot.born_s > self._profile.recycle_s:
            self._replace(slot, "age")
        else:
            self._hand(slot)

    def _hand(self, slot: Slot) -> None:
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(slot)
                return
        self._free.append(slot)

    async def _give_when_idle(self, slot: Slot) -> None:
        await slot.idle()
        self._give(slot)

    def _replace(self, slot: Slot, cause: str) -> None:
        if self._slots.get(slot.place) is not slot or self._closed:
            return
        del self._slots[slot.place]
        self._figures[f"restarts_{cause}"] += 1
        if not slot.failure:
            slot.on_failure = None
            self._retired = [s for s in self._retired if not s.failure] + [slot]
            slot.retire()
        self._own(self._renew(slot.place))

    async def _renew(self, place: int) -> None:
        """Starts a zygote for a place, again and again."""
        tried = 0
        while not self._closed:
            try:
                if self._seed is None:
                    if resource.getrlimit(resource.RLIMIT_DATA)[1] != self._memory_limit:
                        self.lost = _LOST
                        self._fail_waiting(_LOST)
                        return
                    self._seed = await asyncio.to_thread(Seed, self._profile.modules, self._guests)
                slot = await self._begin(place, self._inner)
                slot.check()
            except (OSError, SeedFailed, Fault) as error:
                if isinstance(error, OSError) and self._seed is not None:  # it died
                    self._seed.kill()
                    self._seed = None
                tried += 1
                if tried >= _RESTARTS:
                    self._fail_waiting(f"no zygote can be started: {error}")
                await asyncio.sleep(min(_BACKOFF_S * 2**tried, _MAX_BACKOFF_S))
            else:
                if self._closed:
                    slot.kill()
                else:
                    self._adopt(slot)
                    self._hand(slot)
                return

    async def _begin(self, place: int, level: Level) -> Slot:
        if self._seed is None:
            raise Fault("the pool is closed")
        asked = {
            "level": int(level),
            "uid": self._first_uid + place,
            "scratch_mb": self._profile.scratch_mb,
            "scratch_files": self._profile.scratch_files,
        }
        slot = Slot(place, self._seed, asked)
        slot.attach(asyncio.get_running_loop())
        await slot.ready(_READY_S)
        return slot

    def _adopt(self, slot: Slot) -> None:
        self._slots[slot.place] = slot
        slot.on_failure = lambda failed: self._replace(failed, "fault")

    async def _settle(self) -> None:
        """Finds the highest level that holds, and fills the places with zygotes of it."""
        levels = [level for level in LEVELS if level <= self._at_most]
        canary = self._guests.index("canary")
        proof = await prove(levels, lambda level: self._begin(0, level), canary)
        if proof.slot is None:
            raise IsolationUnavailable(self._demand, proof.report)
        self._inner = proof.report.level
        self._slots[0] = proof.slot
        self._report = with_guest_kernel(proof.report, guest_kernel(self._declared), self._at_most)
        if self._report.level < self._demand:
            raise IsolationUnavailable(self._demand, self._report)
        for place in range(1, self._count):
            self._slots[place] = slot = await self._begin(place, self._inner)
            if slot.failure:
                raise SeedFailed(f"of {self._count} zygotes one did not start: {slot.failure}")
        for slot in self._slots.values():
            slot.detach()
            self._adopt(slot)
            self._free.append(slot)

    def _attach(self) -> None:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop = loop
            for slot in self._slots.values():
                slot.attach(loop)

    def _own(self, work: Coroutine[Any, Any, None]) -> None:
        # In a context of its own: it is not the doing of the item that happens to run.
        task = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _fail_waiting(self, why: str) -> None:
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_exception(Fault(why))

    def _cut(self, limits: Limits) -> Limits:
        return limits if self._most is None else limits.within(self._most)


def _run_apart(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Runs a coroutine in a loop of its own, in a thread where this one has a loop already."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work())
    else:
        with ThreadPoolExecutor(1) as executor:
            executor.submit(lambda: asyncio.run(work())).result()
