"""A process that runs one reward: forked from a fork server, fed by descriptor, killed by pidfd.

The owner is the event loop that spawned it. What runs in the process is `worker_main`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .fork_server import Forked, ForkServer, ForkServerLost
from .order import FIRST_SLOT, LINK, NUMBER, ORDER, OWN_FILE, RING
from .segment import RUNNING, SLOTS, Ring, Segment
from .work import Work

START_TIMEOUT_S = 300.0
REPORT_S = 1.0
"""How long the fork server may take to tell of an exit that the pidfd has told already."""


class WorkerFailed(Exception):
    """The process could not set its reward up; the message says why."""


class WorkerLost(WorkerFailed):
    """It was lost while it started, with the process that forks it: another try may do."""


class WorkersGone(WorkerFailed):
    """The replica whose workers these were is gone: what was theirs is to run elsewhere."""


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

    def __init__(self, forked: Forked) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = forked.socket
        self._pidfd = forked.pidfd
        self._report = forked.ended
        self._next_number = 0
        self._running: dict[int, tuple[asyncio.Future[bool], Segment]] = {}
        self._ring: Ring | None = None
        self._free_slots = list(range(SLOTS))
        self.pid = forked.pid
        self.alive = True
        """Whether it runs and was not killed."""
        self._hears = True
        self.exited: asyncio.Future[None] = self._loop.create_future()
        self.exit_code: int | None = None
        """Negative: the signal that ended it. None: it runs, or nothing is known of its end."""
        self.lost = False
        """Whether it ended with the process that forked it, by no doing of its own."""
        self.peak_bytes = 0
        self.replaced = False
        """Set by its pool: it gets no further work and ends when it has done what it has."""
        self.aside = False
        """Set by its pool: it gets no further work."""
        self.shared = False
        """Whether other owners may have items on it."""
        self.holders: set[object] = set()
        """Other owners that have not let it go yet."""
        self.overran = False
        """Set by who kills it because a call of its reward does not come back."""
        self.running_at_death = 0
        """Items, of all its segments, that were RUNNING when it ended."""
        self.stepping_at_death = False
        """Whether a segment told whose code had the event loop when it ended."""
        self.shards_fed = 0
        self._loop.add_reader(self._socket, self._readable)
        self._loop.add_reader(self._pidfd, self._gone)

    @classmethod
    async def spawn(cls, spec: WorkerSpec, fork_server: ForkServer) -> Worker:
        """Starts a process and waits until its reward is set up.

        Raises:
            WorkerFailed: the set-up raised, died or took longer than 300 s.
            WorkerLost: it had no chance to.
        """
        try:
            worker = cls(await fork_server.fork())
        except ForkServerLost as error:
            raise WorkerLost(str(error)) from None
        segment = Segment.create(1, 0, json.dumps(asdict(spec)).encode())
        try:
            ended = await worker.feed(segment)
            await asyncio.wait((ended,), timeout=START_TIMEOUT_S)
            worker._check_set_up(spec, segment, ended)
        except BaseException:
            worker.kill()
            raise
        finally:
            segment.close()
        worker.shards_fed = 0
        return worker

    def _check_set_up(
        self, spec: WorkerSpec, segment: Segment, ended: asyncio.Future[bool]
    ) -> None:
        if ended.done() and ended.result():
            return
        said = f"it took more than {START_TIMEOUT_S:g} s"
        if ended.done() and self.exit_code is None:
            raise WorkerLost(f"reward of kind {spec.kind!r} is not set up: its process was lost")
        if ended.done():
            said = segment.extras().get(0, [0, _ended_how(self.exit_code)])[1]
        raise WorkerFailed(f"reward of kind {spec.kind!r} cannot be set up: {said}")

    @property
    def usable(self) -> bool:
        """Whether it may be fed."""
        return self.alive and self._hears

    @property
    def idle(self) -> bool:
        """Whether no shard is with it."""
        return not self._running

    def segment(self, n: int, k: int, work: Work, *, in_slot: bool = False) -> Segment:
        """A segment of `n` items with `k` components for this worker; give it back by `release`.

        `in_slot`: in the ring, where it has room; shards that run side by side have files of their
        own.
        """
        if in_slot and self._free_slots and Ring.fits(n, k, work.size):
            ring = self._ring or self._send_ring()
            if ring is not None:
                segment = ring.segment(self._free_slots.pop(), n, k, work.size, work.write)
                segment.words[0] = work.words
                return segment
        segment = Segment.with_payload(n, k, work.size, work.write)
        segment.words[0] = work.words
        return segment

    def release(self, segment: Segment) -> None:
        """Nobody reads or writes a segment any more."""
        if segment.slot >= 0 and self._ring is not None:
            self._ring.free(segment)
            self._free_slots.append(segment.slot)
            self._drop_ring()
        segment.close()

    def _drop_ring(self) -> None:
        """Gives the ring back once the worker is gone and nobody reads it any more."""
        if self._pidfd < 0 and len(self._free_slots) == SLOTS and self._ring is not None:
            self._ring.close()
            self._ring = None

    def _send_ring(self) -> Ring | None:
        """Makes the ring and hands it to the worker; None where that is not possible now."""
        if not self.usable:
            return None
        ring = Ring.create()
        try:
            socket.send_fds(self._socket, [ORDER.pack(0, RING)], list(ring.fds))
        except OSError:  # the socket is full, or the worker gone
            ring.close()
            return None
        self._ring = ring
        return ring

    def link(self, descriptor: int) -> None:
        """Brings the worker a link to another owner.

        Raises:
            OSError: it cannot be reached.
        """
        socket.send_fds(self._socket, [ORDER.pack(0, LINK)], [descriptor])

    async def feed(self, segment: Segment) -> asyncio.Future[bool]:
        """Hands a segment over.

        The future is True when the worker is done with the segment, False when it died before.
        """
        while self.usable:
            if (ended := self.feed_now(segment)) is not None:
                return ended
            await asyncio.sleep(0.001)
        await asyncio.shield(self.exited)
        ended = self._loop.create_future()
        ended.set_result(False)
        return ended

    def feed_now(self, segment: Segment) -> asyncio.Future[bool] | None:
        """As `feed`; None where the worker does not read now, or is gone."""
        number = self._next_number
        where = OWN_FILE if segment.slot < 0 else FIRST_SLOT + segment.slot
        try:
            if segment.slot < 0:
                socket.send_fds(self._socket, [ORDER.pack(number, where)], [segment.fd])
            else:
                self._socket.send(ORDER.pack(number, where))
        except BlockingIOError:
            return None
        except OSError:  # its end of the socket is gone; so is the process, soon
            self.kill()
            return None
        self._next_number += 1
        self.shards_fed += 1
        ended: asyncio.Future[bool] = self._loop.create_future()
        self._running[number] = ended, segment
        return ended

    def duplicate_pidfd(self) -> int:
        """A descriptor of the process for another owner; the caller closes it.

        Raises:
            OSError: the process is gone.
        """
        return os.dup(self._pidfd)

    def kill(self) -> None:
        """Ends the process now, by its descriptor: a pid may be somebody else's by then."""
        self.alive = False
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):  # it ended; the loop will tell
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    async def close(self) -> None:
        """Ends the process and waits until it is gone."""
        self.kill()
        await asyncio.shield(self.exited)

    def leave(self) -> None:
        """Lets the process go, which goes on without this owner."""
        if self._pidfd >= 0:
            self.lost = True
            self._hang_up()
            self._finish()

    def _readable(self) -> None:
        try:
            data = self._socket.recv(NUMBER.size + 1)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if len(data) == NUMBER.size and (number := NUMBER.unpack(data)[0]) in self._running:
            self._end(number, finished=True)
            return
        self._loop.remove_reader(self._socket)
        self._hears = False
        # A reward wrote where only its worker may: the process would go on and wait for ever. Or it
        # closed what is not its own: then what runs is not to blame, it may end, and with it the
        # process, which cannot tell.
        if data or (self.idle and not self.holders):
            self.kill()

    def _end(self, number: int, *, finished: bool) -> None:
        running = self._running.pop(number, None)
        if running is not None and not running[0].done():
            running[0].set_result(finished)

    def _gone(self) -> None:
        """The process is no more; the fork server is about to say how it ended."""
        self._hang_up()
        # A fork server that was stopped says nothing.
        timer = self._loop.call_later(REPORT_S, self._report.cancel)
        self._report.add_done_callback(lambda _: timer.cancel())
        self._report.add_done_callback(self._reported)

    def _hang_up(self) -> None:
        self.alive = False
        self._loop.remove_reader(self._pidfd)
        self._loop.remove_reader(self._socket)
        os.close(self._pidfd)
        self._pidfd = -1
        self._socket.close()
        self._drop_ring()

    def _reported(self, report: asyncio.Future[tuple[int | None, int]]) -> None:
        if not report.cancelled():
            self.exit_code, self.peak_bytes = report.result()
            self.lost = self.exit_code is None
        self._finish()

    def _finish(self) -> None:
        segments = [segment for _ended, segment in self._running.values()]
        self.running_at_death = sum(s.read_states().count(RUNNING) for s in segments)
        self.stepping_at_death = any(s.stepping[0] for s in segments)
        if not self.exited.done():
            self.exited.set_result(None)
        for number in list(self._running):
            self._end(number, finished=False)


def _ended_how(exit_code: int | None) -> str:
    exit_code = exit_code or 0
    how = f"signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"
    return f"its process ended with {how}"
