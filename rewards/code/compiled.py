"""Programs that are compiled, once, and run on each test in a process of their own."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace

from ..sandbox.compiling import Compiled, Compiler, program_file
from ..sandbox.limits import Limits
from ..sandbox.pool import SandboxPool
from ..sandbox.toolchain import CompilerMissing
from ..sandbox.verdict import Verdict
from ..types import SandboxFault
from .ending import ENDINGS, Ending, Failure, Grade
from .rules import Rules
from .suite import StdinSuite, checked_run
from .tests import StdinTests

MEMORY_MB = 1024
"""Of a compiler."""
_PROOF_CPU_S = 20.0
_TRIED = 3
"""Of the candidates: each costs what a compilation costs."""
_HOST_ERRORS = ("EAGAIN", "EIO", "EMFILE", "ENFILE", "ENOMEM", "ENOSYS")
"""Why a program was not started that it has no part in. What else there is comes of its file: an
assembler can be told to name a loader in it, which is not there or may not be run."""
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
        cpu_s = 0.0
        for source in self.candidates[:_TRIED]:
            compiled = await self._compiler.compile(
                source, compiler_limits(self.rules.compile_cpu_s)
            )
            cpu_s += compiled.cpu_s
            checked_run(compiled.run)
            if compiled.program:
                self._program = program_file(compiled.program)
                return list(self.order)
            failed = failed or _failure(compiled)
            if not compiled.is_refused or cpu_s > self.rules.compile_cpu_s:
                break  # it took all that it may: others are not tried at that price
        return failed

    async def alone(self, test: int) -> Failure | None:
        """As above."""
        given = self.tests.inputs[test].encode("utf-8", "replace")
        limits = self.answer_limits([test])
        run = checked_run(await self.pool.run("become", _REQUEST, limits, given, self._program))
        self.cpu_s[test] = run.cpu_us / 1e6
        if why := run.answer.decode(errors="replace"):
            if why.startswith(_HOST_ERRORS):
                raise SandboxFault(f"the program was not started: {why}")
            return Failure(Ending.CRASHED, f"it cannot be started: {why}")
        if run.verdict is Verdict.OK:
            return await self.judged(test, run)
        return Failure(ENDINGS[run.verdict], f"it ended with {run.detail}")


def compiler_limits(cpu_s: float) -> Limits:
    """Of each step of a compiler. The clock is for what does not happen: that one waits."""
    limits = Limits(cpu_s=cpu_s, wall_s=3 * cpu_s + 2, memory_mb=MEMORY_MB)
    return replace(limits, starved_s=20 * cpu_s + 20)


async def prove(pool: SandboxPool, compiler: Compiler) -> None:
    """Raises CompilerMissing where it makes no program of a small one, or none that can be run."""
    limits = compiler_limits(_PROOF_CPU_S)
    compiled = await compiler.compile("int main() { return 0; }", limits)
    why = compiled.said or f"{compiled.run.verdict.value}: {compiled.run.detail}"
    if compiled.program:
        file = program_file(compiled.program)
        try:
            run = await pool.run("become", _REQUEST, limits, b"", file)
        finally:
            os.close(file)
        if run.verdict is Verdict.OK and not run.answer:
            return
        told = run.answer.decode(errors="replace") or f"{run.verdict.value}: {run.detail}"
        why = f"it is made and cannot be started: {told}"
    raise CompilerMissing(f"{compiler.version} makes no program in the sandbox: {why}")


def _failure(compiled: Compiled) -> Failure:
    run = compiled.run
    if compiled.ran_out:
        return Failure(Ending.MEMORY_LIMIT, f"while it was compiled: {compiled.said}")
    if compiled.is_refused:
        return Failure(Ending.NO_PROGRAM, f"it does not compile: {compiled.said or run.detail}")
    if run.verdict is Verdict.KILLED:
        return Failure(Ending.NO_PROGRAM, f"the compiler crashed on it: {run.detail}")
    return Failure(ENDINGS[run.verdict], f"while it was compiled: {run.detail}")
