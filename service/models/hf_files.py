"""What the files of a model on transformers say before its weights are loaded."""
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rewardplane.config.models import ModelConfig

from .engine import EngineFailed
from .media import MediaProcessor

_log = logging.getLogger(__name__)

MAX_BATCH = 512


@dataclass(slots=True, frozen=True)
class HfArgs:
    """The `engine:` of a model that `hf` runs; what is not known goes to `from_pretrained`."""

    batch_tokens: int | None = None
    """Tokens of a forward pass, padding included. None: 2,048 on a CPU, 16,384 on a GPU."""
    max_batch: int = MAX_BATCH
    """Sequences of a forward pass."""
    label: int | None = None
    """The output of a scalar head with several."""
    template: Mapping[str, Any] | None = None
    """Variables of the chat template, such as `enable_thinking: false`."""


def split_args(engine: Mapping[str, Any]) -> tuple[HfArgs, dict[str, Any]]:
    """Our arguments, and those of `from_pretrained`."""
    names = HfArgs.__dataclass_fields__
    ours = {k: v for k, v in engine.items() if k in names}
    return HfArgs(**ours), {k: v for k, v in engine.items() if k not in names}


def load_tokenizer(config: ModelConfig) -> Any:
    """The tokenizer of a model, as its files say."""
    from transformers import AutoTokenizer

    settings = config.settings
    return AutoTokenizer.from_pretrained(settings.path, revision=settings.revision or None)


def max_tokens_of(config: ModelConfig, tokenizer: Any) -> int:
    """The longest conversation: as configured, else as the weights say."""
    from transformers import AutoConfig

    settings = config.settings
    weights = AutoConfig.from_pretrained(settings.path, revision=settings.revision or None)
    text = weights.get_text_config()
    longest = getattr(text, "max_position_embeddings", None) or 2**20
    if settings.max_tokens is not None and settings.max_tokens > longest:
        raise EngineFailed(f"max_tokens: the weights take {longest} tokens at most")
    return settings.max_tokens or min(longest, int(tokenizer.model_max_length))


def load_processor(config: ModelConfig) -> MediaProcessor | None:
    """What makes images and sounds ready for a model that takes them; None: it takes text alone."""
    from transformers import AutoConfig, AutoProcessor

    settings = config.settings
    weights = AutoConfig.from_pretrained(settings.path, revision=settings.revision or None)
    if not has_more_than_text(weights):
        return None
    try:
        made = AutoProcessor.from_pretrained(settings.path, revision=settings.revision or None)
        return MediaProcessor(made)
    except (OSError, ValueError, ImportError, AttributeError) as error:
        _log.warning("model %s takes text alone, it has no processor: %s", config.name, error)
        return None


def has_more_than_text(weights: Any) -> bool:
    """Whether a model's configuration is of one that takes more than text."""
    return weights.get_text_config() is not weights
