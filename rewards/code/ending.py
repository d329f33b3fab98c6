"""What became of a program under its tests."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..sandbox.verdict import Verdict


class Ending(enum.IntEnum):
    """What became of a program: the number is component `verdict`."""

    PASSED = 0
    WRONG = 1
    """It ran, and a test failed."""
    RAISED = 2
    TIME_LIMIT = 3
    MEMORY_LIMIT = 4
    OUTPUT_LIMIT = 5
    CRASHED = 6
    """It ended its process before the tests had ended."""
    NO_PROGRAM = 7
    """There is none in the response, or it does not compile."""


ENDINGS: Mapping[Verdict, Ending] = {
    Verdict.OK: Ending.WRONG,
    Verdict.RUNTIME_ERROR: Ending.CRASHED,
    Verdict.CPU_LIMIT: Ending.TIME_LIMIT,
    Verdict.WALL_LIMIT: Ending.TIME_LIMIT,
    Verdict.MEMORY_LIMIT: Ending.MEMORY_LIMIT,
    Verdict.HOST_KILLED: Ending.MEMORY_LIMIT,
    Verdict.OUTPUT_LIMIT: Ending.OUTPUT_LIMIT,
    Verdict.KILLED: Ending.CRASHED,
}


NO_TIMES: Mapping[int, float] = {}


@dataclass(slots=True, frozen=True)
class Failure:
    """Why a test failed: what became of the program, and a line for people."""

    ending: Ending
    why: str


@dataclass(slots=True, frozen=True)
class TestResult:
    """Whether a test passed, and the CPU time of the program in it; None: nobody knows."""

    __test__ = False  # pytest looks for tests by this name
    passed: bool
    cpu_s: float | None = None


NOT_RUN = TestResult(passed=False)


def joined(results: Sequence[TestResult]) -> TestResult:
    """Of tests that are one."""
    times_s = [result.cpu_s for result in results if result.cpu_s is not None]
    return TestResult(
        all(result.passed for result in results),
        sum(times_s) if len(times_s) == len(results) else None,
    )


@dataclass(slots=True, frozen=True)
class Grade:
    """How many tests passed, and what of the others: `detail` is for people.

    `tests`: of each test in the order of the data set; empty: none was run.
    """

    passed: int
    total: int
    ending: Ending
    detail: str = ""
    has_program: bool = True
    tests: Sequence[TestResult] = ()

    @classmethod
    def of(
        cls, total: int, failures: Mapping[int, Failure], cpu_s: Mapping[int, float] = NO_TIMES
    ) -> Grade:
        """Of tests by their number; those that are no failures passed."""
        tests = [TestResult(test not in failures, cpu_s.get(test)) for test in range(total)]
        if not failures:
            return cls(total, total, Ending.PASSED, tests=tests)
        first = min(failures)
        passed = total - len(failures)
        failure = failures[first]
        detail = f"{passed} of {total} tests passed; test {first}: {failure.why[:500]}"
        return cls(passed, total, failure.ending, detail, tests=tests)


NO_PROGRAM = Grade(0, 1, Ending.NO_PROGRAM, "the response holds no program", has_program=False)


def details_of(grade: Grade) -> str:
    """The results of all tests for programs: JSON, empty where none was run.

    ``{"passed": [true, …], "cpu_s": [0.01, …]}``, in the order of the data set. A time is null
    where nobody knows it. Of test code a test is a piece of a list, or where there is one text what
    unittest or pytest would call a test in it.
    """
    if not grade.tests:
        return ""
    times_s = [None if t.cpu_s is None else round(t.cpu_s, 6) for t in grade.tests]
    return json.dumps({"passed": [t.passed for t in grade.tests], "cpu_s": times_s})
