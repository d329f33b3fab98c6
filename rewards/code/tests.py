"""The tests of a program: what they are, whichever data set they come from (see `datasets`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..types import InvalidReference

MAX_TESTS = 10_000


@dataclass(slots=True, frozen=True)
class GivenLimits:
    """What a data set says of a program's limits in one test; None: what the reward says."""

    cpu_s: float | None = None
    memory_mb: int | None = None


@dataclass(slots=True, frozen=True)
class StdinTests:
    """Each input with what the program must write.

    `checker` is the source of a program that judges outputs of which there is more than one right
    (see `sandbox.guest.checker`).
    """

    inputs: Sequence[str]
    outputs: Sequence[str]
    checker: str = ""
    limits: GivenLimits = field(default_factory=GivenLimits)


@dataclass(slots=True, frozen=True)
class CallTests:
    """Each list of arguments with the values that are right for `function` to return.

    `function` may be an expression, ``Solution().f``. `prompt`: what the program continues, or
    builds on.
    """

    function: str
    inputs: Sequence[Sequence[Any]]
    outputs: Sequence[Sequence[Any]]
    prompt: str = ""
    limits: GivenLimits = field(default_factory=GivenLimits)


@dataclass(slots=True, frozen=True)
class AssertTests:
    """Test code, a piece for each test, or one for all.

    `prompt` is what a program continues, and what the tests may build on; `setup` runs before each.
    With an `entry_point` the code defines ``check(candidate)``; without, it calls what the program
    defines by name. `described` are the other texts of the example: what they name the program
    owes.
    """

    cases: Sequence[str]
    setup: str = ""
    entry_point: str = ""
    prompt: str = ""
    described: str = ""
    limits: GivenLimits = field(default_factory=GivenLimits)


Tests = StdinTests | CallTests | AssertTests


def checked(inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
    """Raises InvalidReference where there is not one output for each input, or too many."""
    if len(inputs) != len(outputs) or not inputs:
        raise InvalidReference(f"{len(inputs)} inputs for {len(outputs)} outputs; want one each")
    if len(inputs) > MAX_TESTS:
        raise InvalidReference(f"{len(inputs)} tests; at most {MAX_TESTS}")
