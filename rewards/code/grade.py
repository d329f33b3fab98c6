"""Runs tests on a program, in a sandbox; what is expected never enters the process that runs it.

Nothing that the program's process says of itself counts: not its exit code, not a word like PASSED,
not its own verdict. It is asked for outputs and values, which are compared here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, cast

from ..sandbox.limits import Limits
from ..sandbox.pool import SandboxPool
from ..sandbox.verdict import Run, Verdict
from ..types import SandboxFault
from .asserting import grade_asserts
from .cases import AssertTests, CallTests, StdinTests
from .compare import same_output, same_value
from .mark import MARKS, Grade, Mark

GUESTS = ("stdin_cases", "call_cases", "solution", "asserts")
"""Of a pool's profile, for what is run here."""


class Grader:
    """Grades programs on the slots of a pool whose profile has `GUESTS`."""

    def __init__(self, pool: SandboxPool, limits: Limits, tolerance: float) -> None:
        self._pool = pool
        self._limits = limits
        self._tolerance = tolerance

    async def grade(self, program: str, tests: StdinTests | CallTests | AssertTests) -> Grade:
        """Runs all tests; those that could not run have failed.

        Raises:
            SandboxFault: the sandbox failed, each time it was tried.
            InvalidReference: the tests cannot be run.
        """
        if isinstance(tests, StdinTests):
            return await self._stdin(program, tests)
        if isinstance(tests, CallTests):
            return await self._calls(program, tests)
        return await grade_asserts(self._pool, self._limits, program, tests)

    async def _stdin(self, program: str, tests: StdinTests) -> Grade:
        # Whatever the limit, what is expected may be written.
        most = max(self._limits.output_bytes, *(2 * len(o.encode()) for o in tests.outputs))
        order = {"source": program, "inputs": list(tests.inputs), "output_bytes": most}
        run = await self._run("stdin_cases", order)

        def passes(index: int, answer: Mapping[str, Any]) -> bool:
            output = answer.get("output")
            return isinstance(output, str) and same_output(
                tests.outputs[index], output, self._tolerance
            )

        return _graded(run, len(tests.inputs), passes)

    async def _calls(self, program: str, tests: CallTests) -> Grade:
        order = {"source": program, "function": tests.function, "inputs": list(tests.inputs)}
        run = await self._run("call_cases", order)

        def passes(index: int, answer: Mapping[str, Any]) -> bool:
            told = answer.get("value")
            return isinstance(told, str) and same_value(tests.outputs[index], told, self._tolerance)

        return _graded(run, len(tests.inputs), passes)

    async def _run(self, guest: str, order: Mapping[str, Any]) -> Run:
        run = await self._pool.run(guest, json.dumps(order).encode(), self._limits)
        if run.verdict is Verdict.SANDBOX_ERROR:
            raise SandboxFault(run.detail)
        return run


def _graded(run: Run, total: int, passes: Callable[[int, Mapping[str, Any]], bool]) -> Grade:
    """Compares what a run answered, a line of JSON a test. The first line of each test counts."""
    answers = _answers(run.answer, total)
    failed = [i for i in range(total) if "raised" in answers[i] or not passes(i, answers[i])]
    if not failed:
        return Grade(total, total, Mark.PASSED)
    first = failed[0]
    mark, detail = MARKS[run.verdict], run.detail
    if answers[first]:
        raised = answers[first].get("raised")
        mark = Mark.WRONG if raised is None else Mark.RAISED
        detail = "another answer than is expected" if raised is None else str(raised)[:500]
    elif mark is Mark.WRONG:
        mark, detail = Mark.CRASHED, "it ended before its answer"
        if load_fault := answers[-1].get("load"):
            mark, detail = Mark.RAISED, str(load_fault)[:500]
    passed = total - len(failed)
    return Grade(passed, total, mark, f"{passed} of {total} tests passed; test {first}: {detail}")


def _answers(data: bytes, total: int) -> dict[int, dict[str, Any]]:
    """The answers by test; under -1 what says that there are none."""
    answers: dict[int, dict[str, Any]] = {index: {} for index in range(-1, total)}
    for line in data.split(b"\n"):
        try:
            answer: Any = json.loads(line)
        except (ValueError, RecursionError):  # cut off, or of the program's own making
            continue
        if not isinstance(answer, dict):
            continue
        told = cast("dict[str, Any]", answer)
        index = -1 if "load" in told else told.get("test")
        if type(index) is int and index in answers and not answers[index]:
            answers[index] = told
    return answers
