"""What a model takes of its card, from the heads of files alone."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from rewardplane.config.load import ConfigError, parse
from rewardplane.config.models import ModelConfig
from rewardplane.models.fit import GIB, UnknownWeights, fit_of

CONFIG = {
    "num_hidden_layers": 32,
    "hidden_size": 4096,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 8192,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Heads of 8 billion parameters in two files, without the bytes."""
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    for name in ("a", "b"):
        tensor = {"dtype": "BF16", "shape": [4000, 1000, 1000], "data_offsets": [0, 0]}
        head = json.dumps({"__metadata__": {"format": "pt"}, "w": tensor}).encode()
        (tmp_path / f"{name}.safetensors").write_bytes(struct.pack("<Q", len(head)) + head)
    return tmp_path


def model(folder: Path, **more: Any) -> ModelConfig:
    given = {"runs": "vllm", "head": "chat", "path": str(folder), "gpus": 1, **more}
    document = {"models": {"m": given}, "rewards": {"r": {"kind": "exact"}}}
    return parse(document, Path("/")).models["m"]


def test_weights_cache_and_room_are_added_up(folder: Path) -> None:
    fit = fit_of(model(folder), card_bytes=80 * GIB)
    assert fit is not None
    assert fit.parameters == 8_000_000_000
    assert fit.weight_bytes == 16_000_000_000
    assert fit.cache_bytes == 2 * 32 * 8 * 128 * 2 * 8192
    assert fit.fits
    assert "fits into 80 GiB of a GPU" in str(fit)


@pytest.mark.parametrize(
    ("more", "card_gib", "fits"),
    [
        ({}, 16, False),
        ({"gpus": 2}, 16, True),
        ({"dtype": "float32"}, 24, False),
        ({"gpus": 0.5, "memory_gb": 10}, 80, False),
        ({"gpus": 0.5, "memory_gb": 40}, 80, True),
        ({"max_tokens": 1024}, 18, True),
        ({"runs": "hf", "head": "scalar"}, 17, True),
    ],
)
def test_what_does_not_fit_is_seen(
    folder: Path, more: dict[str, Any], card_gib: int, fits: bool
) -> None:
    fit = fit_of(model(folder, **more), card_bytes=card_gib * GIB)
    assert fit is not None
    assert fit.fits is fits


def test_files_that_say_nothing_are_told(folder: Path) -> None:
    (folder / "a.safetensors").write_bytes(b"\xff" * 9)
    with pytest.raises(UnknownWeights, match="cannot be read"):
        fit_of(model(folder))
    for file in folder.glob("*.safetensors"):
        file.unlink()
    with pytest.raises(UnknownWeights, match="holds no"):
        fit_of(model(folder))


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ({"runs": "hf", "head": "scalar"}, "wants `path`"),
        ({"runs": "hf", "head": "scalar", "path": "org/name"}, "revision: org/name is a name"),
        (
            {"runs": "hf", "head": "scalar", "path": "org/name", "revision": "main"},
            "say which commit (40 hex digits)",
        ),
        ({"runs": "hf", "head": "scalar", "path": "./nowhere"}, "there is no folder"),
        ({"runs": "hf", "head": "loud", "path": "."}, "head: want 'scalar' or 'chat'"),
        ({"runs": "hf", "head": "chat", "path": ".", "gpus": 0.5}, "memory_gb: say"),
        ({"runs": "vllm", "head": "chat", "path": ".", "gpus": 1.5}, "gpus: want a whole"),
        ({"runs": "hf", "head": "chat", "path": ".", "wire": "chat"}, "wire: unknown"),
        ({"runs": "endpoint", "path": "/x", "base_url": "http://h/v1", "name": "n"}, "path: not"),
        ({"runs": "endpoint", "name": "n"}, "base_url: Field required"),
        (
            {"runs": "hf", "head": "chat", "path": ".", "gpu": 1},
            "gpu: unknown; did you mean 'gpus'",
        ),
        ({"runs": "endpoint", "name": "n", "base_uri": "x"}, "did you mean 'base_url'"),
        (
            {"runs": "endpoint", "base_url": "http://h/v1", "name": "n", "replicas": 2},
            "one door",
        ),
        (
            {"runs": "endpoint", "base_url": "http://h/v1", "name": "n", "head": "scalar"},
            "wire 'chat' has the head 'chat'",
        ),
        ({"runs": "hf", "head": "scalar", "path": ".", "golden": "no.jsonl"}, "golden: there is"),
        ("hf", "want a mapping"),
    ],
)
def test_a_model_that_cannot_be_served_is_refused(entry: Any, fault: str, tmp_path: Path) -> None:
    document = {"models": {"m": entry}, "rewards": {"r": {"kind": "exact"}}}
    with pytest.raises(ConfigError, match=r"models\.m") as caught:
        parse(document, tmp_path)
    assert fault in str(caught.value)


@pytest.mark.parametrize(
    ("reward", "fault"),
    [
        ({"model": "judg"}, "there is no model 'judg' under `models:`; did you mean 'judge'"),
        ({"model": "judge"}, "has head 'chat'; kind 'reward_model' wants 'scalar'"),
        ({"model": "s", "lane": "pool"}, "lane: it runs beside its model"),
        ({"model": "s", "replicas": 2}, "replicas: it runs on those of its model"),
    ],
)
def test_a_reward_that_cannot_have_its_model_is_refused(
    reward: dict[str, Any], fault: str, folder: Path
) -> None:
    weights = {"runs": "hf", "path": str(folder)}
    models = {"judge": {**weights, "head": "chat"}, "s": {**weights, "head": "scalar"}}
    document = {"models": models, "rewards": {"r": {"kind": "reward_model", **reward}}}
    with pytest.raises(ConfigError, match=r"rewards\.r") as caught:
        parse(document, Path("/"))
    assert fault in str(caught.value)


def test_what_decides_answers_is_in_the_digest(folder: Path) -> None:
    digests = {
        model(folder).digest,
        model(folder, dtype="float32").digest,
        model(folder, engine={"max_num_seqs": 4}).digest,
        model(folder, max_tokens=100).digest,
    }
    assert len(digests) == 4
    assert model(folder, replicas=3).digest == model(folder).digest
    assert model(folder, replicas=3).fingerprint != model(folder).fingerprint
    before = model(folder).digest
    (folder / "tokenizer.json").write_text("{}")
    assert model(folder).digest != before
