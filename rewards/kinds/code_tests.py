"""The response's program passes tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field, PrivateAttr

from ..code.block import Which, compiles, find_program
from ..code.cases import AssertTests, CallTests, StdinTests, read_tests
from ..code.grade import GUESTS, Grader
from ..code.mark import Grade, Mark
from ..code.sandboxed import Sandboxed
from ..reading.gold import ReferenceKey
from ..reward import kind
from ..sandbox.limits import Limits
from ..types import Example, Response, Score, reference, references
from ..verdict import Finite

_USUAL_MODULES = (
    *("array", "bisect", "cmath", "collections", "copy", "datetime", "decimal", "fractions"),
    *("functools", "hashlib", "heapq", "itertools", "json", "math", "operator", "random", "re"),
    *("statistics", "string", "typing"),
)
_NO_PROGRAM = Grade(0, 1, Mark.NO_PROGRAM, "the response holds no program")


@kind("code_tests")
class CodeTests(Sandboxed):
    """The fraction of its tests that the response's program passes, or all of them or nothing.

    The tests stand in a reference, in the shapes that data sets have (see `programs.cases`):
    inputs with outputs, calls with values, or assert statements (HumanEval, MBPP). Expected values
    never enter the process that runs the program. Functions that tests hand to the program cannot
    cross to it: such tests are INVALID_REFERENCE; objects of its own classes cannot come back.

    A program that is not there, does not compile, raises, loops, or takes more than it may is
    *wrong*. Components: `tests_passed`, the fraction; `parsed`, 1 where there is a program that
    compiles; `verdict`, a number of `programs.mark.Mark`. The explanation says what failed first.
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
    tolerance: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Within which numbers are the same, relative or absolute. Not for assert statements."""
    cpu_s: Annotated[float, Field(gt=0, le=3600)] = 5.0
    """The CPU time of a program, for all its tests."""
    memory_mb: Annotated[int, Field(ge=16)] = 512
    """The memory of a program."""
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
    def limits(self) -> Limits:
        """Of one program. The clock is the safety net: three times its CPU time, and 2 s."""
        return Limits(
            cpu_s=self.cpu_s,
            wall_s=3 * self.cpu_s + 2,
            memory_mb=self.memory_mb,
            output_bytes=self.output_kb << 10,
            result_bytes=max(1 << 20, 16 * (self.output_kb << 10)),
            file_bytes=max(1 << 20, 16 * (self.output_kb << 10)),
        )

    @property
    def defaults(self) -> Mapping[str, Any]:
        """Time for the program's own limits to strike first, with what a busy machine adds."""
        return {**super().defaults, "timeout_s": 2 * self.limits.wall_s + 10}

    async def score(self, example: Example, response: Response) -> Score:
        """The reward of the share of tests that passed."""
        known = references(example, response)
        tests = read_tests(reference(example, response, self.reference), known)
        program = find_program(response.text, self.program)
        whole = None if program is None else _completed(program, tests)
        if whole is None:
            return self._scored(_NO_PROGRAM, parsed=False)
        if self._grader is None:
            self._grader = Grader(self.pool, self.limits, self.tolerance)
        return self._scored(await self._grader.grade(whole, tests), parsed=True)

    def _scored(self, grade: Grade, *, parsed: bool) -> Score:
        passed = grade.passed / grade.total
        share = float(grade.mark is Mark.PASSED) if self.all_or_nothing else passed
        reward = self.wrong_reward + share * (self.correct_reward - self.wrong_reward)
        components = {
            "tests_passed": passed,
            "parsed": float(parsed),
            "verdict": float(grade.mark),
        }
        return Score(reward, components, grade.detail, ())


def _completed(program: str, tests: StdinTests | CallTests | AssertTests) -> str | None:
    """The program with the prompt that it continues, where it does; None: it does not compile.

    One that defines what the tests want may still build on what the prompt imports and defines.
    """
    prompt = tests.prompt if isinstance(tests, AssertTests) else ""
    whole = f"{prompt}\n{program}" if prompt and not prompt.endswith("\n") else prompt + program
    if prompt and compiles(whole):
        return whole
    if not compiles(program):
        return None
    return program
