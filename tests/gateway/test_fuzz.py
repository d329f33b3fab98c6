"""The short form of `tests.load.fuzz`: messages that nobody would send are answered."""

from __future__ import annotations

import logging

import pytest
from rewardplane.gateway.doors.door import DoorKind

from ..load.fuzz import run


@pytest.mark.parametrize("door", list(DoorKind))
async def test_no_message_is_a_fault_of_ours(door: DoorKind) -> None:
    logging.getLogger("rewardplane").setLevel(logging.ERROR)
    try:
        well, said = await run(door, 1500, 300, seed=7)
    finally:
        logging.getLogger("rewardplane").setLevel(logging.NOTSET)
    assert well, said
