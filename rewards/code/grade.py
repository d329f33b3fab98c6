"""Runs tests on a program, in a sandbox; what is expected never enters the process that runs it.

Nothing that the program's process says of itself counts: not a word like PASSED, not its own
verdict. It is asked for outputs and values, which are compared here.

How the tests of a program follow one another: `suite`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..sandbox import compiling
from ..sandbox.compiling import Compiler
from ..sandbox.limits import Limits
from ..sandbox.pool import SandboxPool
from ..sandbox.verdict import Run, Verdict
from ..types import InvalidReference
from .asserting import grade_asserts
from .candidates import Language
from .compare import same_value
from .compiled import CompiledSuite
from .ending import ENDINGS, NO_PROGRAM, Ending, Failure, Grade
from .rules import Rules, limited
from .suite import WRONG, StdinSuite, Suite, checked_run, object_in
from .tests import AssertTests, CallTests, StdinTests, Tests

GUESTS = (
    *("stdin_cases", "stdin_program", "call_cases", "solution", "asserts", "checker"),
    *compiling.GUESTS,
)
"""Of a pool's profile, for what is run here."""
_NONE: Mapping[Language, Compiler] = {}


class Grader:
    """Grades programs on the slots of a pool whose profile has `GUESTS`."""

    def __init__(
        self, pool: SandboxPool, rules: Rules, compilers: Mapping[Language, Compiler] = _NONE
    ) -> None:
        self._pool = pool
        self._rules = rules
        self._compilers = compilers
        """For languages but Python."""

    async def grade(
        self, candidates: Sequence[str], tests: Tests, language: Language = "python"
    ) -> Grade:
        """Runs the tests on the program that is one of the candidates, the likeliest first.

        Raises:
            SandboxFault: the sandbox failed, each time it was tried.
            InvalidReference: the tests cannot be run.
        """
        if language != "python" and not isinstance(tests, StdinTests):
            raise InvalidReference(
                f"the tests are Python; a {language} program has stdin and stdout"
            )
        if not candidates:
            return NO_PROGRAM
        limits = limited(self._rules.limits, tests.limits)
        if language != "python" and isinstance(tests, StdinTests):
            compiler = self._compilers[language]
            own = CompiledSuite(self._pool, self._rules, limits, candidates, tests, compiler)
            return await own.grade()
        if isinstance(tests, AssertTests):
            rules = replace(self._rules, limits=limits)
            return await grade_asserts(self._pool, rules, candidates, tests)
        if isinstance(tests, StdinTests):
            suite: Suite = StdinSuite(self._pool, self._rules, limits, candidates, tests)
        else:
            suite = _Calls(self._pool, self._rules, limits, candidates, tests)
        return await suite.grade()


class _Calls(Suite):
    lines_before = 2

    def __init__(
        self,
        pool: SandboxPool,
        rules: Rules,
        limits: Limits,
        candidates: Sequence[str],
        tests: CallTests,
    ) -> None:
        sizes = [max(len(json.dumps(v)) for v in values) for values in tests.outputs]
        super().__init__(pool, rules, limits, candidates, tests.inputs, sizes)
        self._tests = tests

    async def quick(self, tests: Sequence[int]) -> Run:
        order = {
            "candidates": list(self.candidates),
            "prompt": self._tests.prompt,
            "function": self._tests.function,
            "inputs": [list(self._tests.inputs[test]) for test in tests],
        }
        limits = self.answer_limits(tests)
        return await self.pool.run("call_cases", json.dumps(order).encode(), limits)

    async def passes(self, test: int, answer: Mapping[str, Any]) -> bool:
        for key in ("value", "changed"):
            told = answer.get(key)
            if isinstance(told, str) and self._is_right(test, told):
                return True
        return False

    async def alone(self, test: int) -> Failure | None:
        run = checked_run(await self.quick([test]))
        self.cpu_s[test] = run.cpu_us / 1e6
        lines = [object_in(line) for line in run.answer.split(b"\n", 4)[:3]]
        _head, load, answer = (*lines, None, None, None)[:3]
        self.loads = load == {"load": ""}
        if run.verdict is Verdict.OK and answer is not None:
            if "raised" in answer:
                return Failure(Ending.RAISED, str(answer["raised"])[:500])
            is_right = await self.passes(test, answer)
            return None if is_right else Failure(Ending.WRONG, WRONG)
        if run.verdict is Verdict.OK and load is not None and load.get("load"):
            return Failure(Ending.RAISED, str(load["load"])[:500])
        if run.verdict is Verdict.OK:
            return Failure(Ending.CRASHED, "it ended before its answer")
        return Failure(ENDINGS[run.verdict], run.detail)

    def _is_right(self, test: int, told: str) -> bool:
        tolerance = self.rules.tolerance
        return any(same_value(right, told, tolerance) for right in self._tests.outputs[test])
