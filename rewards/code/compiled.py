"""Programs that are compiled, once, and run on each test in a process of their own."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace

from ..sandbox.compiling import Compiled, Compiler, program_file
from ..sandbox.limits import Limits
from ..sandbox.pool import SandboxPool
from ..sandbox.verdict import Verdict
from ..types import SandboxFault
from .ending import ENDINGS, Ending, Failure, Grade
from .rules import Rules
from .suite import WRONG, StdinSuite, checked_run
from .tests import StdinTests

MEMORY_MB = 1024
"""Of a compiler."""
_TRIED = 3
"""Of the candidates: each costs what a compilation costs."""
_REQUEST = json.dumps({"arguments": ["program"], "files": {}, "quiet": True}).encode()


class CompiledSuite(StdinSuite):
    """The tests of such a program: its exit code must be 0; its stderr goes nowhere."""

    def __init__(
        self,
        pool: SandboxPool,
        rules: Rules,
        limits: Limits,
        candidates: Sequence[str],
        tests: StdinTests,
        compiler: Compiler,
    ) -> None:
        super().__init__(pool, rules, limits, candidates, tests)
        self._compiler = compiler
        self._program = -1

    async def grade(self) -> Grade:
        """Compiles it, and runs all."""
        try:
            return await super().grade()
        finally:
            if self._program >= 0:
                os.close(self._program)

    async def quickly(self) -> list[int] | Failure | None:
        """Makes the program: the likeliest candidate that compiles. No test is run here."""
        failed: Failure | None = None
        for source in self.candidates[:_TRIED]:
            compiled = await self._compiler.compile(
                source, compiler_limits(self.rules.compile_cpu_s)
            )
            checked_run(compiled.run)
            if compiled.program:
                self._program = program_file(compiled.program)
                return list(self.order)
            failed = failed or _failure(compiled)
            if not compiled.is_refused:
                break  # it took all that it may: others are not tried at that price
        return failed

    async def alone(self, test: int) -> Failure | None:
        """As above."""
        given = self.tests.inputs[test].encode("utf-8", "replace")
        limits = self.answer_limits([test])
        run = checked_run(await self.pool.run("become", _REQUEST, limits, given, self._program))
        self.cpu_s[test] = run.cpu_us / 1e6
        if run.answer:
            raise SandboxFault(
                f"the program was not started: {run.answer.decode(errors='replace')}"
            )
        if run.verdict is Verdict.OK:
            is_right = await self.is_right(test, run.stdout.decode("utf-8", "replace"))
            return None if is_right else Failure(Ending.WRONG, WRONG)
        return Failure(ENDINGS[run.verdict], f"it ended with {run.detail}")


def compiler_limits(cpu_s: float) -> Limits:
    """Of each step of a compiler. The clock is for what does not happen: that one waits."""
    limits = Limits(cpu_s=cpu_s, wall_s=3 * cpu_s + 2, memory_mb=MEMORY_MB)
    return replace(limits, starved_s=20 * cpu_s + 20)


def _failure(compiled: Compiled) -> Failure:
    run = compiled.run
    if compiled.ran_out:
        return Failure(Ending.MEMORY_LIMIT, f"while it was compiled: {compiled.said}")
    if compiled.is_refused:
        return Failure(Ending.NO_PROGRAM, f"it does not compile: {compiled.said or run.detail}")
    return Failure(ENDINGS[run.verdict], f"while it was compiled: {run.detail}")
