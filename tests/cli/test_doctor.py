"""`rewardplane doctor --config`: what the environment lacks for the endpoints of a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from rewardplane.cli.doctor import _config

FILE = """
models:
  judge: {runs: endpoint, base_url: "http://judge:8000/v1", name: n, api_key_env: MODEL_KEY}
rewards:
  helpful: {kind: judge, model: judge, ask: "Is it helpful?"}
"""


@pytest.mark.parametrize("is_set", [True, False])
def test_a_models_key_is_looked_for(
    is_set: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rewards.yaml"
    path.write_text(FILE)
    monkeypatch.delenv("MODEL_KEY", raising=False)
    if is_set:
        monkeypatch.setenv("MODEL_KEY", "secret")
    missing = [(f.what, f.seen) for f in _config(path) if f.is_missing]
    assert missing == ([] if is_set else [("models.judge", "MODEL_KEY is not set")])
