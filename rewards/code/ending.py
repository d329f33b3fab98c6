"""What became of a program under its tests."""

from __future__ import annotations

import enum
from collections.abc import Mapping
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


@dataclass(slots=True, frozen=True)
class Failure:
    """Why a test failed: what became of the program, and a line for people."""

    ending: Ending
    why: str


@dataclass(slots=True, frozen=True)
class Grade:
    """How many tests passed, and what of the others: `detail` is for people."""

    passed: int
    total: int
    ending: Ending
    detail: str = ""
    has_program: bool = True

    @classmethod
    def of(cls, total: int, failures: Mapping[int, Failure]) -> Grade:
        """Of tests by their number; those that are no failures passed."""
        if not failures:
            return cls(total, total, Ending.PASSED)
        first = min(failures)
        passed = total - len(failures)
        failure = failures[first]
        detail = f"{passed} of {total} tests passed; test {first}: {failure.why[:500]}"
        return cls(passed, total, failure.ending, detail)


NO_PROGRAM = Grade(0, 1, Ending.NO_PROGRAM, "the response holds no program", has_program=False)
