"""Every attack in C++ fails at each level that this host has, as root and as another user."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rewardplane.rewards.sandbox.attacks.compiled import CASES, READING
from rewardplane.rewards.sandbox.level import Level

HERE = Path(__file__).parent
UID = 54321
TIMEOUT_S = 110
MISSING = 3
CONFINING = (Level.CONFINED, Level.NAMESPACED)
USERS = ["root", str(UID)] if os.geteuid() == 0 else ["self"]


def suite(level: Level, user: str, *options: str) -> dict[str, list[str]]:
    """By case: what it got. In a process of its own, which adopts what is left."""
    command = [str(HERE / "compiled_suite.py"), level.name, *options]
    if user == str(UID):
        command = [str(HERE / "as_user.py"), user, *command]
    done = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    if done.returncode == MISSING:
        pytest.skip(f"this host lacks something for {level.name}: {done.stderr}")
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {name: got for name, _verdict, got, _wall_s in rows}


@pytest.mark.parametrize(
    ("level", "user"),
    [(Level.PROCESS, USERS[0]), *((each, u) for each in CONFINING for u in USERS)],
)
def test_no_attack_gets_through(level: Level, user: str) -> None:
    got = suite(level, user)
    due = {case.id for case in CASES if case.fails_from <= level}
    assert set(got) == due | {case.id for case in READING if level > Level.PROCESS}
    assert {name: what for name, what in got.items() if what} == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="some attacks need root where nothing confines them")
def test_each_attack_gets_through_where_nothing_confines_it() -> None:
    got = suite(Level.PROCESS, "root", "--bare")
    assert len(got) > 20
    assert [name for name, what in got.items() if not what] == []
