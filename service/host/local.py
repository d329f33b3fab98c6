"""A whole service in one process, without a cluster: a gateway, and replicas with their workers.

The replicas are what they are on Ray: a fork server and its worker processes each, of which the
gateway takes the workers. Everything runs in one event loop, in a thread of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from concurrent.futures import TimeoutError as WaitTimeout
from pathlib import Path
from typing import Any, TypeVar, cast

import uvloop
from rewardplane.config.load import RewardConfig, ServiceConfig
from rewardplane.config.replicas import first_of
from rewardplane.gateway.doors.door import address_of
from rewardplane.gateway.lane import Answers, PoolLane, ReplicaLost
from rewardplane.gateway.local_replicas import LocalReplicas
from rewardplane.gateway.served import ServedReward
from rewardplane.replica.lending import LendingPool
from rewardplane.replica.memory import keep_freed_memory
from rewardplane.replica.worker import WorkerFailed

from .front import Front
from .options import Options
from .progress import POLL_S, DeployFailed, Progress

DRAIN_S = 20.0
STOP_S = 30.0

T = TypeVar("T")


class LocalService:
    """One configuration in this process: `start`, `reload` as often as wanted, `stop`."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="rewardplane", daemon=True)
        # A socket's path has 107 characters at the most.
        self._folder = Path(tempfile.mkdtemp(prefix="rewardplane-"))
        self._config: ServiceConfig | None = None
        self._front: Front | None = None
        self._port = 0
        self._replicas: dict[str, list[LendingPool]] = {}
        self._generation = 0
        self._saying = ""
        self._retiring: set[asyncio.Task[None]] = set()
        self._working: set[asyncio.Task[Any]] = set()
        """What a caller waits for, or has given up and is about to end."""

    def start(self, config: ServiceConfig, progress: Progress) -> None:
        """Sets all rewards up and listens.

        Raises:
            DeployFailed: a reward cannot be set up, or a port is taken.
            Stopped: a signal asked to end; nothing is left.
        """
        self._thread.start()
        try:
            self._await(self._start(config), progress)
        except BaseException:
            self.stop()
            raise

    def reload(self, config: ServiceConfig, progress: Progress) -> list[str]:
        """Serves `config` from now on; returns the names of the rewards that changed.

        Raises:
            DeployFailed: a new version cannot be set up; what was served goes on being served.
            Stopped: a signal asked to end.
        """
        return self._await(self._reload(config), progress)

    def upkeep(self) -> None:
        """Ends the replicas of old versions that no call uses."""
        self._await(self._retire(), Progress())

    def addresses(self) -> list[str]:
        """Where the gateway listens."""
        return [address_of(self._options.host, self._port)]

    def stop(self) -> None:
        """Lets calls in flight end, then ends everything."""
        if self._thread.is_alive():
            with contextlib.suppress(WaitTimeout):
                asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(STOP_S)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.close()

    def _await(self, work: Coroutine[Any, Any, T], progress: Progress) -> T:
        future: Future[T] = asyncio.run_coroutine_threadsafe(self._owned(work), self._loop)
        try:
            while True:
                # In the thread of the caller, who may set signal handlers meanwhile.
                progress.say(self._saying) if self._saying else progress.check()
                with contextlib.suppress(WaitTimeout):
                    return future.result(POLL_S)
        except BaseException:
            future.cancel()
            raise

    async def _owned(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - it runs in one
        self._working.add(task)
        try:
            return await work
        finally:
            self._working.discard(task)

    async def _start(self, config: ServiceConfig) -> None:
        _check(config)
        keep_freed_memory()
        await self._set_up(list(config.rewards.values()))
        self._front = Front(self._options, config.limits, self._lane)
        self._generation = 1
        self._front.switch(config, self._generation)
        try:
            self._port = await self._front.start()
        except OSError as error:
            raise DeployFailed(str(error)) from None
        self._config = config

    async def _reload(self, config: ServiceConfig) -> list[str]:
        assert self._config is not None  # noqa: S101 - it was started
        assert self._front is not None  # noqa: S101
        if config.limits != self._config.limits:
            raise DeployFailed("limits: cannot change while serving; restart the service")
        _check(config)
        old = self._config.rewards
        served = {r.fingerprint for r in old.values()}
        fresh = [r for r in config.rewards.values() if r.fingerprint not in served]
        await self._set_up(fresh)
        self._generation += 1
        self._front.switch(config, self._generation)
        self._config = config
        gone = [name for name in old if name not in config.rewards]
        return [r.name for r in fresh] + gone

    async def _set_up(self, rewards: list[RewardConfig]) -> None:
        """Starts the replicas of reward versions, side by side; all or none."""
        new = [r for r in rewards if r.has_replicas and r.fingerprint not in self._replicas]
        made = {
            r.fingerprint: [LendingPool(r) for _ in range(first_of(r.settings.replicas))]
            for r in new
        }
        up = 0
        names = {r.fingerprint: r.name for r in new}
        count = sum(map(len, made.values()))

        async def start(fingerprint: str, rank: int, pool: LendingPool) -> None:
            nonlocal up
            try:
                await pool.check_health()
            except WorkerFailed as error:
                raise DeployFailed(f"rewards.{names[fingerprint]}: {error}") from None
            pool.lend(self._folder, f"{fingerprint}.{rank}")
            up += 1
            self._saying = f"{up} of {count} replicas are set up"

        try:
            async with asyncio.TaskGroup() as tasks:
                for fingerprint, pools in made.items():
                    for rank, pool in enumerate(pools):
                        tasks.create_task(start(fingerprint, rank, pool))
        except BaseException as error:
            for pool in (pool for pools in made.values() for pool in pools):
                await pool.stop()
            if isinstance(error, BaseExceptionGroup):
                first: BaseException = cast("Any", error).exceptions[0]
                raise first from None
            raise
        finally:
            self._saying = ""
        self._replicas |= made

    def _lane(self, served: ServedReward) -> PoolLane:
        replicas = LocalReplicas(self._folder, served.config, _nobody, lambda: served.up)
        return PoolLane(served, replicas.send, replicas.start)

    async def _retire(self) -> None:
        if self._front is None:
            return
        for fingerprint in set(self._replicas) - self._front.rewards.in_use():
            for pool in self._replicas.pop(fingerprint):
                task = asyncio.create_task(pool.drain(DRAIN_S))
                self._retiring.add(task)
                task.add_done_callback(self._retiring.discard)

    async def _stop(self) -> None:
        if self._working:  # a start that was given up puts away what it had begun
            await asyncio.wait(self._working, timeout=DRAIN_S)
        if self._front is not None:
            await self._front.stop(DRAIN_S)
        pools = [pool for pools in self._replicas.values() for pool in pools]
        await asyncio.gather(*(pool.drain(0.1) for pool in pools), *self._retiring)


def _check(config: ServiceConfig) -> None:
    if config.asked_models():
        names = ", ".join(model.name for model in config.asked_models())
        raise DeployFailed(
            f"models.{names}: models run on Ray: serve with `rewardplane serve`, without --no-ray"
        )


async def _nobody(_messages: Any, _backlog: Any) -> Answers:
    raise ReplicaLost("no replica of the reward is up")
    yield
