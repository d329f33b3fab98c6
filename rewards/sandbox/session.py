"""A confined child that is kept, and asked many things."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
from dataclasses import replace

from .errand import Errand, Fault, Paper, ended_how
from .limits import Limits
from .protocol import CONFINED, FRAME, Op
from .slot import Slot
from .verdict import Run, SessionEnded, Verdict

_START_S = 10.0
"""The least that a child has to confine itself: nothing of it is the code's doing."""
_HANG_UP_S = 0.05
_RECEIVE_BYTES = 1 << 16


class Session:
    """A child that answers one question at a time.

    `stdout` and `stderr` are what was written since the last answer.
    """

    def __init__(self, slot: Slot, entry: int, request: int, limits: Limits) -> None:
        """Starts the child; `confined` tells that it came up. Raises Fault."""
        self.stdout = b""
        self.stderr = b""
        self.active_s = 0.0
        """How long the last question took, but for waits for a CPU."""
        self._loop = asyncio.get_running_loop()
        self._limits = limits
        self._buffer = bytearray()
        self._out, self._err = Paper("stdout"), Paper("stderr")
        self._socket, its = socket.socketpair()
        self._socket.setblocking(False)
        self._closed = False
        files = [request, its.fileno(), self._out.fd, self._err.fd]
        begun = replace(limits, wall_s=max(limits.wall_s, _START_S))
        try:
            with its:
                self._errand = slot.start(Op.SESSION, entry, begun, files, self._conclude)
        except Fault:
            self._let_go()
            raise
        slot.look(self._errand)

    async def confined(self) -> None:
        """Waits until the child is confined and has its request.

        Raises:
            Fault: it is not; the session is closed.
        """
        try:
            first = await self._read(len(CONFINED))
        except (EOFError, OSError):
            first = b""
        except asyncio.CancelledError:
            await self.close()
            raise
        if first != CONFINED:
            ended = await self._end(Verdict.SANDBOX_ERROR)
            why = self.stderr[-1000:].decode(errors="replace")
            raise Fault(f"the child could not confine itself: {ended} {why}")
        self._rest()

    @property
    def cpu_s(self) -> float:
        """CPU time since its start."""
        return self._errand.cpu_us() / 1e6

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return not self._closed and not self._errand.ended.done()

    async def ask(self, message: bytes, *, wall_s: float, cpu_s: float | None = None) -> bytes:
        """The guest's answer, at most `Limits.result_bytes`. `cpu_s`: by default `Limits.cpu_s`.

        One at a time. Cancelled, it ends the session.

        Raises:
            SessionEnded: with how; what was written is in `stdout` and `stderr`.
        """
        if self._closed:
            raise SessionEnded(Verdict.SANDBOX_ERROR, "it was closed")
        cpu_s = self._limits.cpu_s if cpu_s is None else cpu_s
        self._errand.watch(replace(self._limits, wall_s=wall_s, cpu_s=cpu_s))
        try:
            await self._loop.sock_sendall(self._socket, FRAME.pack(len(message)) + message)
            answer = await self._answer()
        except (EOFError, OSError):
            raise await self._end(Verdict.RUNTIME_ERROR) from None
        except asyncio.CancelledError:
            await self.close()
            raise
        self.active_s = self._errand.active_us() / 1e6
        self._rest()
        self._take_output()
        return answer

    async def close(self) -> None:
        """Kills the child and waits until it is gone."""
        if not self._closed:
            self._errand.kill(Verdict.RUNTIME_ERROR)
            await self._end(Verdict.RUNTIME_ERROR)

    async def _end(self, cause: Verdict) -> SessionEnded:
        """Waits for the end, of `cause` where the child has hung up but lives."""
        if not self._closed:
            self._closed = True
            # It may be ending by itself just now, which tells more than a kill would.
            await asyncio.wait((self._errand.ended,), timeout=_HANG_UP_S)
            self._errand.kill(cause)
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait((self._errand.ended,))
            self._take_output()
            self._let_go()
        try:
            run = self._errand.ended.result()
        except Fault as fault:
            return SessionEnded(Verdict.SANDBOX_ERROR, str(fault))
        if run.verdict is Verdict.OK:
            return SessionEnded(Verdict.RUNTIME_ERROR, "it ended before it answered")
        return SessionEnded(run.verdict, run.detail)

    def _rest(self) -> None:
        """Between questions time does not count; what it computes all the same does."""
        self._errand.watch(replace(self._limits, wall_s=math.inf, starved_s=math.inf))

    async def _answer(self) -> bytes:
        (length,) = FRAME.unpack(await self._read(FRAME.size))
        if length > self._limits.result_bytes:
            self._errand.kill(Verdict.OUTPUT_LIMIT)
            raise EOFError
        return await self._read(length)

    async def _read(self, length: int) -> bytes:
        while len(self._buffer) < length:
            part = await self._loop.sock_recv(self._socket, _RECEIVE_BYTES)
            if not part:
                raise EOFError
            self._buffer += part
        got = bytes(self._buffer[:length])
        del self._buffer[:length]
        return got

    def _conclude(self, errand: Errand, status: int, cpu_us: int) -> Run:
        verdict, detail = ended_how(errand, status, cpu_us)
        return Run(verdict, b"", b"", b"", detail, cpu_us, errand.wall_us)

    def _take_output(self) -> None:
        self.stdout = self._out.take(self._limits.output_bytes)
        self.stderr = self._err.take(self._limits.output_bytes)

    def _let_go(self) -> None:
        self._socket.close()
        self._out.close()
        self._err.close()
