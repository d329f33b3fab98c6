"""How far code is isolated, and the report that says why not further."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Level(enum.IntEnum):
    """What holds for every run. Each level includes those below it."""

    PROCESS = 0
    """A forked process with resource limits, killed at its limits. For trusted code only."""
    CONFINED = 1
    """And no_new_privs, system calls by an allow-list, no files but what Python needs, and a uid
    that is not root."""
    NAMESPACED = 2
    """And user, pid, mount, net, ipc and uts namespaces with a private root."""
    GUEST_KERNEL = 3
    """At least CONFINED, inside a sandboxed kernel (gVisor, Kata, Firecracker): declared by the
    operator, and not contradicted by what can be seen."""


@dataclass(frozen=True)
class Control:
    """One thing that a level is made of."""

    name: str
    level: Level
    """The lowest level that needs it."""
    held: bool
    why: str = ""
    """Where it is not held: what failed, and what to change."""


@dataclass(frozen=True)
class Canary:
    """One attack that was tried on a zygote at its start."""

    name: str
    level: Level
    """The lowest level at which it must fail."""
    stopped: bool
    seen: str
    """What the attack met: an errno, or what it got."""


@dataclass(frozen=True)
class Report:
    """The level that holds, with the proof."""

    level: Level
    controls: tuple[Control, ...]
    canaries: tuple[Canary, ...]

    def missing(self, wanted: Level) -> list[str]:
        """A line for each control and canary that keeps this host below a level."""
        lines = [f"{c.name}: {c.why}" for c in self.controls if not c.held and c.level <= wanted]
        lines += [
            f"canary {c.name} got through: {c.seen}"
            for c in self.canaries
            if not c.stopped and c.level <= wanted
        ]
        return lines


class IsolationUnavailable(Exception):
    """This host does not have the level that is demanded; the message lists what is missing."""

    def __init__(self, demand: Level, report: Report) -> None:
        """Takes the level that was wanted, and what there is."""
        self.demand = demand
        self.report = report
        missing = report.missing(demand) or [
            f"the pool was told to go no higher than {report.level.name}"
        ]
        super().__init__(
            f"isolation {demand.name} is demanded, this host has {report.level.name}; missing:\n"
            + "\n".join(f"- {line}" for line in missing)
        )

    def __reduce__(self) -> tuple[type[IsolationUnavailable], tuple[Level, Report]]:
        return type(self), (self.demand, self.report)
