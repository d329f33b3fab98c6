"""How a run ended."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Verdict(enum.Enum):
    """All but the last are the doing of the code that ran; none is a judgement of its answer."""

    OK = "ok"
    """It ended by itself, with exit code 0: not that its answer is whole, or its own."""
    RUNTIME_ERROR = "runtime_error"
    """It ended by itself, with another exit code."""
    CPU_LIMIT = "cpu_limit"
    WALL_LIMIT = "wall_limit"
    MEMORY_LIMIT = "memory_limit"
    OUTPUT_LIMIT = "output_limit"
    """It wrote too much to stdout, stderr, or as its answer."""
    KILLED = "killed"
    """A signal of its own making ended it: a segmentation fault, an abort."""
    HOST_KILLED = "host_killed"
    """The host ended a session, for want of memory most likely. A run that ends so is run again;
    the second time it is MEMORY_LIMIT."""
    SANDBOX_ERROR = "sandbox_error"
    """A fault of the sandbox, on every slot it was tried on: an error, never a score."""


@dataclass
class Run:
    """What is left of a run."""

    verdict: Verdict
    answer: bytes
    """What was written as the answer, by the guest or by what runs in its process; bounded by
    `Limits.result_bytes`, and there however the run ended."""
    stdout: bytes
    stderr: bytes
    """Bounded by `Limits.output_bytes`; any bytes."""
    detail: str
    """One line for people."""
    cpu_us: int
    """CPU time of the child, its confinement included."""
    wall_us: int
    """From the message to the zygote to its report."""
    exit_code: int = 0
    """Below 0: the signal that ended it."""


class SessionEnded(Exception):
    """A session is over; what it was asked has no answer."""

    def __init__(self, verdict: Verdict, detail: str) -> None:
        """Takes how it ended. SANDBOX_ERROR: no fault of the code."""
        super().__init__(verdict, detail)
        self.verdict = verdict
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.verdict.value}: {self.detail}"
