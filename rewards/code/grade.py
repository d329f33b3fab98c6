"""Runs tests on a program, in a sandbox; what is expected never enters the process that runs it.

Nothing that the program's process says of itself counts: not a word like PASSED, not its own
verdict. It is asked for outputs and values, which are compared here.

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
from .asserting import grade_asserts
from .compare import same_output, same_value
from .ending import ENDINGS, NO_PROGRAM, Ending, Failure, Grade
from .rules import Rules, limited
from .tests import AssertTests, CallTests, StdinTests

GUESTS = ("stdin_cases", "stdin_program", "call_cases", "solution", "asserts", "checker")
"""Of a pool's profile, for what is run here."""
_MAX_ANSWER_BYTES = 64 << 20
_SLACK_BYTES = 1 << 20
_MAX_RESTARTS = 3
"""How often the quick way goes on behind a test that ended the process."""
_MAX_US = 10**12
_WRONG = "another answer than is expected"


class Grader:
    """Grades programs on the slots of a pool whose profile has `GUESTS`."""

    def __init__(self, pool: SandboxPool, rules: Rules) -> None:
        self._pool = pool
        self._rules = rules

    async def grade(
        self, candidates: Sequence[str], tests: StdinTests | CallTests | AssertTests
    ) -> Grade:
        """Runs the tests on the program that is one of the candidates, the likeliest first.

        Raises:
            SandboxFault: the sandbox failed, each time it was tried.
            InvalidReference: the tests cannot be run.
        """
        if not candidates:
            return NO_PROGRAM
        limits = limited(self._rules.limits, tests.limits)
        if isinstance(tests, AssertTests):
            rules = replace(self._rules, limits=limits)
            return await grade_asserts(self._pool, rules, candidates, tests)
        if isinstance(tests, StdinTests):
            suite: _Suite = _Stdin(self._pool, self._rules, limits, candidates, tests)
        else:
            suite = _Calls(self._pool, self._rules, limits, candidates, tests)
        return await suite.grade()


class _Suite:
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
        self._order = sorted(range(self.total), key=lambda i: (len(keys[i]), keys[i]))
        self._failures: dict[int, Failure] = {}
        self._cpu_s: dict[int, float] = {}

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
        left = await self._quickly()
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
        return Grade.of(self.total, self._failures, self._cpu_s)

    async def _quickly(self) -> list[int] | Failure | None:
        """The tests that are to be run alone; None: there is no program.

        A Failure: finding out whether there is one took more than a program may take.
        """
        again: list[int] = []
        todo = self._order
        for _restart in range(_MAX_RESTARTS):
            run = checked_run(await self.quick(todo))
            lines = run.answer.split(b"\n", len(todo) + self.lines_before + 1)
            head = _object(lines[0])
            if head is None or "program" not in head:
                if run.verdict is Verdict.OK:  # the program wrote over it
                    return again + list(todo)
                return Failure(ENDINGS[run.verdict], f"while it was compiled: {run.detail}")
            if head["program"] is not True:
                return None
            answered = 0
            told_us: dict[int, int] = {}
            for line, test in zip(lines[self.lines_before :], todo, strict=False):
                answer = _object(line)
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
        self._cpu_s |= {test: us * scale / 1e6 for test, us in told_us.items()}

    def _has_loaded(self, lines: Sequence[bytes]) -> bool:
        return self.lines_before == 1 or (len(lines) > 1 and _object(lines[1]) == {"load": ""})

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


class _Stdin(_Suite):
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
        self._tests = tests
        self._reads = any(text.strip() for text in tests.inputs)

    async def quick(self, tests: Sequence[int]) -> Run:
        limits = self.answer_limits(tests)
        inputs = [self._tests.inputs[test] for test in tests]
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
        output = answer.get("output")
        return isinstance(output, str) and await self._is_right(test, output)

    async def alone(self, test: int) -> Failure | None:
        # Chosen anew among all: which it was is what the program's process may have written over.
        order = {"candidates": list(self.candidates), "reads": self._reads}
        request = json.dumps(order).encode()
        given = self._tests.inputs[test].encode("utf-8", "replace")
        limits = self.answer_limits([test])
        run = checked_run(await self.pool.run("stdin_program", request, limits, given))
        self._cpu_s[test] = run.cpu_us / 1e6
        if run.verdict is Verdict.OK:
            is_right = await self._is_right(test, run.stdout.decode("utf-8", "replace"))
            return None if is_right else Failure(Ending.WRONG, _WRONG)
        if run.verdict is Verdict.RUNTIME_ERROR:
            why = run.answer[:500].decode("utf-8", "replace")
            if not why:
                return Failure(Ending.CRASHED, f"it ended with {run.detail}")
            return Failure(Ending.RAISED, why)
        return Failure(ENDINGS[run.verdict], run.detail)

    async def _is_right(self, test: int, output: str) -> bool:
        expected = self._tests.outputs[test]
        if same_output(expected, output, self.rules.comparison, self.rules.tolerance):
            return True
        if not self._tests.checker:
            return False
        said = await self._check(test, output)
        if "broken" in said and "broken" in await self._check(test, expected):
            raise InvalidReference(f"the checker fails on what is expected: {said['broken']}")
        return said.get("right") is True

    async def _check(self, test: int, output: str) -> dict[str, Any]:
        order = {
            "source": self._tests.checker,
            "input": self._tests.inputs[test],
            "output": output,
            "expected": self._tests.outputs[test],
        }
        limits = replace(self.rules.limits, cpu_s=max(10.0, self.rules.limits.cpu_s), wall_s=32.0)
        run = checked_run(await self.pool.run("checker", json.dumps(order).encode(), limits))
        answer = _object(run.answer)
        return {"broken": f"{run.verdict.value}: {run.detail}"} if answer is None else answer


class _Calls(_Suite):
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
        self._cpu_s[test] = run.cpu_us / 1e6
        lines = [_object(line) for line in run.answer.split(b"\n", 4)[:3]]
        _head, load, answer = (*lines, None, None, None)[:3]
        self.loads = load == {"load": ""}
        if run.verdict is Verdict.OK and answer is not None:
            if "raised" in answer:
                return Failure(Ending.RAISED, str(answer["raised"])[:500])
            is_right = await self.passes(test, answer)
            return None if is_right else Failure(Ending.WRONG, _WRONG)
        if run.verdict is Verdict.OK and load is not None and load.get("load"):
            return Failure(Ending.RAISED, str(load["load"])[:500])
        if run.verdict is Verdict.OK:
            return Failure(Ending.CRASHED, "it ended before its answer")
        return Failure(ENDINGS[run.verdict], run.detail)

    def _is_right(self, test: int, told: str) -> bool:
        tolerance = self.rules.tolerance
        return any(same_value(right, told, tolerance) for right in self._tests.outputs[test])


def checked_run(run: Run) -> Run:
    """Raises SandboxFault where the sandbox failed."""
    if run.verdict is Verdict.SANDBOX_ERROR:
        raise SandboxFault(run.detail)
    return run


def _us(told: object) -> int:
    return told if isinstance(told, int) and 0 <= told < _MAX_US else 0


def _object(line: bytes) -> dict[str, Any] | None:
    """The JSON object in a line; None: there is none."""
    if not line.startswith(b"{"):
        return None
    try:
        found: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None
