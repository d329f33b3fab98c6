"""As `test_supervisor_async`, where a gateway of the node sends items to the workers itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ..support import rig
from .test_supervisor_async import *  # noqa: F403 - the same tests
from .test_supervisor_async import _group, _pool, pytestmark  # noqa: F401


@pytest.fixture(scope="module", autouse=True)
def linked() -> Iterator[None]:
    """All replicas of this module are used by links."""
    rig.LINKED = True
    yield
    rig.LINKED = False
