"""The slots of a pool: who waits for one, who has one, and a new zygote where one is due."""

from __future__ import annotations

import asyncio
import collections
import contextvars
import resource
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import asdict
from typing import Any

from .errand import Fault
from .level import Level
from .profile import Profile
from .seed import Seed, SeedFailed
from .slot import Slot

_READY_S = 30.0
_RESTARTS = 5
"""In a row, after which all that waits is told that there is no slot."""
_BACKOFF_S = 0.05
_MAX_BACKOFF_S = 5.0
_FIRST_UID, _UIDS = 20_000, 40_000
"""Of slots where the pool runs as root: no account of a usual system, and within what a pod with a
user namespace has."""
_CLOSED = "the pool is closed"
_LOST = "the seed died, and a new one would have the memory limit that this process has got since"


class Roster:
    """First come, first served. Zygotes that fail are replaced; so are old ones, between runs."""

    def __init__(
        self, profile: Profile, guests: Sequence[str], on_lost: Callable[[], None]
    ) -> None:
        """Starts the seed; no zygote yet. Blocks. `on_lost`: see `lost`. Raises SeedFailed."""
        self.figures: collections.Counter[str] = collections.Counter()
        self.lost = ""
        """Why there will be no zygote any more: the process that holds this must be replaced."""
        self._profile = profile
        self._guests = guests
        self._level = Level.PROCESS
        self._memory_limit = resource.getrlimit(resource.RLIMIT_DATA)[1]
        self._first_uid = _FIRST_UID + secrets.randbelow(_UIDS)
        self._slots: dict[int, Slot] = {}
        self._retired: list[Slot] = []
        self._free: collections.deque[Slot] = collections.deque()
        self._waiting: collections.deque[asyncio.Future[Slot]] = collections.deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._seed: Seed | None = Seed(profile.modules, guests)
        self._planting: asyncio.Future[Seed] | None = None
        self._vet: Callable[[Slot], Awaitable[None]] = _check
        self._on_lost = on_lost

    @property
    def slots(self) -> list[Slot]:
        """Those that can be used; a run needs `take`."""
        return [slot for slot in self._slots.values() if not slot.failure]

    @property
    def seed_pid(self) -> int:
        """The process id of the seed; 0: there is none."""
        return self._seed.pid if self._seed is not None else 0

    async def begin(self, place: int, level: Level) -> Slot:
        """A new zygote for a place, that has told its controls, or failed.

        Raises:
            OSError: the seed is gone.
            Fault: the pool is closed.
        """
        if self._seed is None:
            raise Fault(_CLOSED)
        asked = {
            "level": int(level),
            "uid": self._first_uid + place,
            "scratch_mb": self._profile.scratch_mb,
            "scratch_files": self._profile.scratch_files,
            "tools": [asdict(tool) for tool in self._profile.tools],
        }
        slot = Slot(place, self._seed, asked)
        slot.attach(asyncio.get_running_loop())
        try:
            await slot.ready(_READY_S)
        except asyncio.CancelledError:
            slot.kill()
            raise
        return slot

    async def fill(
        self, first: Slot, level: Level, count: int, vet: Callable[[Slot], Awaitable[None]]
    ) -> None:
        """Fills the places with zygotes of a level, of which there is one, for any event loop.

        `vet` looks at each that is started from now on, and raises Fault where one has less than
        the first.

        Raises:
            SeedFailed: a zygote does not start, or has less.
        """
        self._level = level
        self._vet = vet
        self._adopt(first)
        for place in range(1, count):
            slot = await self.begin(place, level)
            self._adopt(slot)
            try:
                await vet(slot)
            except Fault as fault:
                why = f"of {count} zygotes one is not as the first: {fault}"
                raise SeedFailed(why) from None
        for slot in self._slots.values():
            slot.detach()
            self._free.append(slot)

    def attach(self) -> None:
        """Listens to the zygotes in the running event loop."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop = loop
            for slot in list(self._slots.values()):
                slot.attach(loop)

    async def take(self) -> Slot:
        """A slot that nothing runs on; `give` it back. Raises Fault where there will be none."""
        while self._free:
            slot = self._free.popleft()
            if not slot.failure:
                return slot
        if self._closed or self.lost:
            raise Fault(self.lost or _CLOSED)
        place: asyncio.Future[Slot] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.exception() is None:
                self.give(place.result())
            raise

    def give(self, slot: Slot) -> None:
        """It has nothing to run: it is the next one's, unless it is due for a new zygote."""
        if slot.failure or self._closed:
            return
        if slot.runs >= self._profile.recycle_runs:
            self._replace(slot, "runs")
        elif time.monotonic() - slot.born_s > self._profile.recycle_s:
            self._replace(slot, "age")
        else:
            self._hand(slot)

    def give_when_idle(self, slot: Slot) -> None:
        """Gives it when what runs on it has ended."""
        self._own(self._wait_and_give(slot))

    async def close(self) -> None:
        """Ends all and waits for the tasks it owns."""
        self.kill()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def kill(self) -> None:
        """Ends all processes at once."""
        self._closed = True
        for slot in (*self._slots.values(), *self._retired):
            slot.fail(_CLOSED)
        if self._seed is not None:
            self._seed.close()
            self._seed = None
        self._fail_waiting(_CLOSED)

    def _hand(self, slot: Slot) -> None:
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(slot)
                return
        self._free.append(slot)

    async def _wait_and_give(self, slot: Slot) -> None:
        await slot.idle()
        self.give(slot)

    def _replace(self, slot: Slot, cause: str) -> None:
        if self._slots.get(slot.place) is not slot or self._closed:
            return
        del self._slots[slot.place]
        self.figures[f"restarts_{cause}"] += 1
        if not slot.failure:
            slot.on_failure = None
            self._retired = [s for s in self._retired if not s.failure] + [slot]
            slot.retire()
        self._own(self._renew(slot.place))

    async def _renew(self, place: int) -> None:
        """Starts a zygote for a place, again and again."""
        tried = 0
        while not self._closed and not self.lost:
            try:
                await self._have_seed()
                slot = await self.begin(place, self._level)
                await self._vetted(slot)
            except (OSError, SeedFailed, Fault) as error:
                if isinstance(error, OSError) and self._seed is not None:  # it died
                    self._seed.kill()
                    self._seed = None
                tried += 1
                if tried >= _RESTARTS or self.lost:
                    self._fail_waiting(self.lost or f"no zygote can be started: {error}")
                await asyncio.sleep(min(_BACKOFF_S * 2**tried, _MAX_BACKOFF_S))
                continue
            if self._closed:
                slot.kill()
                return
            self._adopt(slot)
            self._hand(slot)
            return

    async def _vetted(self, slot: Slot) -> None:
        """Raises Fault where it is not as it must be; then, and when cancelled, it is ended."""
        try:
            await self._vet(slot)
        except BaseException:
            slot.kill()
            raise

    async def _have_seed(self) -> None:
        """Starts the seed anew where it died; once, however many places need it."""
        if self._seed is not None:
            return
        if resource.getrlimit(resource.RLIMIT_DATA)[1] != self._memory_limit:
            self.lost = _LOST
            self._on_lost()
            raise SeedFailed(_LOST)
        if self._planting is None:
            loop = asyncio.get_running_loop()
            self._planting = loop.run_in_executor(None, Seed, self._profile.modules, self._guests)
            self._planting.add_done_callback(self._planted)
        await asyncio.wait((self._planting,))

    def _planted(self, planting: asyncio.Future[Seed]) -> None:
        self._planting = None
        if planting.cancelled() or planting.exception() is not None:
            return
        if self._closed:
            planting.result().kill()
        else:
            self._seed = planting.result()

    def _adopt(self, slot: Slot) -> None:
        self._slots[slot.place] = slot
        slot.on_failure = lambda failed: self._replace(failed, "fault")

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


async def _check(slot: Slot) -> None:
    slot.check()
