"""From a model's configuration to a model that answers."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

from rewardplane.config.models import ModelConfig
from rewardplane.rewards.models.endpoint_model import EndpointModel
from rewardplane.rewards.models.model import Model
from rewardplane.rewards.models.model_endpoint import ModelEndpoint
from rewardplane.rewards.types import RewardFault

from .engine import Engine, EngineFailed, EngineModel
from .prompts import Prompter
from .shared import Shared


class Loaded:
    """A model that answers, and what its host needs to know of it."""

    def __init__(self, config: ModelConfig, inner: Any) -> None:
        self.inner = inner
        """As it was made, without what is shared."""
        self.model: Model = Shared(inner, keeps=keeps(config, inner))

    @property
    def broken(self) -> str:
        """Why it is to be replaced; empty while it works."""
        return getattr(self.inner, "broken", "")

    @property
    def dead(self) -> str:
        """Why what is in it now will never be answered; empty while it lives."""
        return getattr(self.inner, "dead", "")

    async def close(self) -> None:
        """Frees what it holds."""
        await self.inner.close()


def keeps(config: ModelConfig, model: Model) -> bool:
    """Whether an item that came before keeps its answer."""
    chosen = config.settings.determinism
    if chosen is not None:
        return chosen == "item"
    return model.head == "scalar" and model.facts.dtype == "float32"


Attach = Callable[[EndpointModel], None]


async def load_model(config: ModelConfig, attach: Attach | None = None) -> Loaded:
    """Loads a model's weights, or opens the door to its endpoint.

    `attach` is called with the model of an endpoint before anything is asked of it: it may limit
    what goes there, as others may use the endpoint too.

    Raises:
        EngineFailed: it cannot be served.
    """
    runs = config.settings.runs
    if runs == "python":
        return Loaded(config, await _own_engine(config))
    if runs == "endpoint":
        return Loaded(config, await _endpoint(config, attach))
    prompter = await asyncio.to_thread(_prompter, config)
    engine = _engine(config, prompter)
    await engine.start()
    return Loaded(config, EngineModel(config.name, config.settings.head, engine, prompter))


async def _endpoint(config: ModelConfig, attach: Attach | None) -> EndpointModel:
    model = EndpointModel(config.name, ModelEndpoint.model_validate(config.settings.endpoint))
    if attach is not None:
        attach(model)
    try:
        await model.start()
    except (ValueError, RewardFault) as error:
        await model.close()
        raise EngineFailed(str(error)) from None
    return model


def _engine(config: ModelConfig, prompter: Prompter) -> Engine:
    if config.settings.runs == "hf":
        from .hf import HfEngine

        return HfEngine(config, prompter.tokenizer)
    from .vllm_engine import VllmEngine

    return VllmEngine(config, prompter.max_tokens)


def _prompter(config: ModelConfig) -> Prompter:
    from .hf_files import load_processor, load_tokenizer, max_tokens_of, split_args

    settings = config.settings
    try:
        tokenizer = load_tokenizer(config)
        longest = max_tokens_of(config, tokenizer)
        options = dict(split_args(settings.engine)[0].template or {})
        cuts = settings.too_long == "cut_prompt"
        media = load_processor(config) if settings.runs == "hf" else None
        return Prompter(tokenizer, longest, cuts=cuts, options=options, media=media)
    except ImportError as error:
        raise EngineFailed(f"{error}: pip install 'rewardplane[judge]'") from None
    except (OSError, ValueError) as error:
        raise EngineFailed(f"the tokenizer cannot be loaded: {error}") from None


async def _own_engine(config: ModelConfig) -> Any:
    """An object of the class that the configuration names: a `Model` with `start` and `close`."""
    options = dict(config.settings.engine)
    paths: Sequence[str] = options.pop("python_path", ())
    sys.path[:0] = [path for path in paths if path not in sys.path]
    module, _colon, name = config.settings.path.partition(":")
    try:
        made = getattr(importlib.import_module(module), name)(config.name, **options)
    except (ImportError, AttributeError, TypeError) as error:
        raise EngineFailed(f"{config.settings.path}: {error}") from None
    await made.start()
    return made
