"""The worker processes of a replica: one at work, at most one in reserve, others on their own.

A `Supervisor` takes its workers from a `WorkerPool`. In the replica that is `ForkedWorkers`, which
starts them; in a gateway of the same node it is `linked_workers.LinkedWorkers`, which holds links
to the workers of the replica.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

from .fork_server import ForkServer
from .worker import Worker, WorkerFailed, WorkerLost, WorkerSpec

_log = logging.getLogger(__name__)

RESERVE_S = 60.0
"""How long a worker stands in reserve that nobody needs."""
MAX_LOST = 4
"""How often in a row a worker may be lost while it starts, with the process that forks it."""
LOST_PAUSE_S = 0.2


class WorkerPool(Protocol):
    """Where a supervisor has its workers from."""

    broken: str
    """Why the last start failed; empty where it did not."""
    replaced: Counter[str]
    """Workers that were ended or ended themselves, by cause."""

    @property
    def at_work(self) -> Worker | None:
        """The worker at work, if there is one."""
        ...

    async def worker(self) -> Worker:
        """The worker at work. Raises WorkerFailed: its reward cannot be set up."""
        ...

    async def single(self) -> Worker:
        """A new worker that nothing else runs on; its caller ends it. Raises WorkerFailed."""
        ...

    def call_reserve(self) -> asyncio.Future[Any]:
        """Done when a worker is ready to go on where the one at work is held up."""
        ...

    def put_aside(self, worker: Worker) -> None:
        """This worker gets no further work from anybody."""
        ...

    def take_back(self, worker: Worker) -> None:
        """A worker that was put aside is free again."""
        ...

    def replace(self, worker: Worker, cause: str) -> None:
        """Counts a worker out, once; it is ended when nothing runs on it."""
        ...

    def free(self, worker: Worker) -> None:
        """Something ended on this worker."""
        ...

    async def close(self) -> None:
        """Ends all workers, or the links to them."""
        ...


class ForkedWorkers:
    """Starts workers and ends every one that it started.

    `on_work` is called with each worker that comes to work, `on_aside` with each that is put aside.
    """

    def __init__(self, spec: WorkerSpec) -> None:
        self._spec = spec
        self._fork_server = ForkServer()
        self._all: set[Worker] = set()
        self._at_work: Worker | None = None
        self._reserve: asyncio.Future[Worker] | None = None
        self._closed = False
        self.broken = ""
        self.replaced: Counter[str] = Counter()
        self.on_work: Callable[[Worker], None] = _ignore
        self.on_aside: Callable[[Worker], None] = _ignore

    @property
    def at_work(self) -> Worker | None:
        """The worker at work, if there is one."""
        return self._at_work

    async def worker(self) -> Worker:
        """The worker at work; a new one where the last is gone.

        Raises:
            WorkerFailed: its reward cannot be set up.
        """
        while self._at_work is None or not self._at_work.usable:
            reserve = self._reserve_or_new()
            try:
                worker = await asyncio.shield(reserve)
            except asyncio.CancelledError:
                if reserve.cancelled():
                    raise WorkerFailed("the replica is stopping") from None
                raise
            if self._reserve is reserve:
                self._reserve = None
                self._at_work = worker
                self.on_work(worker)
        return self._at_work

    async def single(self) -> Worker:
        """A new worker that nothing else runs on. Its caller ends it.

        Raises:
            WorkerFailed: its reward cannot be set up.
        """
        return await self._spawn()

    def call_reserve(self) -> asyncio.Future[Worker]:
        """Has a worker ready, in a while, to go on where the one at work is held up."""
        reserve = self._reserve_or_new()
        asyncio.get_running_loop().call_later(RESERVE_S, self._dismiss, reserve)
        return reserve

    def put_aside(self, worker: Worker) -> None:
        """This worker gets no further work from anybody."""
        if self._at_work is worker:
            self._at_work = None
        if not worker.aside:
            worker.aside = True
            self.on_aside(worker)

    def take_back(self, worker: Worker) -> None:
        """A worker that was put aside is free again: the reserve, if there is none.

        Where other owners hold it still, the last of them brings it back.
        """
        if not worker.usable or not worker.idle or worker.holders:
            return
        if worker.replaced or self._reserve is not None:
            worker.kill()
            return
        worker.aside = False
        self._reserve = asyncio.get_running_loop().create_future()
        self._reserve.set_result(worker)
        self.call_reserve()

    def replace(self, worker: Worker, cause: str) -> None:
        """Counts a worker out, once; it is ended when nothing runs on it."""
        self.put_aside(worker)
        if not worker.replaced:
            worker.replaced = True
            self.replaced[cause] += 1
        self.free(worker)

    def free(self, worker: Worker) -> None:
        """Something ended on this worker."""
        if worker.replaced and worker.idle and not worker.holders:
            worker.kill()

    async def close(self) -> None:
        """Ends all of them."""
        self._closed = True
        if self._reserve is not None and not self._reserve.done():
            self._reserve.cancel()
            await asyncio.wait((self._reserve,))
        for worker in list(self._all):
            await worker.close()
        self._fork_server.close()

    def _reserve_or_new(self) -> asyncio.Future[Worker]:
        reserve = self._reserve
        if reserve is not None and reserve.done():
            failed = reserve.cancelled() or reserve.exception() is not None
            if failed or not reserve.result().usable:
                reserve = None
        if reserve is None:
            reserve = self._reserve = asyncio.ensure_future(self._spawn())
            reserve.add_done_callback(_look_at)
        return reserve

    def _dismiss(self, reserve: asyncio.Future[Worker]) -> None:
        if self._reserve is not reserve:
            return
        if not reserve.done():
            asyncio.get_running_loop().call_later(RESERVE_S, self._dismiss, reserve)
            return
        self._reserve = None
        if not reserve.cancelled() and reserve.exception() is None:
            reserve.result().kill()

    async def _spawn(self) -> Worker:
        if self._closed:
            raise WorkerFailed("the replica is stopping")
        try:
            worker = await self._spawn_until_lost(MAX_LOST)
        except WorkerFailed as error:
            self.broken = str(error)
            raise
        self.broken = ""
        self._all.add(worker)
        worker.exited.add_done_callback(lambda _: self._all.discard(worker))
        return worker

    async def _spawn_until_lost(self, times: int) -> Worker:
        for lost in range(1, times):
            try:
                return await Worker.spawn(self._spec, self._fork_server)
            except WorkerLost as error:
                _log.warning("%s; once more", error)
                await asyncio.sleep(LOST_PAUSE_S * lost)
        return await Worker.spawn(self._spec, self._fork_server)


def _look_at(reserve: asyncio.Future[Worker]) -> None:
    # It may fail when nobody waits for it any more; whoever comes next starts another.
    _ = reserve.cancelled() or reserve.exception()


def _ignore(_worker: Worker) -> None:
    pass
