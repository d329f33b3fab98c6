"""A program in a sandbox of its own, as the tests that lie in another one use it."""

from __future__ import annotations

from ..sandbox.limits import Limits
from ..sandbox.session import Session
from ..sandbox.verdict import SessionEnded, Verdict
from .ending import ENDINGS, Ending, Failure


class HeldProgram:
    """The sandbox that holds the program, while it lives."""

    def __init__(self, session: Session, limits: Limits) -> None:
        self.session = session
        self.ended: Failure | None = None
        self.units = 0
        """Tests that used it."""
        self._limits = limits
        self._number = 0
        self._cpu_before_s = 0.0
        self._wall_s = 0.0

    def begin(self) -> None:
        """A test begins: it has the limits for itself."""
        self._cpu_before_s, self._wall_s = self.session.cpu_s, 0.0

    @property
    def cpu_s(self) -> float | None:
        """CPU time since the test began; None: it has ended, and nobody knows."""
        return None if self.ended is not None else self.session.cpu_s - self._cpu_before_s

    async def ask(self, question: bytes) -> bytes:
        """Its answer; X and why, once it has ended.

        Raises:
            SessionEnded: SANDBOX_ERROR, HOST_KILLED.
        """
        if self.ended is not None:
            return b"X" + self.ended.why.encode()
        self._number += 1
        number = self._number.to_bytes(8, "little")
        cpu_s = self._limits.cpu_s - (self.session.cpu_s - self._cpu_before_s)
        wall_s = self._limits.wall_s - self._wall_s
        try:
            answer = await self.session.ask(
                number + question, wall_s=max(0.01, wall_s), cpu_s=max(0.01, cpu_s)
            )
        except SessionEnded as ended:
            raise_faults(ended)
            return self._end(ENDINGS[ended.verdict], ended.detail)
        self._wall_s += self.session.active_s
        if answer[:8] != number or answer[8:9] not in (b"V", b"R", b"X", b"L", b"N"):
            await self.session.close()
            return self._end(Ending.CRASHED, "it answered what it was not asked")
        if answer[8:9] == b"X":
            await self.session.close()
            why = answer[9:509].decode("utf-8", "replace")
            return self._end(_ending_of(why), why)
        return answer[8:]

    def _end(self, ending: Ending, why: str) -> bytes:
        self.ended = Failure(ending, why)
        return b"X" + why.encode()


def raise_faults(ended: SessionEnded) -> None:
    """Raises it where the program has no part in it."""
    if ended.verdict in (Verdict.SANDBOX_ERROR, Verdict.HOST_KILLED):
        raise ended


def _ending_of(why: str) -> Ending:
    return Ending.MEMORY_LIMIT if why.startswith("MemoryError") else Ending.CRASHED
