"""The modules of trainers, where the environment has them."""

from __future__ import annotations

import importlib
import importlib.metadata
from typing import Any

import pytest


def module(distribution: str, name: str) -> Any:
    """A module of a distribution. Where that is absent the test is skipped.

    Where it is there and cannot be imported, requirements.txt lacks what it needs, and the test
    fails.
    """
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"`make test-trainers` installs {distribution}", allow_module_level=True)
    return importlib.import_module(name)
