"""The response's program passes tests."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PrivateAttr

from ..code.candidates import Language, Which, find_candidates, language_named, language_of
from ..code.compare import Comparison
from ..code.compiled import MEMORY_MB, compiler_limits, prove
from ..code.datasets import read_tests
from ..code.ending import Ending, Grade, details_of
from ..code.grade import GUESTS, Grader
from ..code.rules import Rules
from ..code.sandboxed import Sandboxed
from ..code.tests import StdinTests, Tests
from ..reading.gold import ReferenceKey
from ..references import reference, references
from ..reward import NO_RESPONSE, kind
from ..sandbox import toolchain
from ..sandbox.compiling import Compiler
from ..sandbox.limits import Limits
from ..sandbox.pool import run_apart
from ..sandbox.profile import Tool
from ..sandbox.toolchain import CompiledLanguage, CompilerMissing, Toolchain
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

    language: Literal["python", "cpp", "c", "auto"] = "python"
    """What programs are written in. "auto": what a reference `language` says, else the fence of the
    program. C++ and C want tests by stdin and stdout, and a compiler where the reward runs."""
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
    compile_cpu_s: Annotated[float, Field(gt=0, le=3600)] = 20.0
    """The CPU time of the compiler, in each of its three steps."""
    max_overruns: Annotated[int, Field(ge=0, le=1000)] = 10
    """A program that ran over its time in more tests than this has failed those left, which are not
    run: it bounds what a program that always loops costs."""
    output_kb: Annotated[int, Field(ge=1, le=65_536)] = 64
    """The most that it may write for one test."""
    modules: tuple[str, ...] = _USUAL_MODULES
    """Imported before any program runs; programs may import others, each at its own cost."""

    _chains: tuple[Toolchain, ...] = PrivateAttr(default=())
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
        """As configured, and as a compiler may have."""
        return max(self.memory_mb, MEMORY_MB if self._compiled_languages else 0)

    @property
    def _compiled_languages(self) -> tuple[CompiledLanguage, ...]:
        if self.language == "python":
            return ()
        return ("cpp", "c") if self.language == "auto" else (self.language,)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Of a compiler that this host lacks, which may not be where the reward will run."""
        found: list[str] = []
        for language in self._compiled_languages:
            try:
                toolchain.find(language)
            except CompilerMissing as error:
                found.append(str(error))
        return tuple(found)

    def tools(self) -> tuple[Tool, ...]:
        """The compilers'. Raises CompilerMissing."""
        self._chains = tuple(toolchain.find(language) for language in self._compiled_languages)
        return tuple(tool for chain in self._chains for tool in chain.tools)

    def setup(self) -> None:
        """Starts the sandbox, and where programs are compiled makes one. Blocks for up to 2 s.

        Raises:
            CompilerMissing: there is no compiler for the language, or it does not work here.
            IsolationUnavailable, SeedFailed, MemoryError: see `Sandboxed.setup`.
        """
        super().setup()
        for compiler in self._compilers().values():
            run_apart(partial(prove, self.pool, compiler))

    def _compilers(self) -> dict[Language, Compiler]:
        places = range(0, 3 * len(self._chains), 3)
        return {
            chain.language: Compiler(self.pool, chain, place)
            for chain, place in zip(self._chains, places, strict=True)
        }

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
        if self._compiled_languages:
            timeout_s += 2 * compiler_limits(self.compile_cpu_s).wall_s
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
        language = self._language_of(response, tests, known)
        candidates = find_candidates(response.text, self.program, language)
        if self._grader is None:
            rules = Rules(
                self.limits,
                self.compare,
                self.tolerance,
                all_or_nothing=self.all_or_nothing,
                compile_cpu_s=self.compile_cpu_s,
                max_overruns=self.max_overruns,
            )
            self._grader = Grader(self.pool, rules, self._compilers())
        return self._scored(await self._grader.grade(candidates, tests, language))

    def _language_of(self, response: Response, tests: Tests, known: Mapping[str, Any]) -> Language:
        if self.language != "auto":
            return self.language
        if not isinstance(tests, StdinTests):
            return "python"
        named = language_named(known.get("language"))
        return named or language_of(response.text, self.program)

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
