"""What several folders of tests use."""

from __future__ import annotations

import socket
from typing import Any

import pytest

RAY = "tests/cluster/"
OWN_RAY = ("test_joined.py", "test_serve_command.py")
"""Files of `tests/cluster` that start a cluster of their own and use no other."""
LONG = (RAY, "tests/rewards/sandbox/test_attacks.py", "tests/cluster/test_joined.py")
"""The units that take longest, in the order in which they are begun, before all others."""


def unit_of(nodeid: str) -> str:
    """What runs in one process, one test after another: a file, or all that share the cluster."""
    file = nodeid.partition("::")[0]
    return RAY if file.startswith(RAY) and not file.endswith(OWN_RAY) else file


@pytest.hookimpl(optionalhook=True)  # the environment of the trainers has no pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Units as `unit_of` has them, in the order of the tests.

    Its own `loadgroup` does nothing on pytest 9.2, which has no `_nodeid` to put a group into.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Units(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return unit_of(nodeid)

    config.option.loadscopereorder = False  # which would begin with what has most tests
    return Units(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first."""
    places = {unit: place for place, unit in enumerate(LONG)}
    items.sort(key=lambda item: places.get(unit_of(item.nodeid), len(LONG)))


@pytest.fixture
def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
