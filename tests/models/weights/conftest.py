"""What the tests of models need: torch, which a newcomer need not have."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("transformers", reason="torch is not installed: make test-models")
pytest.importorskip("torch", reason="torch is not installed: make test-models")


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
