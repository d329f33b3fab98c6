"""One zygote as the pool sees it: orders go in, ends come out, any anomaly ends it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from .errand import Errand, Fault, Paper, judge, order_for, pid_of, request_file
from .limits import Limits
from .protocol import MAX_READY_BYTES, MESSAGE, ORDER, Message, Op, Order, Told
from .seed import Seed
from .verdict import Run, Verdict

_Papers = tuple[Paper, Paper, Paper]


class Becomes(NamedTuple):
    """What a run may become. It needs a stdin."""

    program: int
    """See `protocol.Order`."""
    keeps: bool = False
    """Whether its scratch stays for the next run on the slot, or until `Slot.clear`."""
    file: int = -1
    """The descriptor of the program, of GIVEN_PROGRAM."""


_STAYS = Becomes(0)


class Slot:
    """A zygote, from the asking for it to its end: one run at a time, and sessions beside it."""

    def __init__(self, place: int, seed: Seed, asked: dict[str, Any]) -> None:
        """Asks for it; `ready` tells more. Raises OSError when the seed is gone."""
        self.place = place
        self.controls: dict[str, str] | None = None
        """Each control that it tried with "" or with why it is not held; None: not yet known."""
        self.has_scratch = False
        """Whether its runs have a folder to write to."""
        self.failure = ""
        """Why it must not be used any more."""
        self.runs = 0
        self.born_s = time.monotonic()
        self._socket = seed.zygote(asked)
        self._pidfd = -1
        self._number = 0
        self._run: Errand | None = None
        self._errands: dict[int, Errand] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._settled: asyncio.Event | None = None
        self._retired = False
        self.on_failure: Callable[[Slot], None] | None = None

    @property
    def pid(self) -> int:
        """The process id of the zygote; 0: not yet known, or gone."""
        return pid_of(self._pidfd) if self._pidfd >= 0 else 0

    @property
    def children(self) -> int:
        """How many there are."""
        return len(self._errands)

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Listens to it in a running loop."""
        if self._loop is not loop and not self.failure:
            self.detach()
            self._loop = loop
            loop.add_reader(self._socket, self._readable)

    def detach(self) -> None:
        """Stops listening; the loop may be closed already."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._socket)
        self._loop = None

    async def ready(self, timeout_s: float) -> None:
        """Waits until it has told its controls, or failed."""
        self._settled = asyncio.Event()
        if self.controls is None and not self.failure:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._settled.wait()
            except TimeoutError:
                self.fail(f"the zygote was not ready within {timeout_s:g} s")

    def start(
        self,
        op: Op,
        entry: int,
        limits: Limits,
        files: list[int],
        conclude: Callable[[Errand, int, int], Run],
        program: int = 0,
        *,
        keeps: bool = False,
    ) -> Errand:
        """Starts a child. `files`, `program` and `keeps`: see `protocol.Order`.

        Raises:
            Fault: the zygote does not take orders any more.
        """
        if not self.failure:
            self._number += 1
            errand = Errand(self._number, limits, self._order, self.fail, conclude)
            errand.is_session = op == Op.SESSION
            self._errands[errand.number] = errand
            errand.watch(limits)
            self._send(order_for(op, errand.number, entry, limits, program, keeps=keeps), files)
            if not self.failure:
                return errand
        raise Fault(self.failure)

    async def run(
        self,
        entry: int,
        request: int,
        limits: Limits,
        stdin: bytes | None = None,
        becomes: Becomes | None = None,
    ) -> Run:
        """Runs one child to its end. `request`: the file it reads; `stdin`: of a program.

        Cancelled, the child is killed; the slot is busy until `idle`.

        Raises:
            Fault: of the sandbox.
        """
        self.runs += 1
        if self.failure:
            raise Fault(self.failure)
        # New ones for each run: one could leave a place, flags or a map in the last one's.
        papers = Paper("answer", only_grows=True), Paper("stdout"), Paper("stderr")
        files = [request, *(paper.fd for paper in papers)]
        if stdin is not None:  # not shared between attempts: a descriptor has a place in its file
            files.append(request_file(stdin))
        program, keeps, given = becomes or _STAYS
        sent = [*files, given] if given >= 0 else files
        try:
            conclude = partial(_judged, papers)
            errand = self.start(Op.RUN, entry, limits, sent, conclude, program, keeps=keeps)
        except Fault:
            _close(papers)
            raise
        finally:
            for file in files[4:]:
                os.close(file)
        errand.ended.add_done_callback(lambda _: _close(papers))
        self._run = errand
        try:
            return await asyncio.shield(errand.ended)
        except asyncio.CancelledError:
            errand.kill(Verdict.WALL_LIMIT)
            raise

    def clear(self) -> None:
        """Empties the scratch that a run kept."""
        self._order(Op.CLEAR, 0)

    async def idle(self) -> None:
        """Waits until the last run has ended, however it did."""
        if self._run is not None:
            await asyncio.wait((self._run.ended,))

    def check(self) -> None:
        """Raises Fault where it is not all that was asked for."""
        lost = [name for name, why in (self.controls or {}).items() if why]
        if lost:
            self.fail(f"a new zygote lacks {', '.join(lost)}")
        if self.failure:
            raise Fault(self.failure)

    def retire(self) -> None:
        """Ends it as soon as its sessions have ended."""
        self._retired = True
        if not self._errands:
            self.kill()

    def fail(self, why: str) -> None:
        """Ends it now; all that ran in it is told."""
        if self.failure:
            return
        self.failure = why
        self.kill()
        if self._settled is not None:
            self._settled.set()
        errands, self._errands = list(self._errands.values()), {}
        for errand in errands:
            errand.fail(why)
        if self.on_failure is not None:
            self.on_failure(self)

    def kill(self) -> None:
        """Ends the zygote: by its pidfd, and by the end of its socket where that is not allowed."""
        self.failure = self.failure or "the zygote was ended"
        self.detach()
        self._socket.close()
        if self._pidfd >= 0:
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            os.close(self._pidfd)
            self._pidfd = -1

    def look(self, errand: Errand) -> None:
        """Makes sure that the CPU time of a child is known at any time."""
        self._order(Op.LOOK, errand.number)

    def _order(self, op: Op, number: int) -> None:
        self._send(Order(op, number), [])

    def _send(self, order: Order, files: list[int]) -> None:
        try:
            socket.send_fds(self._socket, [ORDER.pack(*order)], files)
        except OSError as error:
            self.fail(f"the zygote takes no orders: {error}")

    def _readable(self) -> None:
        try:
            data, files, _flags, _address = socket.recv_fds(
                self._socket, MESSAGE.size + MAX_READY_BYTES, 1
            )
        except BlockingIOError:
            return
        except OSError as error:
            self.fail(f"the zygote is lost: {error}")
            return
        if len(data) < MESSAGE.size:
            self.fail("the zygote died")
            return
        message = Message(*MESSAGE.unpack_from(data))
        if message.told == Told.READY:
            self._pidfd = files[0]
            facts = json.loads(data[MESSAGE.size :])
            self.controls, self.has_scratch = facts["controls"], facts["has_scratch"]
            if self._settled is not None:
                self._settled.set()
            return
        errand = self._errands.get(message.number)
        if message.told == Told.PIDFD and errand is not None:
            errand.seen(files[0])
        elif message.told == Told.ENDED and errand is not None:
            del self._errands[message.number]
            errand.end(message.value, message.cpu_us)
            if self._retired and not self._errands:
                self.kill()
        elif message.told == Told.REFUSED and errand is not None:
            self.fail(f"the zygote cannot fork: {os.strerror(message.value)}")
        else:
            for file in files:
                os.close(file)


def _judged(papers: _Papers, errand: Errand, status: int, cpu_us: int) -> Run:
    return judge(errand, status, cpu_us, *papers)


def _close(papers: _Papers) -> None:
    for paper in papers:
        paper.close()
