"""What several folders of tests use."""

from __future__ import annotations

import socket

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Says which tests run in one process, one after another, where several run at a time: those
    of a file, and all that share the Ray cluster."""
    for item in items:
        ray = item.get_closest_marker("ray") is not None or "cluster" in item.path.parts
        item.add_marker(pytest.mark.xdist_group("ray" if ray else str(item.path)))


@pytest.fixture
def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
