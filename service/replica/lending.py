"""A replica that lends its workers to the gateways of its node."""

from __future__ import annotations

from pathlib import Path

from .replica import Pool
from .worker import WorkerSpec
from .worker_host import WorkerHost
from .worker_pool import ForkedWorkers, WorkerPool


class LendingPool(Pool):
    """Runs one version of one reward, and lets gateways of this node send items to its workers."""

    _workers: ForkedWorkers | None = None
    _host: WorkerHost | None = None

    def _make_workers(self, spec: WorkerSpec) -> WorkerPool:
        self._workers = ForkedWorkers(spec)
        return self._workers

    def lend(self, folder: Path, name: str) -> None:
        """Lets gateways in, once the reward is set up; nothing where they are let in already.

        `name` is that of the socket; it begins with the reward's fingerprint.

        Raises:
            OSError: the socket cannot be made.
        """
        if self._host is None and self._workers is not None:
            self._host = WorkerHost(self._workers)
            self._host.start(folder, name)

    async def drain(self, grace_s: float) -> None:
        """Waits until gateways have ended what runs here or the grace is over, then stops."""
        if self._host is not None:
            await self._host.drain(grace_s)
        await self.stop()
