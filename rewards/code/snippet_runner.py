"""Python source that came with a request or a configuration, and what runs it: always a sandbox.

Nothing in this package runs such source itself. The kinds that hold source make their runners of a
sandbox of their own (`snippets.Snippets`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(slots=True, frozen=True)
class SnippetLimits:
    """What one run of a snippet may take; its contract's documented limits."""

    timeout_s: float
    memory_mb: int
    disk_mb: int
    cpus: int
    max_source_bytes: int


class SnippetRunner(Protocol):
    """Runs the function of one source, each call by itself. Made for one source and its limits.

    Each call takes at most `timeout_s`, or the limit of the runner where that is less, and returns
    a finite float. It raises a `RewardFault`: the default reason RAISED for what the code raised,
    `SandboxFault` for what is the sandbox's own fault, and the sandbox's subclasses for TIMED_OUT,
    OUT_OF_MEMORY, CRASHED and INVALID_RESULT.
    """

    async def call(self, arguments: Sequence[Any], timeout_s: float) -> float:
        """Calls ``evaluate(example, response)`` or ``grade(sample, item)``, whichever it has."""
        ...

    async def close(self) -> None:
        """Ends what runs, and whatever the runner keeps warm."""
        ...


RunnerFactory = Callable[[str, SnippetLimits], SnippetRunner]
