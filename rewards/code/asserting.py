"""Tests that are code: they run in a sandbox of their own, and the program in another.

The tests call the program's functions by messages that pass through here. How many assert
statements passed is told by the side of the tests, and all of them must have run.
"""

from __future__ import annotations

import builtins
import json
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any, cast

from ..sandbox.limits import Limits
from ..sandbox.pool import SandboxPool
from ..sandbox.session import Session
from ..sandbox.verdict import SessionEnded, Verdict
from ..types import InvalidReference, SandboxFault
from .block import functions_of, names_read
from .cases import AssertTests
from .mark import MARKS, Grade, Mark

ATTEMPTS = 2
"""How often all is run where the sandbox fails."""


async def grade_asserts(
    pool: SandboxPool, limits: Limits, program: str, tests: AssertTests
) -> Grade:
    """Runs test code on a program.

    Raises:
        SandboxFault: the sandbox failed, each time it was tried.
        InvalidReference: the tests are no Python, or hand over what cannot cross to the program.
    """
    why = ""
    for _attempt in range(ATTEMPTS):
        try:
            return await _Exchange(pool, limits, program, tests).run()
        except SandboxFault as fault:
            why = str(fault)
    raise SandboxFault(why)


class _Exchange:
    def __init__(self, pool: SandboxPool, limits: Limits, program: str, tests: AssertTests) -> None:
        self._pool = pool
        self._limits = limits
        self._program = program
        self._tests = tests
        self._until_s = time.monotonic() + limits.wall_s
        self._number = 0
        self._ended: Verdict | None = None
        self._why = ""

    async def run(self) -> Grade:
        async with AsyncExitStack() as stack:
            solution = await self._open(stack, "solution", b"")
            loaded = await self._solved(solution, json.dumps(self._program))
            order = {
                "tests": self._tests.code,
                "prompt": self._tests.prompt,
                "entry_point": self._tests.entry_point,
                "functions": self._functions(),
            }
            tests = await self._open(stack, "asserts", json.dumps(order).encode())
            if "raised" in loaded:
                return self._failed(str(loaded["raised"][1]))
            told = await self._asked(tests, b"start")
            while "call" in told:
                answer = await self._solved(solution, str(told["call"]))
                told = await self._asked(tests, json.dumps(answer).encode())
            return self._graded(told.get("done"))

    def _functions(self) -> list[str]:
        if self._tests.entry_point:
            return [self._tests.entry_point]
        own, read = functions_of(self._tests.code), names_read(self._tests.code)
        used = [n for n in functions_of(self._program) if n in read and n not in own]
        # A built-in may be what is tested (MBPP has `sum`), but only where nothing else is: a
        # program must not bring its own `abs` or `set` to the assert statements.
        return [n for n in used if not hasattr(builtins, n)] or used[:1]

    async def _open(self, stack: AsyncExitStack, guest: str, request: bytes) -> Session:
        try:
            session = await self._pool.open(guest, request, self._limits)
        except SessionEnded as ended:
            raise SandboxFault(ended.detail) from None
        stack.push_async_callback(session.close)
        return session

    async def _solved(self, solution: Session, what: str) -> dict[str, Any]:
        """What the program makes of a question, of packed values; once it has ended, that it has.

        Values pass through as text: neither side's are built here, where all items would wait.
        """
        if self._ended is None:
            self._number += 1
            try:
                found = await self._ask(solution, f"[{self._number},{what}]".encode())
                match found:
                    case {"to": self._number, "value": str(value)}:
                        return {"value": value}
                    case {"to": self._number, "raised": [str(kind), str(text)]}:
                        return {"raised": [kind, text[:500]]}
                    case _:
                        await solution.close()
                        self._ended, self._why = Verdict.RUNTIME_ERROR, "it answered out of turn"
            except ValueError:
                await solution.close()
                self._ended, self._why = Verdict.RUNTIME_ERROR, "it answered what is no value"
            except SessionEnded as ended:
                self._ended, self._why = ended.verdict, ended.detail
        return {"raised": ["SolutionEnded", self._why]}

    async def _asked(self, tests: Session, question: bytes) -> dict[str, Any]:
        """What the tests say next."""
        try:
            return await self._ask(tests, question)
        except (SessionEnded, ValueError) as error:
            return {"done": {"ended": False, "why": str(error)}}

    async def _ask(self, session: Session, question: bytes) -> dict[str, Any]:
        left_s = max(0.01, self._until_s - time.monotonic())
        try:
            answer = await session.ask(question, wall_s=left_s)
        except SessionEnded as ended:
            if ended.verdict is Verdict.SANDBOX_ERROR:
                raise SandboxFault(ended.detail) from None
            raise
        try:
            return dict(json.loads(answer))
        except (TypeError, RecursionError) as error:
            raise ValueError(f"no answer: {error}") from None

    def _graded(self, told: Any) -> Grade:
        done: Mapping[str, Any] = {}
        if isinstance(told, dict):
            done = cast("dict[str, Any]", told)
        if done.get("broken"):
            raise InvalidReference(f"the tests cannot be run: {done['broken']}")
        if done.get("uncrossed"):
            raise InvalidReference(f"the tests cannot be run: {done['uncrossed']}")
        failed = cast("Mapping[str, Any]", done.get("failed") or {})
        passed, total = len(done.get("passed") or ()), int(done.get("asserts") or 0)
        if done.get("ended"):
            # One in a branch that was not taken says nothing of the program.
            total = passed + len(failed)
        if done.get("ended") and total and passed == total and not done.get("failed"):
            return Grade(total, total, Mark.PASSED)
        detail = str(next(iter(failed.values()), done.get("why", "not every assert statement ran")))
        mark = Mark.WRONG if self._ended is None else MARKS[self._ended]
        passed = min(passed, max(0, total - 1))
        return Grade(passed, max(total, 1), mark, f"{passed} of {total} passed; {detail[:500]}")

    def _failed(self, why: str) -> Grade:
        mark = Mark.RAISED if self._ended is None else MARKS[self._ended]
        return Grade(0, 1, mark, f"the program, when it was loaded: {why[:500]}")
