"""A reward function from source text, kept warm in confined processes and called item by item.

One call at a time in a process. State that the function keeps lives as long as its process, which
is replaced after some calls, after some time, and whenever a call does not come back.
"""

from __future__ import annotations

import asyncio
import json
import math
import secrets
import time
from collections.abc import Sequence
from typing import Any, ClassVar

from ..result import shown
from ..sandbox.limits import Limits
from ..sandbox.pool import SandboxPool
from ..sandbox.session import Session
from ..sandbox.verdict import SessionEnded, Verdict
from ..types import InvalidResult, Reason, RewardFault, SandboxFault
from .snippet_source import Shape

GUEST = "snippet"
"""Of a pool's profile, for what is served here."""
LOAD_S = 30.0
"""How long the top level of the source may run."""
RECYCLE_CALLS = 5000
RECYCLE_S = 600.0
MAX_DEBUG_CHARS = 4000
_RESULT_BYTES = 16_384


class TimedOut(RewardFault):
    """The function executed longer than it may; its process was killed."""

    reason: ClassVar[Reason] = Reason.TIMED_OUT


class OutOfMemory(RewardFault):
    """The function took more memory than it may."""

    reason: ClassVar[Reason] = Reason.OUT_OF_MEMORY


class Crashed(RewardFault):
    """The function ended the process that it ran in."""

    reason: ClassVar[Reason] = Reason.CRASHED


class HostKilled(SandboxFault):
    """The host ended the process of the function, for want of memory most likely."""


class Raised(RewardFault):
    """The function raised; the message is what, and where in the source."""

    reason: ClassVar[Reason] = Reason.RAISED


_FAULTS: dict[Verdict, type[RewardFault]] = {
    Verdict.CPU_LIMIT: TimedOut,
    Verdict.WALL_LIMIT: TimedOut,
    Verdict.MEMORY_LIMIT: OutOfMemory,
    Verdict.HOST_KILLED: HostKilled,
    Verdict.SANDBOX_ERROR: SandboxFault,
}


class _Warm:
    """A session with the function in it."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.calls = 0
        self.born_s = time.monotonic()

    @property
    def usable(self) -> bool:
        young = time.monotonic() - self.born_s < RECYCLE_S
        return self.session.alive and self.calls < RECYCLE_CALLS and young

    async def ask(self, what: Sequence[Any], timeout_s: float) -> dict[str, Any]:
        self.calls += 1
        # What cannot be guessed cannot be answered ahead, in the place of a later item's answer.
        number = secrets.randbits(53)
        question = json.dumps([number, what]).encode()
        try:
            answer = await self.session.ask(question, wall_s=timeout_s, cpu_s=timeout_s)
        except SessionEnded as ended:
            kind = _FAULTS.get(ended.verdict, Crashed)
            raise kind(f"{_why(ended)}{_quoted(self.session)}") from None
        try:
            found: dict[str, Any] = dict(json.loads(answer))
        except (ValueError, TypeError, RecursionError):
            found = {}
        if found.pop("to", None) == number:
            return found
        # Whatever comes next might be the answer to this.
        await self.session.close()
        raise InvalidResult("the function's process answered what it was not asked")


class SnippetServer:
    """Calls one function from source; as many calls side by side as `at_once`.

    The pool's profile must have the guest `GUEST`. What is wrong with the source is told by each
    call: check it with `check_source` before.
    """

    def __init__(
        self, pool: SandboxPool, source: str, shape: Shape, *, memory_mb: int, at_once: int
    ) -> None:
        self._pool = pool
        self._source = [source, shape]
        self._memory_mb = memory_mb
        self._places = asyncio.Semaphore(at_once)
        self._warm: list[_Warm] = []

    async def call(self, arguments: Sequence[Any], timeout_s: float) -> tuple[float, str]:
        """What the function returns, and what it printed. `timeout_s`: of CPU, and of the clock.

        Raises:
            Raised, InvalidResult, TimedOut, OutOfMemory, Crashed: the function's own doing.
            SandboxFault: the sandbox's; it was tried again.
        """
        async with self._places:
            try:
                return await self._ask(arguments, timeout_s)
            except SandboxFault as fault:
                first = fault
            try:
                return await self._ask(arguments, timeout_s)
            except HostKilled as fault:
                if isinstance(first, HostKilled):  # a third time would cost a neighbour as well
                    raise OutOfMemory(f"twice: {fault}") from None
                raise

    async def close(self) -> None:
        """Ends the processes."""
        while self._warm:
            await self._warm.pop().session.close()

    async def _ask(self, arguments: Sequence[Any], timeout_s: float) -> tuple[float, str]:
        warm = await self._take(timeout_s)
        answer = await warm.ask(arguments, timeout_s)
        if warm.usable:
            self._warm.append(warm)
        else:
            await warm.session.close()
        return _value(answer), _printed(warm.session)

    async def _take(self, timeout_s: float) -> _Warm:
        while self._warm:
            warm = self._warm.pop()
            if warm.usable:
                return warm
            await warm.session.close()
        limits = Limits(
            cpu_s=timeout_s,
            wall_s=timeout_s,
            memory_mb=self._memory_mb,
            result_bytes=_RESULT_BYTES,
        )
        try:
            session = await self._pool.open(GUEST, b"", limits)
        except SessionEnded as ended:
            raise SandboxFault(ended.detail) from None
        warm = _Warm(session)
        loaded = await warm.ask(self._source, LOAD_S)
        if "raised" in loaded:
            await session.close()
            raise Raised(f"the source, when it was loaded: {loaded['raised']}")
        return warm


def _value(answer: dict[str, Any]) -> float:
    match answer:
        case {"value": float(value)}:
            # JSON has no NaN, but Python's reader takes it, and 1e999 for infinity.
            if not math.isfinite(value):
                raise InvalidResult(f"the function returned {value}, want a finite number")
            return value
        case {"raised": str(said)}:
            raise Raised(said[:2000])
        case {"odd": str(kind)}:
            raise InvalidResult(f"the function returned {kind[:100]}, want a finite number")
        case _:
            raise InvalidResult(f"the function's process answered {shown(answer)}")


def _why(ended: SessionEnded) -> str:
    if ended.verdict is Verdict.SANDBOX_ERROR:
        return ended.detail
    return f"the function's process ended, {ended.verdict.value}: {ended.detail}"


def _printed(session: Session) -> str:
    text = b"\n".join(filter(None, (session.stdout, session.stderr)))
    return text.decode("utf-8", "replace")[-MAX_DEBUG_CHARS:]


def _quoted(session: Session) -> str:
    printed = _printed(session).strip()
    return f"; it had printed: {printed[-500:]}" if printed else ""
