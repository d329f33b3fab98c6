"""What became of a program under its tests."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from ..sandbox.verdict import Verdict


class Mark(enum.IntEnum):
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


MARKS: Mapping[Verdict, Mark] = {
    Verdict.OK: Mark.WRONG,
    Verdict.RUNTIME_ERROR: Mark.CRASHED,
    Verdict.CPU_LIMIT: Mark.TIME_LIMIT,
    Verdict.WALL_LIMIT: Mark.TIME_LIMIT,
    Verdict.MEMORY_LIMIT: Mark.MEMORY_LIMIT,
    Verdict.OUTPUT_LIMIT: Mark.OUTPUT_LIMIT,
    Verdict.KILLED: Mark.CRASHED,
}


@dataclass(slots=True, frozen=True)
class Grade:
    """How many tests passed, and what of the others: `detail` is for people."""

    passed: int
    total: int
    mark: Mark
    detail: str = ""
