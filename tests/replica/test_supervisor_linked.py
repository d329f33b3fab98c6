"""As `test_supervisor`, where a gateway of the node sends items to the workers itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from rewardplane.gateway.lane import ReplicaLost

from ..support import rig
from ..support.rig import groups_of, poison, pool_of, run
from .test_supervisor import *  # noqa: F403 - the same tests
from .test_supervisor import children, pytestmark  # noqa: F401


@pytest.fixture(scope="module", autouse=True)
def linked() -> Iterator[None]:
    """All replicas of this module are used by links."""
    rig.LINKED = True
    yield
    rig.LINKED = False


async def test_stopping_amid_work_answers_all() -> None:
    """A replica that stops lets its gateways finish for a while; then what is left is lost."""
    others = {p.pid for p in children()}
    async with pool_of(poison()) as pool:
        await pool.check_health()
        running = asyncio.create_task(run(pool, groups_of(["1", "hang", "2"])))
        await asyncio.sleep(0.4)
        await pool.stop()
        with pytest.raises(ReplicaLost):
            await running
    assert {p.pid for p in children()} == others
