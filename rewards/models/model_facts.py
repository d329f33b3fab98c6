"""What a model is: told with the rewards that it gave. Standard library only: clients import it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, frozen=True)
class ModelFacts:
    """What a model is, as far as it is known; what is not is "". Told once with each answer."""

    source: str
    """The path, the name on the hub, or the address and name at an endpoint."""
    revision: str = ""
    """The pinned revision."""
    weights_digest: str = ""
    """16 hex digits of the weights."""
    engine: str = ""
    """`hf`, `vllm`, or the wire of an endpoint."""
    engine_version: str = ""
    """Of the library, or as the endpoint tells it."""
    dtype: str = ""
    """Of the weights in the engine: `float32`, `bfloat16` …."""
    template_digest: str = ""
    """16 hex digits of the chat template."""
    read: str = ""
    """How labels are read (`Read`); "" for a scalar head in an engine."""
    tells_label_mass: bool = False
    """Whether each `LabelReading` has a label mass."""
    fingerprint: str = ""
    """What an endpoint says that it serves: its `model` and `system_fingerprint`."""
