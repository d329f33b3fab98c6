"""The response's program runs to its end; what it wrote is told."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Annotated, Any, ClassVar, cast

from pydantic import Field

from ..code.candidates import Which, find_candidates
from ..code.sandboxed import Sandboxed
from ..references import references
from ..reward import kind
from ..sandbox.limits import Limits
from ..sandbox.verdict import Run, Verdict
from ..types import Example, InvalidInput, Response, SandboxFault, Score

LANGUAGES = ("python",)
"""What programs may be written in: what the sandbox can run."""
_GUEST = "raw_program"
_MAX_FILES = 256
_STARVED_FACTOR = 20
_OVER_TIME = (Verdict.CPU_LIMIT, Verdict.WALL_LIMIT)


@kind("program_run")
class ProgramRun(Sandboxed):
    """1 where the response's program ends by itself with exit code 0, else 0.

    The details are what the program did, one JSON object: `return_code` (null: it ran over its
    time; below 0: the signal that ended it), `stdout` and `stderr`, `cpu_s`, `wall_s` without waits
    for a CPU, and `files`, name to base64. References, all optional: `stdin`, a text; `files`, name
    to base64; `fetch_files`, a list of names; `time_limit` in s and `memory_limit` in MB, at most
    what the reward has. Files want the namespaces of isolation `namespaced`, and Landlock: else
    there is no place to write to.

    Nothing is compared: this is the sandbox's raw run, which `http.sandbox_fusion` serves.
    """

    guests: ClassVar[tuple[str, ...]] = (_GUEST,)

    program: Which = "none"
    """Which fenced block is the program; "none": the whole response is."""
    cpu_s: Annotated[float, Field(gt=0, le=3600)] = 10.0
    """The longest that it may run, by its CPU time and by the clock without waits for a CPU."""
    memory_mb: Annotated[int, Field(ge=16)] = 1024
    """The memory that it may use."""
    output_kb: Annotated[int, Field(ge=1, le=8192)] = 1024
    """The most of stdout, and of stderr; more ends it."""
    transfer_kb: Annotated[int, Field(ge=1, le=8192)] = 4096
    """The most that the files may have that come with it, and those that are fetched."""

    @property
    def deterministic(self) -> bool:
        """A program may throw dice."""
        return False

    @property
    def run_memory_mb(self) -> int:
        """As configured."""
        return self.memory_mb

    @property
    def limits(self) -> Limits:
        """Of a program that says nothing of its own."""
        return Limits(
            cpu_s=self.cpu_s,
            wall_s=self.cpu_s,
            starved_s=_STARVED_FACTOR * self.cpu_s + 20,
            memory_mb=self.memory_mb,
            output_bytes=self.output_kb << 10,
            result_bytes=2 * (self.transfer_kb << 10),
            file_bytes=self.transfer_kb << 10,
        )

    @property
    def defaults(self) -> Mapping[str, Any]:
        """Time for the program's own limits to strike first."""
        return {**super().defaults, "timeout_s": self.limits.starved_s + 10}

    async def score(self, example: Example, response: Response) -> Score:
        """Whether it ran."""
        known = references(example, response)
        candidates = find_candidates(response.text, self.program)
        if not candidates:
            return Score(0.0, explanation="the response holds no program")
        order = {
            "source": candidates[0],
            "files": self._files(known.get("files")),
            "fetch": self._names(known.get("fetch_files"), "fetch_files"),
            "fetch_bytes": self.transfer_kb << 10,
        }
        stdin = known.get("stdin")
        if stdin is None:
            stdin = ""
        if not isinstance(stdin, str):
            raise InvalidInput("stdin: want a text")
        given = stdin.encode("utf-8", "replace")
        request = json.dumps(order).encode()
        run = await self.pool.run(_GUEST, request, self._limits_of(known), given)
        if run.verdict is Verdict.SANDBOX_ERROR:
            raise SandboxFault(run.detail)
        ok = run.verdict is Verdict.OK
        return Score(float(ok), explanation=run.detail, details_json=json.dumps(_told(run)))

    def _limits_of(self, known: Mapping[str, Any]) -> Limits:
        cpu_s = _at_most(known.get("time_limit"), self.cpu_s, "time_limit", "s", "cpu_s")
        memory = known.get("memory_limit")
        memory_mb = _at_most(memory, self.memory_mb, "memory_limit", "MB", "memory_mb")
        limits = replace(self.limits, cpu_s=cpu_s, wall_s=cpu_s, memory_mb=max(16, int(memory_mb)))
        return replace(limits, starved_s=_STARVED_FACTOR * cpu_s + 20)

    def _files(self, given: object) -> dict[str, str]:
        if not given:
            return {}
        if not isinstance(given, dict):
            raise InvalidInput("files: want an object, name to base64")
        files = cast("dict[str, object]", given)
        self._names(list(files), "files")
        size = 0
        for name, content in files.items():
            try:
                size += len(base64.b64decode(cast("str", content), validate=True))
            except (binascii.Error, ValueError, TypeError) as error:
                raise InvalidInput(f"files[{name!r}] is no base64: {error}") from None
        if size > self.transfer_kb << 10:
            raise InvalidInput(f"files: {size} bytes; at most {self.transfer_kb} kB (transfer_kb)")
        return cast("dict[str, str]", files)

    def _names(self, given: object, what: str) -> list[str]:
        names = cast("list[object]", given or [])
        if not isinstance(given or [], list) or not all(isinstance(name, str) for name in names):
            raise InvalidInput(f"{what}: want a list of names")
        if len(names) > _MAX_FILES:
            raise InvalidInput(f"{what}: {len(names)} files; at most {_MAX_FILES}")
        if names and not self.pool.has_scratch:
            level = self.pool.report.level.name.lower()
            raise InvalidInput(
                f"{what}: this sandbox ({level}) has no place to write to; files want namespaced, "
                "and Landlock"
            )
        for name in cast("list[str]", names):
            path = PurePosixPath(name)
            if not name or path.is_absolute() or ".." in path.parts or "\0" in name:
                raise InvalidInput(f"{what}: {name!r} is no name within the working directory")
        return cast("list[str]", names)


def _at_most(given: object, most: float, what: str, unit: str, setting: str) -> float:
    if given is None:
        return most
    try:
        value = float(cast("Any", given))
    except (TypeError, ValueError):
        raise InvalidInput(f"{what}: want a number") from None
    if not 0 < value <= most:
        why = f"want more than 0 and at most {most:g} {unit} ({setting} of the reward)"
        raise InvalidInput(f"{what} is {value:g}: {why}")
    return value


def _told(run: Run) -> dict[str, Any]:
    stderr = run.stderr.decode("utf-8", "replace")
    return_code: int | None = run.exit_code
    if run.verdict in _OVER_TIME:
        return_code = None
    elif run.verdict is not Verdict.OK:
        return_code = run.exit_code or 1
    if run.verdict not in (Verdict.OK, Verdict.RUNTIME_ERROR):
        stderr = f"{stderr}\n{run.verdict.value}: {run.detail}" if stderr else run.detail
    try:
        files: object = json.loads(run.answer) if run.answer else {}
    except ValueError:  # the program wrote there
        files = {}
    return {
        "return_code": return_code,
        "stdout": run.stdout.decode("utf-8", "replace"),
        "stderr": stderr,
        "cpu_s": run.cpu_us / 1e6,
        "wall_s": run.wall_us / 1e6,
        "files": _sound(files),
    }


def _sound(files: object) -> dict[str, str]:
    if not isinstance(files, dict):
        return {}
    found = cast("dict[str, object]", files)
    return {name: content for name, content in found.items() if isinstance(content, str)}
