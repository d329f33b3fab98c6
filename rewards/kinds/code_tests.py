"""The response's program passes tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field, PrivateAttr

from ..code.candidates import Which, find_candidates
from ..code.compare import Comparison
from ..code.datasets import read_tests
from ..code.ending import Ending, Grade, details_of
from ..code.grade import GUESTS, Grader
from ..code.rules import Rules
from ..code.sandboxed import Sandboxed
from ..reading.gold import ReferenceKey
from ..references import reference, references
from ..reward import NO_RESPONSE, kind
from ..sandbox.limits import Limits
from ..types import Example, Response, Score
from ..verdict import Finite

_USUAL_MODULES = (
    *("array", "bisect", "cmath", "collections", "copy", "datetime", "decimal", "fractions"),
    *("functools", "hashlib", "heapq", "itertools", "json", "math", "operator", "random", "re"),
    *("statistics", "string", "typing"),
)
_STARVED_FACTOR = 20
"""How much slower than alone a program may be run before that is the sandbox's fault."""


@kind("code_tests")
class CodeTests(Sandboxed):
    """The fraction of its tests that the response's program passes, or all of them or nothing.

    The tests stand in a reference, in the shapes that data sets have (see `code.datasets`): inputs
    with outputs, calls with values, or test code (HumanEval, MBPP, unittest). Expected values never
    enter the process that runs the program. Functions that tests hand to the program cannot cross
    to it: such tests are INVALID_REFERENCE.

    A program that is not there, does not compile, raises, loops, or takes more than it may is
    *wrong*. CPU time decides, not the clock: a program that had no CPU is run on. A test that fails
    beside others is run again in a process of its own, so that its verdict does not depend on them.
    Components: `tests_passed`, the fraction; `parsed`, 1 where there is a program that compiles;
    `verdict`, a number of `code.ending.Ending`. The explanation says what failed first. The details
    have the results of all tests (see `code.ending.details_of`).
    """

    guests: ClassVar[tuple[str, ...]] = GUESTS

    reference: ReferenceKey = "tests"
    """The reference that holds the tests."""
    program: Which = "last"
    """Which fenced block is the program; "none": the whole response is."""
    all_or_nothing: bool = False
    """A program that fails one test earns what one that fails all does."""
    correct_reward: Finite = 1.0
    """The reward of a program that passes all tests."""
    wrong_reward: Finite = 0.0
    """The reward of one that passes none; those between have their share of the difference."""
    compare: Comparison = "floats"
    """How the output of a program is compared with what is expected (see `code.compare`)."""
    tolerance: Annotated[float, Field(ge=0, lt=1)] = 1e-6
    """Within which real numbers are the same, relative or absolute: floats of outputs and of
    values. Not for test code."""
    cpu_s: Annotated[float, Field(gt=0, le=3600)] = 5.0
    """The CPU time of a program in one test. A reference `time_limit`, in s, goes before it."""
    memory_mb: Annotated[int, Field(ge=16)] = 512
    """The memory of a program. A reference `memory_limit`, in MB, goes before it."""
    max_overruns: Annotated[int, Field(ge=0, le=1000)] = 10
    """A program that ran over its time in more tests than this has failed those left, which are not
    run: it bounds what a program that always loops costs."""
    output_kb: Annotated[int, Field(ge=1, le=65_536)] = 64
    """The most that it may write for one test."""
    modules: tuple[str, ...] = _USUAL_MODULES
    """Imported before any program runs; programs may import others, each at its own cost."""

    _grader: Grader | None = PrivateAttr(default=None)

    @property
    def deterministic(self) -> bool:
        """A program may throw dice, or be as slow as its limit."""
        return False

    @property
    def component_names(self) -> tuple[str, ...]:
        """See the class."""
        return ("tests_passed", "parsed", "verdict")

    @property
    def reference_keys(self) -> tuple[str, ...]:
        """The tests'."""
        return (self.reference,)

    @property
    def run_memory_mb(self) -> int:
        """As configured."""
        return self.memory_mb

    @property
    def limits(self) -> Limits:
        """Of one test.

        The clock is for programs that sleep: three times the CPU time, and 2 s. It stops while one
        waits for a CPU.
        """
        return Limits(
            cpu_s=self.cpu_s,
            wall_s=3 * self.cpu_s + 2,
            starved_s=_STARVED_FACTOR * self.cpu_s + 20,
            memory_mb=self.memory_mb,
            output_bytes=self.output_kb << 10,
            file_bytes=max(1 << 20, 16 * (self.output_kb << 10)),
        )

    @property
    def defaults(self) -> Mapping[str, Any]:
        """Time for the program's own limits to strike first, in all the tests that may overrun."""
        overruns = 2 if self.all_or_nothing else self.max_overruns + 2
        timeout_s = self.limits.starved_s + overruns * self.limits.wall_s + 10
        return {**super().defaults, "timeout_s": timeout_s}

    def examine(self, example: Example) -> None:
        """Reads the tests; none is run."""
        super().examine(example)
        given = reference(example, NO_RESPONSE, self.reference)
        read_tests(given, references(example, NO_RESPONSE))

    async def score(self, example: Example, response: Response) -> Score:
        """The reward of the share of tests that passed."""
        known = references(example, response)
        tests = read_tests(reference(example, response, self.reference), known)
        candidates = find_candidates(response.text, self.program)
        if self._grader is None:
            rules = Rules(
                self.limits,
                self.compare,
                self.tolerance,
                all_or_nothing=self.all_or_nothing,
                max_overruns=self.max_overruns,
            )
            self._grader = Grader(self.pool, rules)
        return self._scored(await self._grader.grade(candidates, tests))

    def _scored(self, grade: Grade) -> Score:
        passed = grade.passed / grade.total
        share = float(grade.ending is Ending.PASSED) if self.all_or_nothing else passed
        reward = self.wrong_reward + share * (self.correct_reward - self.wrong_reward)
        components = {
            "tests_passed": passed,
            "parsed": float(grade.has_program),
            "verdict": float(grade.ending),
        }
        return Score(reward, components, grade.detail, (), details_json=details_of(grade))
