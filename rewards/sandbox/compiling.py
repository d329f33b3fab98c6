"""Makes a program of source text that nobody trusts, in the sandbox."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from .errand import Fault, request_file
from .limits import Limits
from .pool import SandboxPool, Steps
from .protocol import OBJECT, PROGRAM
from .toolchain import INPUT, OUTPUT, STANDARD, Step, Toolchain
from .verdict import Run, Verdict

GUESTS = ("become", "fetch")
"""Of a pool's profile, for what is run here."""
MAX_TEXT_BYTES = 24 << 20
"""Of assembly, of an object file, of a program."""
SCRATCH_MB = 64
"""For an object file and a program beside one another."""
_OUT_OF_MEMORY = (b"out of memory allocating", b"memory exhausted")
"""As GCC and binutils say it."""
_NO_STANDARD = Run(Verdict.SANDBOX_ERROR, b"", b"", b"", "no version of the language", 0, 0)
_NO_FILES: Mapping[str, tuple[str, int]] = {}


@dataclass(frozen=True)
class Compiled:
    """What became of source text."""

    run: Run
    """The step that decided: of a program that was made the last one."""
    program: bytes = b""
    """Empty: there is none."""
    cpu_s: float = 0.0
    """CPU time of all that was tried."""

    @property
    def is_refused(self) -> bool:
        """Whether the compiler read all of it, within its limits, and made no program."""
        return not self.program and self.run.verdict is Verdict.RUNTIME_ERROR

    @property
    def ran_out(self) -> bool:
        """Whether the compiler had no memory left, as it says itself."""
        return self.is_refused and any(words in self.run.stderr for words in _OUT_OF_MEMORY)

    @property
    def said(self) -> str:
        """The first lines of what the compiler said."""
        lines = self.run.stderr[:4000].decode("utf-8", "replace").splitlines()
        told = [line.removeprefix("<stdin>:") for line in lines if line.strip()]
        return "\n".join(told[:5])[:1000]


@dataclass
class _Made:
    program: bytes = b""
    is_read: bool = False
    """Whether the compiler took the source; assembler and linker know no version of a language."""
    cpu_us: int = 0


class Compiler:
    """A toolchain on the slots of a pool whose profile has `GUESTS` and the toolchain's tools."""

    def __init__(self, pool: SandboxPool, toolchain: Toolchain, first_tool: int = 0) -> None:
        """`first_tool`: the place of the toolchain's first tool among those of the profile."""
        self._pool = pool
        self._chain = toolchain
        self._first = first_tool

    @property
    def version(self) -> str:
        """Of the compiler."""
        return self._chain.version

    async def compile(self, source: str, limits: Limits) -> Compiled:
        """Makes a program, by the first version of the language that the source is right in.

        `limits`: of each step. A source that took that much CPU time in all is tried in no other
        version. A verdict SANDBOX_ERROR is no fault of the source.
        """
        first: Compiled | None = None
        cpu_s = 0.0
        for standard in self._chain.standards:
            made = _Made()
            run = await self._compile(source, standard, limits, made)
            cpu_s += made.cpu_us / 1e6
            compiled = Compiled(run, made.program, cpu_s)
            if not compiled.is_refused:
                return compiled
            first = first or compiled
            if made.is_read or cpu_s > limits.cpu_s:
                break
        return replace(first, cpu_s=cpu_s) if first is not None else Compiled(_NO_STANDARD)

    async def _compile(self, source: str, standard: str, limits: Limits, made: _Made) -> Run:
        limits = replace(
            limits,
            output_bytes=MAX_TEXT_BYTES,
            result_bytes=MAX_TEXT_BYTES,
            file_bytes=MAX_TEXT_BYTES,
        )
        text = source.encode("utf-8", "replace")
        return await self._pool.run_steps(
            lambda steps: self._work(steps, text, standard, limits, made)
        )

    async def _work(
        self, steps: Steps, source: bytes, standard: str, limits: Limits, made: _Made
    ) -> Run:
        chain = self._chain
        run = await self._step(steps, 0, chain.compiles, limits, source, standard)
        made.cpu_us += run.cpu_us
        if run.verdict is not Verdict.OK:
            return run
        made.is_read = True
        files = {OUTPUT: (OBJECT, 1)}
        run = await self._step(steps, 1, chain.assembles, limits, run.stdout, files=files)
        made.cpu_us += run.cpu_us
        if run.verdict is not Verdict.OK:
            return run
        files = {INPUT: (OBJECT, 0), OUTPUT: (PROGRAM, 1)}
        run = await self._step(steps, 2, chain.links, limits, run.stdout, files=files)
        made.cpu_us += run.cpu_us
        if run.verdict is not Verdict.OK:
            return run
        program = run.stdout
        if not program:  # it lies in the folder of the steps
            run = await steps.run("fetch", PROGRAM.encode(), limits)
            program = run.answer
        if not program.startswith(b"\x7fELF"):
            raise Fault(f"the linker made no program: {run.detail}")
        made.program = program
        return run

    async def _step(
        self,
        steps: Steps,
        place: int,
        step: Step,
        limits: Limits,
        stdin: bytes,
        standard: str = "",
        files: Mapping[str, tuple[str, int]] = _NO_FILES,
    ) -> Run:
        arguments = [word.replace(STANDARD, standard) for word in step.arguments]
        order = {"arguments": [step.tool.path, *arguments], "files": files, "quiet": False}
        request = json.dumps(order).encode()
        run = await steps.run("become", request, limits, stdin, self._first + place)
        if run.answer:
            raise Fault(f"{step.tool.path} cannot be run: {run.answer.decode(errors='replace')}")
        return run


def program_file(program: bytes) -> int:
    """A descriptor of a program for runs to become, that nobody can change. To be closed."""
    return request_file(program, 0o555)
