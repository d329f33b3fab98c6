"""What confined code may read, and where it may write."""

from __future__ import annotations

import pytest
from rewardplane.rewards.sandbox.places import Places


@pytest.mark.parametrize(
    ("files", "scratch"),
    [
        (("/usr/lib", "/opt/python"), "/tmp"),  # noqa: S108 - as above
        (("/tmpfs/python", "/usr/lib"), "/tmp"),  # noqa: S108 - as above
        (("/tmp/ci/.venv/lib", "/usr/lib"), "/var/tmp"),  # noqa: S108 - as above
        (("/tmp/a", "/var/tmp/b"), "/scratch"),  # noqa: S108 - as above
    ],
)
def test_the_scratch_hides_nothing_that_python_needs(files: tuple[str, ...], scratch: str) -> None:
    """A virtual environment may lie below /tmp: what is imported late must be found there."""
    assert Places(files, (), (), ()).scratch == scratch
    assert Places(("/usr/lib",), files, (), ()).scratch == scratch
