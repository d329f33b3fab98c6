"""What several folders of tests use."""

from __future__ import annotations

import socket

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Says what runs in one process, one after another: a file, and all that share the cluster.

    Nothing where tests do not run side by side, as in the environment of the trainers.
    """
    for item in items if config.pluginmanager.hasplugin("xdist") else ():
        ray = item.get_closest_marker("ray") is not None or "cluster" in item.path.parts
        item.add_marker(pytest.mark.xdist_group("ray" if ray else str(item.path)))


@pytest.fixture
def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
