"""The files of a model, read without an engine: their digest, and what they take of a card."""

from __future__ import annotations

import hashlib
from pathlib import Path

_BLOCK = 2**22


def digest_of(path: str) -> str:
    """16 hex digits of the weights' bytes in a folder; empty where it is none (a hub name)."""
    folder = Path(path)
    files = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin"))
    if not files:
        return ""
    digest = hashlib.blake2b(digest_size=8)
    for file in files:
        with file.open("rb") as reader:
            while block := reader.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()
