"""One attack: what runs in the confined child, and how that must end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..level import Level
from ..verdict import Verdict

DONE = frozenset({Verdict.OK})
STOPPED = frozenset({Verdict.CPU_LIMIT, Verdict.WALL_LIMIT})
OVER_TIME = frozenset({Verdict.CPU_LIMIT})
OVER_WALL = frozenset({Verdict.WALL_LIMIT})
OVER_OUTPUT = frozenset({Verdict.OUTPUT_LIMIT})
OVER_MEMORY = frozenset({Verdict.MEMORY_LIMIT})
ANY = frozenset(Verdict) - {Verdict.SANDBOX_ERROR}
"""However it ends, it must not pass for a fault of the sandbox: that would be run again."""
BROKEN = ANY - {Verdict.OK}
"""It must not pass for code that ran to its end."""


@dataclass(frozen=True, slots=True)
class Case:
    """An attack. It does no harm where the sandbox fails: counts, sizes and times are bounded.

    `source` runs in the child as a module of its own, with what `guest/attack.py` gives it: `facts`
    about the host (see `scene`), and `breach`, by which it tells what it reached.
    """

    id: str
    line: str
    """The line of `note.LINES` that it is a case of."""
    source: str
    ends: frozenset[Verdict] = DONE
    """Any of these ends is as it should be."""
    fails_from: Level = Level.CONFINED
    """The lowest level at which it must fail; below, it is not run."""
    limits: Mapping[str, float | int] = field(default_factory=dict[str, float | int])
    """Fields of `Limits` that differ from the suite's."""
    bound_s: float = 3.0
    """By when the run must be over, in seconds on the wall of a machine that is not overloaded."""
    before: str = ""
    """Runs first, on the same slot; how that ends does not matter."""
    beside: str = ""
    """Runs at the same time, on the other slot."""
    stdout: bytes | None = None
    """What must come back of its output, to the byte."""
    bare: bool = True
    """Whether it gets through where nothing is confined, as root: a test tries it, so that no
    attack passes for held because it cannot work at all."""
