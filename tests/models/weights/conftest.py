"""Tiny models for the tests that need torch."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Before torch comes: threads that wait must sleep, or a busy machine takes ten times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")


@pytest.fixture(scope="session")
def scalar_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny reward model."""
    from .tiny import make

    return make(tmp_path_factory.mktemp("scalar"), "scalar")


@pytest.fixture(scope="session")
def chat_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny causal model."""
    from .tiny import make

    return make(tmp_path_factory.mktemp("chat"), "chat")
