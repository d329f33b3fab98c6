"""The conformance table, each case a test."""

from __future__ import annotations

import pytest

from .conformance import check
from .rules import CASES, Case
from .world import world


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_rule(case: Case) -> None:
    async with world() as here:
        assert await check(case, here) == ""


def test_rules_have_names_of_their_own() -> None:
    names = [case.name for case in CASES]
    assert sorted(names) == sorted(set(names))
