"""No program that cheats its tests earns a reward, at any level that this host has."""

from __future__ import annotations

import json

import pytest
from rewardplane.rewards.code.cheats import CHEATS, Cheat, run_cheats
from rewardplane.rewards.sandbox.level import IsolationUnavailable, Level

HONEST = (
    Cheat("stdin", {"inputs": ["3\n"], "outputs": ["9\n"]}, "print(int(input()) ** 2)"),
    Cheat(
        "names",
        ["assert isclose(f(3), 9)"],
        "def f(x): return x * x",
        {"prompt": "from math import isclose\n\ndef f(x):\n    '''The square of x.'''\n"},
    ),
    *(
        Cheat(cheat.id, cheat.tests, "def f(x): return x * x", cheat.references)
        for cheat in CHEATS
        if cheat.id.startswith("name-") and cheat.id != "name-builtin-beside"
    ),
    Cheat(
        "catch",
        next(c.tests for c in CHEATS if c.id == "catch-object"),
        "def f(x): return x * x",
        {"entry_point": "f"},
    ),
)


@pytest.mark.parametrize("level", [Level.PROCESS, Level.CONFINED, Level.NAMESPACED])
async def test_no_cheat_earns_a_reward_or_an_error(level: Level) -> None:
    assert len(CHEATS) >= 30
    assert len({cheat.id for cheat in CHEATS}) == len(CHEATS)
    try:
        rows = await run_cheats(level)
    except IsolationUnavailable as error:
        pytest.skip(str(error))
    assert {row.id: (row.reward, row.error) for row in rows if row.reward != 0.0} == {}
    assert {row.id: row.own_cpu_s for row in rows if not row.held} == {}


async def test_the_same_tests_reward_who_passes_them() -> None:
    rows = await run_cheats(Level.PROCESS, HONEST)
    assert {row.id: (row.reward, row.error) for row in rows if row.reward != 1.0} == {}
    json.dumps([row.id for row in rows])
