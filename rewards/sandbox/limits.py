"""What one run may use."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Limits:
    """The bounds of one run or, for a session, of one question. Above any of them it is ended."""

    cpu_s: float = 5.0
    """CPU time of all its threads. Decides; wall time is the safety net."""
    wall_s: float = 10.0
    """Time since it was given to a zygote, but for what it waited for a CPU."""
    starved_s: float = 300.0
    """The same with those waits: above it the sandbox has failed, and not the code."""
    memory_mb: int = 512
    """Heap, private maps and thread stacks, beyond what the zygote holds already."""
    output_bytes: int = 65_536
    """Each of stdout and stderr."""
    result_bytes: int = 1 << 20
    """The answer."""
    file_bytes: int = 1 << 20
    """Each file that it writes; the largest of this, `output_bytes` and `result_bytes` counts."""
    open_files: int = 64
    threads: int = 32
    """Exact where its uid is its own: from NAMESPACED on, or as root. Elsewhere some 256 more."""

    def within(self, most: Limits) -> Limits:
        """These limits, each at most that of `most`."""
        names = [f.name for f in fields(self)]
        return Limits(**{n: min(getattr(self, n), getattr(most, n)) for n in names})
