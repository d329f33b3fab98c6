"""Tests that are code: they run in a sandbox of their own, and the program in another.

What the tests do to the program passes through here as text. What came of each test is told by the
side of the tests. A program that hangs, crashes, exits or answers out of turn has failed the test
that ran, whatever exception that test expects. Where the *tests* hang or crash they are run once
more with small values in place of what the program answered: if they end the same, they cannot be
used; else it was the program's answers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, cast

from ..sandbox.pool import SandboxPool
from ..sandbox.session import Session
from ..sandbox.verdict import SessionEnded, Verdict
from ..types import InvalidReference, SandboxFault
from .ending import ENDINGS, NO_PROGRAM, NOT_RUN, Ending, Failure, Grade, TestResult, joined
from .held_program import HeldProgram, raise_faults
from .rules import Rules
from .stand_in import stand_in
from .tests import AssertTests

ATTEMPTS = 2
"""How often all is run where the sandbox fails."""
_MAX_ANSWER_BYTES = 8 << 20
_TESTS_CPU_S = 5.0
"""The least that test code may compute of itself."""
_MAX_SEEN, _SEEN_BYTES = 1000, 300
_AGAIN = Failure(Ending.WRONG, "to be run again")


async def grade_asserts(
    pool: SandboxPool, rules: Rules, candidates: Sequence[str], tests: AssertTests
) -> Grade:
    """Runs test code on the program that is one of the candidates.

    Raises:
        SandboxFault: the sandbox failed, each time it was tried.
        InvalidReference: the tests cannot be run.
    """
    faults: list[SessionEnded] = []
    for _attempt in range(ATTEMPTS):
        async with AsyncExitStack() as stack:
            try:
                return await _Exchange(pool, rules, candidates, tests, stack).grade()
            except SessionEnded as ended:  # of the sandbox; all else is caught where it happens
                faults.append(ended)
    if all(fault.verdict is Verdict.HOST_KILLED for fault in faults):
        why = "the host killed it twice: its memory is overcommitted"
        return Grade(0, 1, Ending.MEMORY_LIMIT, why)
    raise SandboxFault(faults[-1].detail)


class _Exchange:
    def __init__(
        self,
        pool: SandboxPool,
        rules: Rules,
        candidates: Sequence[str],
        tests: AssertTests,
        stack: AsyncExitStack,
    ) -> None:
        self._pool = pool
        self._rules = rules
        self._limits = replace(rules.limits, result_bytes=_MAX_ANSWER_BYTES)
        self._candidates = candidates
        self._tests = tests
        self._stack = stack
        self._plan: Mapping[str, Any] = {}
        self._session: Session | None = None
        """Of the test code."""
        self._program: HeldProgram | None = None
        self._names: Mapping[str, Any] = {}
        self._load_failure: Failure | None = None
        self._calls = 0
        self._passed = 0
        self._total = 0
        self._overruns = 0
        self._seen: list[bytes] = []
        """How the program's answers in the last test began."""
        self._first: tuple[int, Failure] | None = None
        self._results: dict[int, TestResult] = {}

    async def grade(self) -> Grade:
        await self._open_tests()
        if not await self._load():
            return NO_PROGRAM
        statements = cast("list[int]", self._plan["asserts"])
        if self._load_failure is not None:
            why = f"the program, when it was loaded: {self._load_failure.why[:500]}"
            total = max(1, sum(statements))
            return Grade(0, total, self._load_failure.ending, why, tests=self._tests_in_order())
        again: list[int] = []
        todo = list(range(len(statements)))
        while todo:
            unit = todo.pop(0)
            failure = await self._quickly(unit)
            if failure is _AGAIN:
                again.append(unit)
            elif failure is not None and self._gives_up(failure):
                return self._grade([*again, *todo])
        while again:
            failure = await self._alone(again.pop(0))
            if failure is not None and self._gives_up(failure):
                break
        if not self._calls and self._first is None and not self._names:
            raise InvalidReference("the tests never call the program")
        if not self._total:
            raise InvalidReference(
                "no test calls the program, and no assert statement depends on it"
            )
        return self._grade(again)

    def _gives_up(self, failure: Failure) -> bool:
        self._overruns += failure.ending is Ending.TIME_LIMIT
        return self._rules.all_or_nothing or self._overruns > self._rules.max_overruns

    def _grade(self, left: Sequence[int]) -> Grade:
        """`left`: tests that were not run, as what came before decides."""
        self._total += sum(max(1, int(self._plan["asserts"][unit])) for unit in left)
        told = self._tests_in_order()
        if self._first is None:
            return Grade(self._total, self._total, Ending.PASSED, tests=told)
        passed = min(self._passed, self._total - 1)
        unit, failure = self._first
        places = cast("list[int]", self._plan["places"])
        where = f"test {places[unit]}: " if len(places) > 1 else ""
        detail = f"{passed} of {self._total} passed; {where}{failure.why[:500]}"
        return Grade(passed, self._total, failure.ending, detail, tests=told)

    def _tests_in_order(self) -> list[TestResult]:
        """Of each piece of test code; of each test in it where there is one piece.

        Pieces that do not stand alone are one test: it is the result of each.
        """
        places = cast("list[int]", self._plan["places"])
        by_unit = [self._results.get(unit, NOT_RUN) for unit in range(len(places))]
        pieces = len(self._tests.cases)
        if pieces == 1:
            return by_unit
        if len(set(places)) != pieces:
            return [joined(by_unit)] * pieces
        return [
            joined([by_unit[unit] for unit, at in enumerate(places) if at == place])
            for place in range(pieces)
        ]

    # ---- the program -----------------------------------------------------------------------

    async def _load(self) -> bool:
        """Starts the program; False: there is none."""
        session = await self._open("solution", b"")
        program = self._program = HeldProgram(session, self._limits)
        order = {
            "candidates": list(self._candidates),
            "prompt": self._tests.prompt,
            "wanted": self._plan["wanted"],
            "shared": self._plan["shared"],
        }
        program.begin()
        answer = await program.ask(b"L" + json.dumps(order).encode())
        self._load_failure = None
        match answer[:1]:
            case b"N":
                return False
            case b"L":
                told = _object(answer[1:])
                self._names = {
                    name: kind
                    for name, kind in cast("dict[str, Any]", told.get("names") or {}).items()
                    if name in self._plan["wanted"]
                }
            case b"R":
                said = str(_object(answer[1:]).get("said"))
                self._load_failure = Failure(Ending.RAISED, said)
            case _:
                failure = program.ended or Failure(Ending.CRASHED, "it answered out of turn")
                self._load_failure = failure
        return True

    async def _fresh_program(self) -> None:
        if self._program is not None:
            await self._program.session.close()
        await self._load()

    # ---- the tests -------------------------------------------------------------------------

    async def _open_tests(self) -> None:
        order = {
            "cases": list(self._tests.cases),
            "setup": self._tests.setup,
            "prompt": self._tests.prompt,
            "entry_point": self._tests.entry_point,
        }
        session = await self._open("asserts", json.dumps(order).encode())
        try:
            told = _object((await session.ask(b"P", wall_s=60.0, cpu_s=20.0))[1:])
        except SessionEnded as ended:
            raise_faults(ended)
            raise InvalidReference(f"the tests cannot be read: {ended}") from None
        if told.get("broken"):
            raise InvalidReference(f"the tests cannot be run: {told['broken']}")
        if not told.get("wanted"):
            raise InvalidReference("the tests never call the program: no name is left to define")
        self._session, self._plan = session, told

    async def _quickly(self, unit: int) -> Failure | None:
        """Runs a test on the program that others used too; _AGAIN: it failed, which says nothing.

        Where it is the first, what it says counts.
        """
        program = self._program
        if program is None or program.ended is not None:
            return await self._alone(unit)
        is_first = not program.units
        told = await self._run(unit)
        if is_first:
            self._blame(told)
        elif not self._is_idle(unit, told) and (not _has_passed(told) or not _statements(told)):
            return _AGAIN
        return self._count(unit, told)

    async def _alone(self, unit: int) -> Failure | None:
        """Runs a test on a program that nothing has used; why it failed, which is counted."""
        await self._fresh_program()
        if self._load_failure is not None:  # it loads now and then
            self._total += max(1, int(self._plan["asserts"][unit]))
            self._results[unit] = NOT_RUN
            self._first = self._first or (unit, self._load_failure)
            return self._load_failure
        told = await self._run(unit)
        self._blame(told)
        return self._count(unit, told)

    async def _run(self, unit: int, *, small: bool = False) -> dict[str, Any]:
        """What the tests tell of one test. Where they end instead: who was to blame."""
        session, program = self._session, self._program
        if session is None or program is None:
            raise SessionEnded(Verdict.SANDBOX_ERROR, "there is no session")
        program.units += 1
        program.begin()
        if not small:
            self._seen = []
        question = b"G" + json.dumps({"unit": unit, "names": self._names}).encode()
        number = 0
        cpu_s = max(_TESTS_CPU_S, 2 * self._limits.cpu_s)
        before_s = session.cpu_s
        while True:
            left_s = max(0.01, cpu_s - (session.cpu_s - before_s))
            try:
                told = await session.ask(question, wall_s=3 * cpu_s + 2, cpu_s=left_s)
            except SessionEnded as ended:
                raise_faults(ended)
                return await self._ended_tests(unit, ended, small=small)
            if told[:1] != b"C":
                found = _object(told[1:])
                if found.get("broken") == "MemoryError":
                    ended = SessionEnded(Verdict.MEMORY_LIMIT, "out of memory")
                    return await self._ended_tests(unit, ended, small=small)
                return found
            self._calls += 1
            if small:
                question = stand_in(self._seen, number)
            else:
                question = await program.ask(told)
                if number < _MAX_SEEN:
                    self._seen.append(question[:_SEEN_BYTES])
            number += 1

    async def _ended_tests(self, unit: int, ended: SessionEnded, *, small: bool) -> dict[str, Any]:
        """The test code hung, or crashed. Starts it anew, and finds out why."""
        why = f"{ended.verdict.value}: {ended.detail}"
        if small:
            raise InvalidReference(f"the tests cannot be run: {why}")
        if self._session is not None:
            await self._session.close()
        await self._open_tests()
        await self._run(unit, small=True)
        if self._program is not None:  # the tests that come next have another
            self._program.ended = self._program.ended or Failure(Ending.CRASHED, "it was left")
        ending = ENDINGS[ended.verdict]
        return {"ended": False, "failure": [int(ending), f"what it answered had the tests {why}"]}

    def _blame(self, told: Mapping[str, Any]) -> None:
        """Raises InvalidReference where the tests are to blame for how a test ended."""
        if told.get("uncrossed"):
            raise InvalidReference(f"the tests cannot be run: {told['uncrossed']}")
        if told.get("broken"):
            raise InvalidReference(f"the tests cannot be run: {told['broken']}")
        missing = told.get("missing")
        if not missing or told.get("program_ended") or missing not in self._plan["wanted"]:
            return
        owed = missing == self._tests.entry_point or not self._names
        mentioned = re.search(rf"\b{re.escape(str(missing))}\b", self._tests.described)
        if not owed and missing not in self._names and not mentioned:
            raise InvalidReference(f"the tests use {missing}, which nothing defines")

    def _count(self, unit: int, told: Mapping[str, Any]) -> Failure | None:
        """Counts a test's assert statements; why the first of them failed."""
        if self._is_idle(unit, told):
            self._results[unit] = TestResult(passed=True)
            return None
        statements = int(self._plan["asserts"][unit])
        passed, failed = len(told.get("passed") or ()), _failed(told)
        if not statements or ("failed" in failed and not passed):
            statements = max(1, statements)
        if told.get("ended"):
            # One in a branch that was not taken says nothing of the program.
            statements = passed + len(failed) or 1
            if not passed and not failed:
                has_seen = _statements(told) > 0 or self._has_value(self._plan["tested"][unit])
                passed = int(_has_passed(told) and has_seen)
        passed = min(passed, statements)
        self._passed += passed
        self._total += max(1, statements)
        has_passed = _has_passed(told) and passed == statements
        cpu_s = None if self._program is None else self._program.cpu_s
        self._results[unit] = TestResult(has_passed, cpu_s)
        if has_passed:
            return None
        failure = self._failure(told, failed)
        self._first = self._first or (unit, failure)
        return failure

    def _is_idle(self, unit: int, told: Mapping[str, Any]) -> bool:
        """Whether a test came to its end and nothing in it depended on the program.

        Where the program lacks a name that it owes, a test may have come so far for want of it.
        """
        if told.get("calls") or not _has_passed(told):
            return False
        if self._has_value(self._plan["constants"][unit]):
            return False
        return all(name in self._names for name in self._plan["wanted"])

    def _has_value(self, names: Sequence[str]) -> bool:
        """Whether one of these, which no test calls, is a value of the program's."""
        kinds = [self._names.get(name, ["call"])[0] for name in names]
        return any(kind not in ("call", "class", "exception") for kind in kinds)

    def _failure(self, told: Mapping[str, Any], failed: Mapping[str, Any]) -> Failure:
        program = self._program
        if "failure" in told:  # before the program, which ended only because it was left
            ending, why = told["failure"]
            return Failure(Ending(ending), str(why))
        if program is not None and program.ended is not None:
            return program.ended
        why = str(next(iter(failed.values()), "not every assert statement ran"))
        return Failure(Ending.RAISED if told.get("raised") else Ending.WRONG, why)

    async def _open(self, guest: str, request: bytes) -> Session:
        session = await self._pool.open(guest, request, self._limits)
        self._stack.push_async_callback(session.close)
        return session


def _failed(told: Mapping[str, Any]) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", told.get("failed") or {})


def _has_passed(told: Mapping[str, Any]) -> bool:
    return bool(told.get("ended")) and not _failed(told) and not told.get("broken")


def _statements(told: Mapping[str, Any]) -> int:
    """How much of the program was seen: assert statements, or calls where there are none."""
    return len(told.get("passed") or ()) or int(told.get("calls") or 0)


def _object(text: bytes) -> dict[str, Any]:
    """The JSON object in an answer; empty: there is none."""
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}
