"""`rewardplane sandbox`: how far this host isolates untrusted code, and whether attacks fail."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from rewardplane.rewards.code import cheats
from rewardplane.rewards.sandbox.attacks.case import Case
from rewardplane.rewards.sandbox.attacks.catalog import CASES, TESTS
from rewardplane.rewards.sandbox.attacks.compiled_runner import CompiledAttacks
from rewardplane.rewards.sandbox.attacks.note import LINES
from rewardplane.rewards.sandbox.attacks.runner import Row, Suite
from rewardplane.rewards.sandbox.level import IsolationUnavailable, Level, Report
from rewardplane.rewards.sandbox.pool import Profile, SandboxPool
from rewardplane.rewards.sandbox.toolchain import CompilerMissing
from rich.console import Console
from rich.markup import escape
from rich.table import Table

LEVELS = (Level.PROCESS, Level.CONFINED, Level.NAMESPACED)
"""Those that a host has of itself; GUEST_KERNEL is one of them in another kernel."""


def probe() -> Report:
    """Starts a sandbox, tries its canaries, ends it."""
    pool = SandboxPool(Profile("probe"), slots=1, demand=Level.PROCESS)
    try:
        return pool.start()
    finally:
        pool.kill()


def controls(report: Report) -> Table:
    """Each control and canary with its level and what was seen of it."""
    table = Table("level", "control or canary", "holds", "seen", title="what was probed")
    rows = [(c.level, c.name, c.held, c.why) for c in report.controls]
    rows += [(c.level, f"canary: {c.name}", c.stopped, c.seen) for c in report.canaries]
    for level, name, holds, seen in sorted(rows, key=lambda row: row[0]):
        table.add_row(level.name, name, "yes" if holds else "[red]no[/red]", escape(seen))
    return table


def next_level(report: Report) -> list[str]:
    """What keeps this host from the level above the one it has, a line each."""
    if report.level is Level.GUEST_KERNEL:
        return []
    above = Level(report.level + 1)
    return [f"for {above.name}:", *(f"- {line}" for line in report.missing(above))]


def attack(highest: Level, console: Console, cases: Sequence[Case] = CASES) -> bool:
    """Runs attacks at each level up to `highest` and prints what came of them; True: all failed.

    An attack is not run below the level at which it must fail.
    """
    by_level: dict[Level, list[Row]] = {}
    for level in LEVELS:
        if level <= highest:
            console.print(f"attacks at {level.name} …")
            due = [case for case in cases if case.fails_from <= level]
            try:
                by_level[level] = asyncio.run(Suite(level).run(due))
            except IsolationUnavailable as error:  # a guest kernel need not have namespaces
                console.print(str(error), markup=False)
    console.print(attacks(by_level))
    held = True
    for level, rows in by_level.items():
        through = [row for row in rows if not row.held]
        console.print(f"{level.name}: {len(rows) - len(through)} of {len(rows)} attacks failed")
        for row in through:
            held = False
            console.print(f"  {row.case.id} got through: {'; '.join(row.got)}", markup=False)
    return held


def attack_compiled(highest: Level, console: Console) -> bool:
    """Runs the attacks in C++ at each level up to `highest`; True: none got through."""
    held = True
    for level in LEVELS:
        if level > highest:
            continue
        try:
            suite = CompiledAttacks(level)
            rows = asyncio.run(suite.run(suite.cases()))
        except CompilerMissing as error:
            console.print(f"attacks in C++ were not run: {error}", markup=False)
            return True
        except IsolationUnavailable as error:
            console.print(str(error), markup=False)
            continue
        through = [row for row in rows if not row.held]
        failed = len(rows) - len(through)
        console.print(f"{level.name}: {failed} of {len(rows)} attacks in C++ failed")
        for row in through:
            held = False
            console.print(f"  {row.id} got through: {'; '.join(row.got)}", markup=False)
    return held


def cheat(highest: Level, console: Console, programs: Sequence[cheats.Cheat]) -> bool:
    """Grades programs that cheat their tests, at each level up to `highest`; True: none got by."""
    held = True
    for level in LEVELS:
        if level > highest:
            continue
        try:
            rows = asyncio.run(cheats.run_cheats(level, programs))
        except IsolationUnavailable as error:
            console.print(str(error), markup=False)
            continue
        through = [row for row in rows if not row.held]
        failed = len(rows) - len(through)
        console.print(f"{level.name}: {failed} of {len(rows)} programs that cheat earned nothing")
        for row in through:
            held = False
            what = row.error or f"reward {row.reward}"
            console.print(f"  {row.id}: {what}, {row.own_cpu_s:.1f} s outside", markup=False)
    return held


def attacks(by_level: dict[Level, list[Row]]) -> Table:
    """The study's lines with their cases, and how each ended at each level."""
    table = Table("line of the study", "case", *(level.name for level in by_level))
    found = {(row.level, row.case.id): row for rows in by_level.values() for row in rows}
    for heading, lines in LINES.items():
        table.add_section()
        table.add_row(f"[b]{escape(heading)}[/b]")
        for line in lines:
            shown = escape(line)
            for case in (case for case in CASES if case.line == line):
                ends = [_end(found.get((level, case.id))) for level in by_level]
                table.add_row(shown, case.id, *ends)
                shown = ""
            for test in TESTS.get(line, ()):
                table.add_row(shown, f"[dim]{escape(test)}[/dim]")
                shown = ""
            if shown:
                table.add_row(shown, "[red]none[/red]")
    return table


def _end(row: Row | None) -> str:
    if row is None:
        return "[dim]not promised[/dim]"
    return (
        f"{row.verdict.value} [green]held[/green]"
        if row.held
        else (f"{row.verdict.value} [red]GOT THROUGH[/red]")
    )
