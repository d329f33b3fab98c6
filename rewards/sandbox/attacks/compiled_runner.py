"""Runs the attacks in C++ at one level, one at a time, and looks at what they did."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .. import compiling, toolchain
from ..compiling import Compiled, Compiler
from ..level import Level
from ..limits import Limits
from ..numbers import EXECUTING
from ..pool import Profile, SandboxPool
from ..verdict import Run, Verdict
from .compiled import CASES, EXECUTED, HEAD, READING, CompiledCase, ReadingCase
from .scene import Scene
from .survivors import adopt_orphans, descendants, survivors

LIMITS = Limits(cpu_s=1, wall_s=5, memory_mb=256)
_COMPILING = Limits(cpu_s=10, wall_s=40, memory_mb=1024)
_REQUEST = json.dumps({"arguments": ["program"], "files": {}, "quiet": False}).encode()
_AFTER = """
#include <dirent.h>
int main() {
  DIR *d = opendir(".");
  while (dirent *e = d ? readdir(d) : 0) if (strstr(e->d_name, "rpattack")) breach(e->d_name);
  write(1, "clean", 5);
}"""
_REFUSED = ("Permission denied", "No such file or directory", "Not a directory")


@dataclass(frozen=True, slots=True)
class CompiledRow:
    """How an attack ended; `got`: see `runner.Row`."""

    id: str
    verdict: Verdict
    got: tuple[str, ...]
    wall_s: float

    @property
    def held(self) -> bool:
        """Whether the sandbox held."""
        return not self.got


class CompiledAttacks:
    """A pool with one slot at `level`, and what could be hurt."""

    def __init__(self, level: Level) -> None:
        """Raises CompilerMissing where this host has no compiler for C++."""
        self._level = level
        self._chain = toolchain.find("cpp")
        self._number = 0

    def cases(self) -> Sequence[CompiledCase | ReadingCase]:
        """Those that must fail at the level."""
        compiled = [case for case in CASES if case.fails_from <= self._level]
        return [*compiled, *(READING if self._level >= Level.CONFINED else ())]

    async def run(self, cases: Sequence[CompiledCase | ReadingCase]) -> list[CompiledRow]:
        """One row for each case, in their order.

        Raises:
            IsolationUnavailable: this host does not have the level.
        """
        adopt_orphans()
        guests = (*compiling.GUESTS, "attack")
        profile = Profile("attacks in C++", guests=guests, tools=self._chain.tools)
        self._pool = SandboxPool(profile, slots=1, demand=self._level, at_most=self._level)
        self._pool.start()
        try:
            with Scene() as self._scene:
                self._compiler = Compiler(self._pool, self._chain)
                facts = self._facts()
                self._after = await self._compiled(_AFTER, facts)
                return [await self._try(case) for case in cases]
        finally:
            await self._pool.close()

    async def _try(self, case: CompiledCase | ReadingCase) -> CompiledRow:
        before = descendants()
        facts = self._facts()
        begin = time.monotonic()
        if isinstance(case, ReadingCase):
            verdict, got = await self._read(case, facts)
        else:
            run = await self._run(await self._compiled(case.source, facts))
            verdict, got = run.verdict, [*_told(run, facts["breach_mark"]), *_unlike(case, run)]
        await asyncio.sleep(0)
        got += [f"process {pid} runs on" for pid in survivors(before)]
        got += self._scene.damage()
        after = await self._run(self._after)
        if after.verdict is not Verdict.OK or not after.stdout.endswith(b"clean"):
            got.append(f"the next run ended with {after.verdict.name}: {after.detail}")
        if b"rpattack" in after.stdout:
            got.append(f"the next run finds {after.stdout[:200]!r}")
        return CompiledRow(case.id, verdict, tuple(got[:20]), time.monotonic() - begin)

    async def _read(self, case: ReadingCase, facts: dict[str, Any]) -> tuple[Verdict, list[str]]:
        source = case.source
        for name, fact in facts.items():
            source = source.replace(f"@{name}@", str(fact))
        compiled = await self._compiler.compile(source + "\nint main() {}\n", _COMPILING)
        said = compiled.run.stderr.decode("utf-8", "replace")
        got: list[str] = []
        secret = facts["secret"].encode()
        if secret in compiled.run.stderr + compiled.run.stdout + compiled.program:
            got.append("the secret came out")
        if case.is_include and not any(words in said for words in _REFUSED):
            got.append(f"it was read: {said[:200]}")
        if not case.is_include and compiled.program and self._level > Level.PROCESS:
            got.append("a file was taken in")
        if compiled.run.verdict is Verdict.SANDBOX_ERROR:
            got.append(f"a fault of the sandbox: {compiled.run.detail}")
        return compiled.run.verdict, got

    async def _compiled(self, source: str, facts: dict[str, Any]) -> bytes:
        compiled = await self._compiler.compile(
            _macros(facts, self._chain) + HEAD + source, _COMPILING
        )
        if not compiled.program:
            raise AssertionError(f"an attack does not compile: {_why(compiled)}")
        return compiled.program

    async def _run(self, program: bytes) -> Run:
        file = compiling.program_file(program)
        try:
            return await self._pool.run("become", _REQUEST, LIMITS, b"", file)
        finally:
            os.close(file)

    def _facts(self) -> dict[str, Any]:
        self._number += 1
        pids = self._pool.zygote_pids()
        return self._scene.facts(f"rpattack{os.getpid()}n{self._number}x", pids, [])


def _macros(facts: dict[str, Any], chain: toolchain.Toolchain) -> str:
    texts = {
        **{
            name: facts[name]
            for name in ("own_secret", "open_secret", "token_path", "folder", "tag")
        },
        **{name: facts[name] for name in ("source", "python", "site_packages", "unix_path")},
        "mark": facts["breach_mark"],
        "compiler": chain.compiles.tool.path,
        "loader": chain.compiles.tool.loader or "/lib64/ld-linux-x86-64.so.2",
    }
    own = [number for numbers in EXECUTING.values() if (number := numbers[0]) is not None]
    bare = {
        "runner": facts["runner"],
        "victim": facts["victim"],
        "tcp": facts["tcp"],
        "allowed": ",".join(map(str, [*facts["allowed"], *own])),
    }
    lines = [f"#define {name.upper()} {json.dumps(text)}" for name, text in texts.items()]
    lines += [f"#define {name.upper()} {value}" for name, value in bare.items()]
    return "\n".join(lines) + "\n"


def _told(run: Run, mark: str) -> Iterator[str]:
    for line in (run.stdout + b"\n" + run.stderr).split(b"\n"):
        if mark.encode() in line:
            yield line.partition(mark.encode())[2][:200].decode(errors="replace").strip()


def _unlike(case: CompiledCase, run: Run) -> Iterator[str]:
    if run.exit_code == EXECUTED:
        yield "it became another program"
    elif run.answer:
        yield f"it was not started: {run.answer!r}"
    elif run.verdict not in case.ends:
        ends = ", ".join(sorted(end.name for end in case.ends))
        yield f"ended with {run.verdict.name}, not {ends}: {run.detail}"


def _why(compiled: Compiled) -> str:
    return compiled.said or f"{compiled.run.verdict.value}: {compiled.run.detail}"
