"""Every attack of the suite fails at each level that this host has, as root and as another user."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rewardplane.rewards.sandbox.attacks.catalog import CASES
from rewardplane.rewards.sandbox.level import Level

HERE = Path(__file__).parent
UID = 54321
TIMEOUT_S = 110
MISSING = 3
USERS = ["root", str(UID)] if os.geteuid() == 0 else ["self"]

Ends = dict[str, tuple[str, list[str]]]


def suite(level: Level, user: str, *options: str) -> Ends:
    """By case: its verdict and what it got. In a process of its own, which adopts what is left."""
    command = [str(HERE / "suite.py"), level.name, *options]
    if user == str(UID):
        command = [str(HERE / "as_user.py"), user, *command]
    done = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    if done.returncode == MISSING:
        pytest.skip(f"this host does not have {level.name}: {done.stderr}")
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {name: (verdict, got) for name, verdict, got, _wall_s in rows}


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("level", [Level.PROCESS, Level.CONFINED, Level.NAMESPACED])
def test_no_attack_gets_through(level: Level, user: str) -> None:
    ends = suite(level, user)
    assert set(ends) == {case.id for case in CASES if case.fails_from <= level}
    assert {name: end for name, end in ends.items() if end[1]} == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="some attacks need root where nothing confines them")
def test_each_attack_gets_through_where_nothing_confines_it() -> None:
    missed: set[str] = set()
    for turn in range(3):  # on a busy machine a daemon may be ended before it is looked for
        ends = suite(Level.PROCESS, "root", "--bare")
        assert len(ends) > 50
        without = {name for name, (_verdict, got) in ends.items() if not got}
        missed = missed & without if turn else without
        if not missed:
            return
    assert missed == set()
