"""`rewardplane doctor --config`: what the environment lacks for the endpoints of a file."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from rewardplane.cli.doctor import _config
from rewardplane.rewards.sandbox import toolchain

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


def test_a_compiler_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rewards.yaml"
    path.write_text("rewards: {tests: {kind: code_tests, language: cpp}}")
    toolchain.find.cache_clear()
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    try:
        seen = [f.seen for f in _config(path) if f.what == "rewards.tests"]
    finally:
        toolchain.find.cache_clear()
    assert seen[0].startswith("language cpp: there is no g++ on this host; install g++")
