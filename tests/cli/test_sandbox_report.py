"""`rewardplane sandbox`: what it prints of this host, and of an attack that gets through."""

from __future__ import annotations

import io
import os
import subprocess
import sys

from rewardplane.cli import sandbox_report
from rewardplane.rewards.code.cheats import Cheat
from rewardplane.rewards.sandbox.attacks.case import Case
from rewardplane.rewards.sandbox.attacks.catalog import CASES
from rewardplane.rewards.sandbox.attacks.runner import Row
from rewardplane.rewards.sandbox.level import Canary, Control, Level, Report
from rewardplane.rewards.sandbox.verdict import Verdict
from rich.console import Console

from ..rewards.sandbox.test_catalog import case_ids


def printed(*things: object) -> str:
    console = Console(file=io.StringIO(), width=400)
    for thing in things:
        console.print(thing)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_the_command_says_the_level_and_what_the_next_one_wants() -> None:
    command = [sys.executable, "-m", "rewardplane.cli", "sandbox"]
    env = os.environ | {"COLUMNS": "200"}
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=60, check=True)
    (level,) = [line for line in done.stdout.splitlines() if line.startswith("level: ")]
    assert level.removeprefix("level: ") in Level.__members__
    assert "seccomp" in done.stdout


def test_what_is_missing_is_told_with_the_canaries_that_got_through() -> None:
    report = Report(
        Level.PROCESS,
        (Control("seccomp", Level.CONFINED, held=False, why="ENOSYS: build the kernel with it"),),
        (Canary("socket", Level.CONFINED, stopped=False, seen="a socket [of its own]"),),
    )
    said = printed(sandbox_report.controls(report), *sandbox_report.next_level(report))
    assert "for CONFINED:" in said
    assert said.count("ENOSYS: build the kernel with it") == 2
    assert "a socket [of its own]" in said


def test_an_attack_that_gets_through_is_told_and_ends_with_1() -> None:
    line = "while True"
    through = Case("through", line, "breach('the door was open')", fails_from=Level.PROCESS)
    held = Case("held", line, "pass", fails_from=Level.PROCESS)
    console = Console(file=io.StringIO(), width=200)
    assert sandbox_report.attack(Level.PROCESS, console, [held])
    assert not sandbox_report.attack(Level.PROCESS, console, [held, through])
    assert "through got through: the door was open" in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_program_that_cheats_and_earns_is_told_and_ends_with_1() -> None:
    tests = {"inputs": ["3\n"], "outputs": ["9\n"]}
    wrong, right = Cheat("wrong", tests, "print(7)"), Cheat("earns", tests, "print(9)")
    console = Console(file=io.StringIO(), width=200)
    assert sandbox_report.cheat(Level.PROCESS, console, [wrong])
    assert not sandbox_report.cheat(Level.PROCESS, console, [wrong, right])
    assert "earns: reward 1.0" in console.file.getvalue()  # type: ignore[attr-defined]


def test_the_table_has_every_line_and_case_of_the_study() -> None:
    rows = [Row(case, Level.CONFINED, Verdict.OK, (), 0.1) for case in CASES]
    said = printed(sandbox_report.attacks({Level.CONFINED: rows}))
    for line, ids in case_ids().items():
        assert line in said
        assert all(each in said for each in ids)
