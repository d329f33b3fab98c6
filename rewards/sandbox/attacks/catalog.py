"""All cases by the note's lines, and the tests that hold the lines which no attack alone can."""

from __future__ import annotations

from collections.abc import Mapping

from . import between, cpu, files, kernel, memory, network, output, processes, signals
from .case import Case
from .note import LINES

CASES: tuple[Case, ...] = (
    *cpu.CASES,
    *memory.CASES,
    *processes.CASES,
    *files.CASES,
    *network.CASES,
    *kernel.CASES,
    *signals.CASES,
    *output.CASES,
    *between.CASES,
)

_INTEGRITY = "tests/rewards/sandbox/test_integrity.py"

TESTS: dict[str, tuple[str, ...]] = {}
"""By line: the tests that hold it, as pytest names them, without their parameters."""


def case_ids() -> Mapping[str, tuple[str, ...]]:
    """Every line of the note with the ids of its cases, or of the tests that stand for them."""
    by_line: dict[str, list[str]] = {line: [] for lines in LINES.values() for line in lines}
    for case in CASES:
        by_line[case.line].append(case.id)
    for line, tests in TESTS.items():
        by_line[line].extend(tests)
    return {line: tuple(ids) for line, ids in by_line.items()}
