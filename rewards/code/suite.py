"""The tests of one program, and which of them failed.

All tests are first run in one process: of a program that passes them nothing more is asked. That
way never says no. A test that did not pass there is run again in a process of its own. Both go in
an order that follows from the tests themselves, so that nothing depends on how they are listed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from ..sandbox.limits import Limits
from ..sandbox.pool import SandboxPool
from ..sandbox.verdict import Run, Verdict
from ..types import InvalidReference, SandboxFault
from .compare import same_output
from .ending import ENDINGS, NO_PROGRAM, Ending, Failure, Grade
from .rules import Rules
from .tests import StdinTests

_MAX_ANSWER_BYTES = 64 << 20
_SLACK_BYTES = 1 << 20
_MAX_RESTARTS = 3
"""How often the quick way goes on behind a test that ended the process."""
_MAX_US = 10**12
WRONG = "another answer than is expected"


class Suite:
    """The tests of one program, and which of them failed."""

    lines_before = 1
    """What a guest says of the program before the first answer."""

    def __init__(
        self,
        pool: SandboxPool,
        rules: Rules,
        limits: Limits,
        candidates: Sequence[str],
        inputs: Sequence[Any],
        sizes: Sequence[int],
    ) -> None:
        self.pool = pool
        self.rules = rules
        self.limits = limits
        self.candidates = candidates
        self.total = len(inputs)
        self.sizes = sizes
        """Of each expected answer, in bytes."""
        self.loads = True
        """Whether the program comes as far as its first test: where not, none can pass."""
        keys = [json.dumps(given) for given in inputs]
        self.order = sorted(range(self.total), key=lambda i: (len(keys[i]), keys[i]))
        self._failures: dict[int, Failure] = {}
        self.cpu_s: dict[int, float] = {}

    async def quick(self, tests: Sequence[int]) -> Run:
        """Runs tests in one process."""
        raise NotImplementedError

    async def alone(self, test: int) -> Failure | None:
        """Runs a test in a process of its own; why it failed."""
        raise NotImplementedError

    async def passes(self, test: int, answer: Mapping[str, Any]) -> bool:
        """Whether an answer of the quick way is right."""
        raise NotImplementedError

    async def grade(self) -> Grade:
        """Runs all."""
        left = await self.quickly()
        if left is None:
            return NO_PROGRAM
        if isinstance(left, Failure):
            return Grade(0, self.total, left.ending, left.why, has_program=False)
        overruns = 0
        for place, test in enumerate(left):
            failure = await self.alone(test)
            if failure is None:
                continue
            self._failures[test] = failure
            overruns += failure.ending is Ending.TIME_LIMIT
            gives_up = self.rules.all_or_nothing or overruns > self.rules.max_overruns
            if gives_up or not self.loads:
                why = Failure(failure.ending, f"not run, as test {test} failed: {failure.why}")
                self._failures.update((other, why) for other in left[place + 1 :])
                break
        return Grade.of(self.total, self._failures, self.cpu_s)

    async def quickly(self) -> list[int] | Failure | None:
        """The tests that are to be run alone; None: there is no program.

        A Failure: finding out whether there is one took more than a program may take.
        """
        again: list[int] = []
        todo = self.order
        for _restart in range(_MAX_RESTARTS):
            run = checked_run(await self.quick(todo))
            lines = run.answer.split(b"\n", len(todo) + self.lines_before + 1)
            head = object_in(lines[0])
            if head is None or "program" not in head:
                if run.verdict is Verdict.OK:  # the program wrote over it
                    return again + list(todo)
                return Failure(ENDINGS[run.verdict], f"while it was compiled: {run.detail}")
            if head["program"] is not True:
                return None
            answered = 0
            told_us: dict[int, int] = {}
            for line, test in zip(lines[self.lines_before :], todo, strict=False):
                answer = object_in(line)
                if answer is None or answer.get("test") != answered:
                    break  # cut off, or of the program's own making
                answered += 1
                told_us[test] = _us(answer.get("us"))
                if "raised" in answer or not await self.passes(test, answer):
                    again.append(test)
            self._note_times(told_us, run.cpu_us, whole=answered == len(todo))
            over_time = run.verdict in (Verdict.CPU_LIMIT, Verdict.WALL_LIMIT)
            if answered == len(todo) or over_time or not self._has_loaded(lines):
                return again + list(todo[answered:])
            again.append(todo[answered])
            todo = todo[answered + 1 :]
            if not todo:
                break
        return again + list(todo)

    def _note_times(self, told_us: Mapping[int, int], cpu_us: int, *, whole: bool) -> None:
        """The CPU time of tests that ran in one process, each by its share in what was told there.

        What the process told of itself says how its time is shared out, not how much it was.
        """
        all_us = sum(told_us.values())
        scale = cpu_us / all_us if all_us and (whole or all_us > cpu_us) else 1.0
        self.cpu_s |= {test: us * scale / 1e6 for test, us in told_us.items()}

    def _has_loaded(self, lines: Sequence[bytes]) -> bool:
        return self.lines_before == 1 or (len(lines) > 1 and object_in(lines[1]) == {"load": ""})

    def answer_limits(self, tests: Sequence[int]) -> Limits:
        """Limits under which twice what is expected may be answered."""
        wanted = sum(6 * self.sizes[test] + 1000 for test in tests) + _SLACK_BYTES
        most = max(self.limits.output_bytes, *(2 * self.sizes[test] for test in tests))
        return replace(
            self.limits,
            result_bytes=min(wanted, _MAX_ANSWER_BYTES),
            output_bytes=most,
            file_bytes=max(self.limits.file_bytes, most),
        )


class StdinSuite(Suite):
    """Of a Python program that reads its input and writes its output."""

    def __init__(
        self,
        pool: SandboxPool,
        rules: Rules,
        limits: Limits,
        candidates: Sequence[str],
        tests: StdinTests,
    ) -> None:
        sizes = [len(output.encode("utf-8", "replace")) for output in tests.outputs]
        super().__init__(pool, rules, limits, candidates, tests.inputs, sizes)
        self.tests = tests
        self._reads = any(text.strip() for text in tests.inputs)

    async def quick(self, tests: Sequence[int]) -> Run:
        """As above."""
        limits = self.answer_limits(tests)
        inputs = [self.tests.inputs[test] for test in tests]
        order = {
            "candidates": list(self.candidates),
            "reads": self._reads,
            "inputs": inputs,
            "output_bytes": limits.output_bytes,
        }
        # What it writes past Python goes to one file for all tests.
        limits = replace(limits, output_bytes=limits.output_bytes * (1 + min(len(tests), 16)))
        return await self.pool.run("stdin_cases", json.dumps(order).encode(), limits)

    async def passes(self, test: int, answer: Mapping[str, Any]) -> bool:
        """As above."""
        output = answer.get("output")
        return isinstance(output, str) and await self.is_right(test, output)

    async def alone(self, test: int) -> Failure | None:
        """As above."""
        # Chosen anew among all: which it was is what the program's process may have written over.
        order = {"candidates": list(self.candidates), "reads": self._reads}
        request = json.dumps(order).encode()
        given = self.tests.inputs[test].encode("utf-8", "replace")
        limits = self.answer_limits([test])
        run = checked_run(await self.pool.run("stdin_program", request, limits, given))
        self.cpu_s[test] = run.cpu_us / 1e6
        if run.verdict is Verdict.OK:
            return await self.judged(test, run)
        if run.verdict is Verdict.RUNTIME_ERROR:
            why = run.answer[:500].decode("utf-8", "replace")
            if not why:
                return Failure(Ending.CRASHED, f"it ended with {run.detail}")
            return Failure(Ending.RAISED, why)
        return Failure(ENDINGS[run.verdict], run.detail)

    async def judged(self, test: int, run: Run) -> Failure | None:
        """What is wrong with what a program wrote that ended well."""
        is_right = await self.is_right(test, run.stdout.decode("utf-8", "replace"))
        return None if is_right else Failure(Ending.WRONG, WRONG)

    async def is_right(self, test: int, output: str) -> bool:
        """Whether an output is the one that is due, or one that the checker takes."""
        expected = self.tests.outputs[test]
        if same_output(expected, output, self.rules.comparison, self.rules.tolerance):
            return True
        if not self.tests.checker:
            return False
        said = await self._check(test, output)
        if "broken" in said and "broken" in await self._check(test, expected):
            raise InvalidReference(f"the checker fails on what is expected: {said['broken']}")
        return said.get("right") is True

    async def _check(self, test: int, output: str) -> dict[str, Any]:
        order = {
            "source": self.tests.checker,
            "input": self.tests.inputs[test],
            "output": output,
            "expected": self.tests.outputs[test],
        }
        limits = replace(self.rules.limits, cpu_s=max(10.0, self.rules.limits.cpu_s), wall_s=32.0)
        run = checked_run(await self.pool.run("checker", json.dumps(order).encode(), limits))
        answer = object_in(run.answer)
        return {"broken": f"{run.verdict.value}: {run.detail}"} if answer is None else answer


def checked_run(run: Run) -> Run:
    """Raises SandboxFault where the sandbox failed."""
    if run.verdict is Verdict.SANDBOX_ERROR:
        raise SandboxFault(run.detail)
    return run


def _us(told: object) -> int:
    return told if isinstance(told, int) and 0 <= told < _MAX_US else 0


def object_in(line: bytes) -> dict[str, Any] | None:
    """The JSON object in a line; None: there is none."""
    if not line.startswith(b"{"):
        return None
    try:
        found: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None
