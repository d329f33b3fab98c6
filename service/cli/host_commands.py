"""The commands on this host: what it has, and how far it isolates untrusted code."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import (
    OUT,
    Json,
    app,
    print_json,
    table_of,
)


@app.command()
def sandbox(
    attack: Annotated[bool, typer.Option("--attack", help="Run the attack suite as well.")] = False,
) -> None:
    """Say how far this host isolates untrusted code; exits with 1 when an attack gets through."""
    from rewardplane.rewards.code.cheats import CHEATS

    from . import sandbox_report

    report = sandbox_report.probe()
    OUT.print(sandbox_report.controls(report))
    OUT.print(f"level: [b]{report.level.name}[/b]")
    for line in sandbox_report.next_level(report):
        OUT.print(line, markup=False)
    if attack:
        held = sandbox_report.attack(report.level, OUT)
        held = sandbox_report.attack_compiled(report.level, OUT) and held
        if not sandbox_report.cheat(report.level, OUT, CHEATS) or not held:
            raise typer.Exit(1)


@app.command()
def doctor(
    config: Annotated[
        Path | None, typer.Option(help="A file of rewards, to look at what it needs as well.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what this host has and lacks; exits with 1 when something that is needed is missing."""
    from .doctor import findings

    found = findings(config)
    if as_json:
        print_json([finding.as_dict() for finding in found])
    else:
        table = table_of("", "what", "found", "to do")
        for finding in found:
            table.add_row(finding.mark, finding.what, finding.seen, finding.advice)
        OUT.print(table)
    if any(finding.is_missing for finding in found):
        raise typer.Exit(1)
