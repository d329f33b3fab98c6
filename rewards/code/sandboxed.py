"""What rewards that run untrusted code have in common: a sandbox of their own, at a proven level.

The sandbox belongs to the worker process that scores: `setup` starts it, and it ends with the
process.
"""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PrivateAttr

from ..reward import Reward
from ..sandbox.compiling import SCRATCH_MB
from ..sandbox.level import Level
from ..sandbox.memory import fitting_slots
from ..sandbox.pool import SandboxPool
from ..sandbox.profile import Profile, Tool

_log = logging.getLogger(__name__)

_LOST_EXIT = 71
"""EX_OSERR of sysexits.h."""

IsolationName = Literal["process", "confined", "namespaced", "guest_kernel"]

_FIGURES = {
    "run_us": ("sandbox_run_seconds", 1e-6),
    "wait_us": ("sandbox_wait_seconds", 1e-6),
    "sessions": ("sandbox_sessions", 1.0),
    "faults": ("sandbox_faults", 1.0),
}
_LABELLED = {"runs": "sandbox_runs", "restarts": "sandbox_slot_restarts"}


class Sandboxed(Reward):
    """A reward that runs untrusted code. A kind says which guests, and what their limits are."""

    guests: ClassVar[tuple[str, ...]] = ()
    """The modules of `sandbox.guest` that it runs."""

    slots: Annotated[int, Field(ge=1, le=256)] = 1
    """Items executed at once in a replica; give the replica as many CPUs."""
    isolation_level: Annotated[IsolationName, Field(alias="isolation")] = "namespaced"
    """What the code must be kept apart by, at least: see docs/sandbox.md. A host that has less does
    not serve the reward, and says what it lacks."""
    modules: tuple[str, ...] = ()
    """Imported before any code runs, so that no item pays for it."""

    _pool: SandboxPool | None = PrivateAttr(default=None)

    @property
    def runs_code(self) -> bool:
        """Whether it does, as it is configured."""
        return True

    @property
    def is_async(self) -> bool:
        """Items wait for processes."""
        return True

    @property
    def isolation(self) -> str:
        """What is configured."""
        return self.isolation_level if self.runs_code else ""

    @property
    def isolation_held(self) -> int:
        """What the sandbox was found to hold."""
        return 0 if self._pool is None else 1 + self._pool.report.level

    @property
    def defaults(self) -> Mapping[str, Any]:
        """As many items at once as there are slots: each has one from its start."""
        return {"concurrency": self.slots} if self.runs_code else {}

    @property
    def decided_by(self) -> Mapping[str, str]:
        """The Python that runs the code."""
        return {"python": platform.python_version()} if self.runs_code else {}

    @property
    def pool(self) -> SandboxPool:
        """The sandbox, between `setup` and `kill`."""
        if self._pool is None:
            raise RuntimeError("the reward was not set up")
        return self._pool

    @property
    def run_memory_mb(self) -> int:
        """The memory that one run is promised; 0: it depends."""
        return 0

    def tools(self) -> tuple[Tool, ...]:
        """The programs of this host that runs become."""
        return ()

    def setup(self) -> None:
        """Starts the sandbox and attacks it. Blocks for some tenths of a second.

        Where there is not the memory for all slots, it has as many as there is memory for, and says
        so in the log: else the host would kill what keeps within its limits.

        Raises:
            IsolationUnavailable: the host does not hold the level; with what it lacks.
            SeedFailed: one of the modules cannot be imported.
            MemoryError: there is not the memory for one run.
        """
        if not self.runs_code:
            return
        slots, why = fitting_slots(self.slots, self.run_memory_mb)
        if not slots:
            raise MemoryError(f"kind {self.kind}: {why}; lower memory_mb, or give it more")
        if why:
            _log.warning("kind %s: %s; it starts %d slots", self.kind, why, slots)
        tools = self.tools()
        scratch_mb = SCRATCH_MB if tools else Profile.scratch_mb
        profile = Profile(self.kind, self.modules, self.guests, tools, scratch_mb)
        demand = Level[self.isolation_level.upper()]
        pool = SandboxPool(profile, slots=slots, demand=demand, on_lost=_end_worker)
        pool.start()
        self._pool = pool

    def take_figures(self) -> Mapping[str, float]:
        """The sandbox's."""
        if self._pool is None:
            return {}
        figures: dict[str, float] = {}
        for name, value in self._pool.take_figures().items():
            metric, _, label = name.partition("_")
            if name in _FIGURES:
                known, scale = _FIGURES[name]
                figures[known] = value * scale
            elif metric in _LABELLED:
                figures[f"{_LABELLED[metric]}.{label}"] = value
        return figures

    def kill(self) -> None:
        """Ends the sandbox at once."""
        if self._pool is not None:
            self._pool.kill()
            self._pool = None


def _end_worker() -> None:
    """Ends this process: it can run no code any more, and its supervisor starts another."""
    os._exit(_LOST_EXIT)
