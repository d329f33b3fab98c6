"""The replicas of one reward that share the gateway's node: it sends items to their workers itself.

What finds no free one among them, where the reward has replicas elsewhere too, goes by Serve's
handle, as all does where there is no socket: on another node, or in another container.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

from rewardplane.config.load import RewardConfig
from rewardplane.replica.direct_run import DirectRun
from rewardplane.replica.job import Part
from rewardplane.replica.linked_workers import LinkedWorkers
from rewardplane.replica.replica import OnPart, Pool
from rewardplane.replica.worker import WorkersGone, WorkerSpec
from rewardplane.replica.worker_pool import WorkerPool

from .lane import Answers, OnLaneEnd, ReplicaLost, Send
from .local_links import LocalLinks


class LocalReplicas:
    """Sends jobs to the least busy replica of this node. Owned by its event loop."""

    def __init__(
        self,
        folder: Path | None,
        config: RewardConfig,
        elsewhere: Send,
        count: Callable[[], int] | None = None,
    ) -> None:
        """`count` tells how many replicas run, on all nodes; as many as are configured."""
        configured = config.replicas
        self._count = count or (lambda: configured)
        self._config = config
        self._elsewhere = elsewhere
        self._replicas = LocalLinks(folder, config.fingerprint, self._connect)

    async def send(self, messages: Sequence[Any], backlog: tuple[int, float]) -> Answers:
        """Runs jobs on a replica; its answers as they come.

        Raises:
            ReplicaLost: it is gone, or no replica can be reached.
        """
        replica = await self._choose()
        if replica is None:
            async with aclosing(self._elsewhere(messages, backlog)) as answers:
                async for answer in answers:
                    yield answer
            return
        replica.open += 1
        replica.busy += 1
        holds_place = True
        try:
            async with aclosing(replica.run(messages, backlog)) as answers:
                async for answer in answers:
                    if answer[1] and holds_place:
                        holds_place = False
                        replica.busy -= 1
                    yield answer
        except WorkersGone as error:
            raise ReplicaLost(str(error)) from None
        finally:
            replica.busy -= holds_place
            replica.open -= 1
            replica.close_when_drained()

    def start(self, message: Any, on_part: OnPart, on_end: OnLaneEnd) -> DirectRun | None:
        """Runs a job at once where a replica of this node is free for it; see `Pool`."""
        few = len(self._replicas) < self._count()
        if few and self._replicas.is_due:
            return None  # it is time to look for more
        replica = min(self._replicas.all, key=_load, default=None)
        if replica is None or replica.busy or replica.workers.is_draining:
            return None
        holds_place = False

        def give_place() -> None:
            nonlocal holds_place
            replica.busy -= holds_place
            holds_place = False

        def told(part: Part | None, waited_us: int) -> None:
            if part is None:
                give_place()
            on_part(part, waited_us)

        def ended(error: BaseException | None) -> None:
            give_place()
            replica.open -= 1
            replica.close_when_drained()
            lost = ReplicaLost(str(error)) if isinstance(error, WorkersGone) else error
            on_end(lost, replica.take_figures())

        run = replica.start_at_once(message, told, ended)
        if run is not None:
            holds_place = True
            replica.busy += 1
            replica.open += 1
        return run

    async def close(self) -> None:
        """Hangs up."""
        for replica in self._replicas.close():
            await replica.stop()

    async def _choose(self) -> _LocalReplica | None:
        few = len(self._replicas) < self._count()
        if few and self._replicas.is_due:
            await self._replicas.scan()
        serving = [r for r in self._replicas.all if not r.workers.is_draining]
        replica = min(serving, key=_load, default=None)
        if replica is not None and replica.busy and len(serving) < self._count():
            return None
        return replica

    async def _connect(self, path: Path, pid: int, lost: Callable[[], None]) -> _LocalReplica:
        return _LocalReplica(self._config, await LinkedWorkers.connect(path, pid, lost))


class _LocalReplica(Pool):
    """A replica of this node. `busy`: calls that it has no room beside; `open`: all calls."""

    def __init__(self, config: RewardConfig, workers: LinkedWorkers) -> None:
        super().__init__(config)
        self.workers = workers
        self.busy = 0
        self.open = 0
        workers.on_drain = self.close_when_drained

    def _make_workers(self, spec: WorkerSpec) -> WorkerPool:
        del spec
        return self.workers

    def hang_up(self) -> None:
        """Ends the connection."""
        self.workers.hang_up()

    def close_when_drained(self) -> None:
        """Hangs up on a replica that stops, when nothing runs there for this gateway any more."""
        if self.workers.is_draining and not self.open:
            self.hang_up()


def _load(replica: _LocalReplica) -> tuple[int, int]:
    return replica.busy, replica.open
