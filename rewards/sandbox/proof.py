"""Finds the highest level that this host has: what a zygote says it holds, and what attacks say."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial

from .canaries import attack
from .level import Canary, Control, Level, Report
from .probe import controls_of
from .slot import Slot

LEVELS = (Level.NAMESPACED, Level.CONFINED, Level.PROCESS)
"""Those that a zygote can be asked for, from the highest."""


@dataclass(frozen=True)
class Proof:
    """The level, with a zygote that has it; None: none has any."""

    report: Report
    slot: Slot | None


async def prove(
    levels: Iterable[Level], begin: Callable[[Level], Awaitable[Slot]], canary: int
) -> Proof:
    """Tries levels, the highest first. `canary`: the index of that guest.

    The report also has what kept the host below a level that was tried.
    """
    lacking: dict[str, Control] = {}
    through: list[Canary] = []
    for level in levels:
        slot = await begin(level)
        controls = controls_of(level, slot.controls, slot.failure)
        canaries: tuple[Canary, ...] = ()
        if all(c.held for c in controls):
            canaries = await attack(partial(slot.run, canary), level)
            if all(c.stopped for c in canaries):
                found = {c.name: c for c in controls} | lacking
                report = Report(level, tuple(found.values()), (*canaries, *through))
                return Proof(report, slot)
        # Whatever it is at a lower level, here it keeps the host from this one.
        lacking = {c.name: c for c in controls if not c.held} | lacking
        through += [replace(c, level=level) for c in canaries if not c.stopped]
        slot.fail("its level does not hold")
    return Proof(Report(Level.PROCESS, tuple(lacking.values()), tuple(through)), None)


def with_guest_kernel(report: Report, kernel: Control, at_most: Level) -> Report:
    """The report with what is known of the kernel, which raises it from CONFINED on."""
    reached = report.level
    if kernel.held and reached >= Level.CONFINED and at_most >= Level.GUEST_KERNEL:
        reached = Level.GUEST_KERNEL
    return Report(reached, (*report.controls, kernel), report.canaries)
