"""A process that runs one reward: spawned by exec, fed by descriptor, killed by pidfd.

The owner is the event loop that spawned it. What runs in the process is `worker_main`.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .segment import NUMBER, RUNNING, Segment

START_TIMEOUT_S = 300.0


class WorkerFailed(Exception):
    """The process could not set its reward up; the message says why."""


@dataclass(slots=True, frozen=True)
class WorkerSpec:
    """What a worker process runs, as plain data that JSON carries.

    `clip` is (low, high); `concurrency` bounds the calls in flight of an async reward.
    """

    kind: str
    params: Mapping[str, Any]
    clip: tuple[float, float]
    component_count: int
    memory_limit_bytes: int
    concurrency: int = 1


class Worker:
    """One worker process. Make it with `spawn`; end it with `kill` or `close`."""

    def __init__(self, process: subprocess.Popen[bytes], owner: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        self._process = process
        self._socket = owner
        self._pidfd = os.pidfd_open(process.pid)
        self._next_number = 1
        self._ended: dict[int, asyncio.Future[bool]] = {}
        self._segments: dict[int, Segment] = {}
        self.exited: asyncio.Future[None] = self._loop.create_future()
        self.exit_code: int | None = None
        self.peak_bytes = 0
        self.shards_run = 0
        self.running_at_death = 0
        self._loop.add_reader(owner, self._readable)
        self._loop.add_reader(self._pidfd, self._exited)

    @classmethod
    async def spawn(cls, spec: WorkerSpec) -> Worker:
        """Starts a process and waits until its reward is set up.

        Raises:
            WorkerFailed: the set-up raised, died or took longer than 300 s.
        """
        owner, child = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        owner.setblocking(False)
        command = [sys.executable, "-m", "rewardplane.service.worker_main", str(child.fileno())]
        with child:
            process = subprocess.Popen(command, pass_fds=[child.fileno()], stdin=subprocess.DEVNULL)  # noqa: S603, ASYNC220 - vfork, about a millisecond
        worker = cls(process, owner)
        segment = Segment.create(1, 0, json.dumps(asdict(spec)).encode())
        try:
            number = await worker.feed(segment, number=0)
            if not await worker.wait(number, START_TIMEOUT_S):
                said = segment.extras().get(0, [f"exit code {worker.exit_code}"])[0]
                raise WorkerFailed(f"reward of kind {spec.kind!r} cannot be set up: {said}")
        except BaseException:
            worker.kill()
            raise
        finally:
            segment.close()
        return worker

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return not self.exited.done()

    @property
    def pid(self) -> int:
        """The process's id, also after its end."""
        return self._process.pid

    async def feed(self, segment: Segment, number: int | None = None) -> int:
        """Hands a segment over; returns the number to wait for."""
        if number is None:
            number = self._next_number
            self._next_number += 1
        self._ended[number] = self._loop.create_future()
        self._segments[number] = segment
        while self.alive:
            try:
                socket.send_fds(self._socket, [NUMBER.pack(number)], [segment.fd])
                break
            except BlockingIOError:
                await asyncio.sleep(0.001)
            except OSError:
                await self.exited
        if not self.alive:
            self._end(number, finished=False)
        return number

    async def wait(self, number: int, timeout_s: float) -> bool | None:
        """True when the shard is done, False when the process died, None when the time is over.

        Cancelling the wait leaves the shard with the process.
        """
        ended = self._ended[number]
        if not ended.done():
            await asyncio.wait((ended,), timeout=timeout_s)
            if not ended.done():
                return None
        del self._ended[number]
        self._segments.pop(number, None)
        return ended.result()

    def kill(self) -> None:
        """Ends the process now, by its descriptor: a pid may be somebody else's by then."""
        if self.alive:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    async def close(self) -> None:
        """Ends the process and waits until it is gone."""
        self.kill()
        await self.exited

    def _readable(self) -> None:
        try:
            data = self._socket.recv(NUMBER.size)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(self._socket)
            self.kill()
            return
        self.shards_run += 1
        self._end(NUMBER.unpack(data)[0], finished=True)

    def _end(self, number: int, *, finished: bool) -> None:
        ended = self._ended.get(number)
        if ended is not None and not ended.done():
            ended.set_result(finished)

    def _exited(self) -> None:
        self._loop.remove_reader(self._pidfd)
        self._loop.remove_reader(self._socket)
        try:
            _pid, status, usage = os.wait4(self._process.pid, 0)
        except ChildProcessError:  # reaped by someone else: then nothing is known of its end
            self._process.returncode = 0
        else:
            self.exit_code = self._process.returncode = os.waitstatus_to_exitcode(status)
            self.peak_bytes = usage.ru_maxrss * 1024
        os.close(self._pidfd)
        self._socket.close()
        self.running_at_death = sum(
            s.states.tobytes().count(RUNNING) for s in self._segments.values()
        )
        self.exited.set_result(None)
        for number in list(self._ended):
            self._end(number, finished=False)
