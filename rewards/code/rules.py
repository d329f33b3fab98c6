"""How programs are graded: what a configuration says, and what a data set changes of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..sandbox.limits import Limits
from .compare import Comparison
from .tests import GivenLimits


@dataclass(frozen=True, slots=True)
class Rules:
    """How programs are graded."""

    limits: Limits
    """Of a program in one test."""
    comparison: Comparison = "floats"
    tolerance: float = 1e-6
    all_or_nothing: bool = False
    """Stop at the first test that failed."""
    compile_cpu_s: float = 20.0
    """Of a compiler, in each of its steps."""
    max_overruns: int = 10
    """After so many tests over their time the rest have failed too."""


def limited(limits: Limits, given: GivenLimits) -> Limits:
    """The limits of the reward, but for what the data set says."""
    cpu_s = given.cpu_s or limits.cpu_s
    return replace(
        limits,
        cpu_s=cpu_s,
        wall_s=limits.wall_s if given.cpu_s is None else 3 * cpu_s + 2,
        memory_mb=given.memory_mb or limits.memory_mb,
    )
