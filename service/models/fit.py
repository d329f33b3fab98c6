"""What a model takes of its card, from the heads of its files: no engine is started for it."""

from __future__ import annotations

import json
import math
import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from rewardplane.config.models import ModelConfig

GIB = 2**30
ROOM_BYTES = 2 * GIB
"""For the CUDA context, activations and what fragments."""
_WIDTHS = {"float32": 4, "bfloat16": 2, "float16": 2}
_MAX_HEAD_BYTES = 2**27


@dataclass(slots=True, frozen=True)
class Fit:
    """What one replica of a model needs, and what is there; in bytes, None where it is not known.

    `cache_bytes` is for one conversation of `max_tokens`: less leaves no room for any.
    """

    parameters: int
    weight_bytes: int
    cache_bytes: int
    room_bytes: int
    available_bytes: int | None
    where: str

    @property
    def needed_bytes(self) -> int:
        """All together."""
        return self.weight_bytes + self.cache_bytes + self.room_bytes

    @property
    def fits(self) -> bool:
        """Whether there is enough, as far as it is known."""
        return self.available_bytes is None or self.needed_bytes <= self.available_bytes

    def __str__(self) -> str:
        parts = (
            f"{self.parameters / 1e9:.3g} B parameters: weights {_gib(self.weight_bytes)} + cache "
            f"{_gib(self.cache_bytes)} + room {_gib(self.room_bytes)} = {_gib(self.needed_bytes)}"
        )
        if self.available_bytes is None:
            return f"{parts}; {self.where} is not known here"
        verdict = "fits into" if self.fits else "does not fit into"
        return f"{parts}; {verdict} {_gib(self.available_bytes)} of {self.where}"


class UnknownWeights(ValueError):
    """The files do not say what they hold; the message says which."""


def fit_of(config: ModelConfig, card_bytes: int | None = None) -> Fit | None:
    """What a model needs of its place; None for an endpoint, your own engine, or a hub name.

    `card_bytes`: of a GPU. None: of this machine's, if it has one.

    Raises:
        UnknownWeights: there are no safetensors files, or one cannot be read.
    """
    settings = config.settings
    folder = Path(settings.path)
    if settings.runs not in ("hf", "vllm") or not folder.is_dir():
        return None
    document = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    text: dict[str, Any] = document.get("text_config") or document
    on_card = settings.gpus > 0
    dtype = settings.dtype
    if dtype == "auto":
        dtype = "bfloat16" if on_card else "float32"
    parameters = sum(_parameters(file) for file in _weights(folder))
    weight_bytes = parameters * _WIDTHS[dtype]
    if {"quantization_config", "quantization"} & {*document, *settings.engine}:
        weight_bytes = sum(file.stat().st_size for file in _weights(folder))
    longest = settings.max_tokens or int(text.get("max_position_embeddings") or 4096)
    keeps = settings.runs == "vllm" or settings.head == "chat"
    cache_bytes = _cache_bytes_per_token(text, _WIDTHS[dtype]) * longest if keeps else 0
    room = ROOM_BYTES if on_card else 0
    if not on_card:
        return Fit(parameters, weight_bytes, cache_bytes, room, _memory(), "this machine's memory")
    card = card_of_this_machine() if card_bytes is None else card_bytes
    available = None if card is None else int(card * max(1.0, settings.gpus))
    where = "a GPU" if settings.gpus <= 1 else f"{settings.gpus:g} GPUs"
    if settings.memory_gb is not None:
        own = int(settings.memory_gb * GIB)
        available = own if available is None else min(own, available)
        where = "`memory_gb`"
    return Fit(parameters, weight_bytes, cache_bytes, room, available, where)


def card_of_this_machine() -> int | None:
    """The memory of the smallest GPU here, in bytes; None: there is none."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return None
    asked = [command, "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True)  # noqa: S603 - a fixed command
        return min(int(line) for line in told.stdout.split()) * 2**20
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def _weights(folder: Path) -> list[Path]:
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise UnknownWeights(f"{folder} holds no *.safetensors")
    return files


def _parameters(file: Path) -> int:
    """The numbers in a file, by its head: 8 bytes of length, then JSON."""
    try:
        with file.open("rb") as reader:
            (size,) = struct.unpack("<Q", reader.read(8))
            # A head that is longer is none: the file ends before it is read.
            head = cast("dict[str, Any]", json.loads(reader.read(min(size, _MAX_HEAD_BYTES))))
        return sum(math.prod(v["shape"]) for k, v in head.items() if k != "__metadata__")
    except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
        raise UnknownWeights(f"{file} cannot be read: {error}") from None


def _cache_bytes_per_token(text: dict[str, Any], width: int) -> int:
    """Keys and values of all layers, of one token."""
    layers, hidden = int(text.get("num_hidden_layers", 0)), int(text.get("hidden_size", 0))
    heads = int(text.get("num_attention_heads", 1))
    kv_heads = int(text.get("num_key_value_heads") or heads)
    size = int(text.get("head_dim") or hidden // max(1, heads))
    return 2 * layers * kv_heads * size * width


def _memory() -> int | None:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return None


def _gib(size: int) -> str:
    return f"{size / GIB:.3g} GiB"
