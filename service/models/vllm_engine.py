"""Weights on vLLM, in this process's child: continuous batching, prefix cache, tensor parallelism.

The only file that imports vllm, and it does so when weights are loaded.
"""
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from rewardplane.config.models import ModelConfig
from rewardplane.replica.places import URGENCY
from rewardplane.rewards.models.model_facts import ModelFacts
from rewardplane.rewards.models.question import Sampling
from rewardplane.rewards.types import Unavailable

from .batcher import STOPPED
from .engine import MAX_ANSWER_TOKENS, EngineFailed, Media
from .weights import digest_of


class VllmEngine:
    """An `Engine` on vLLM's `AsyncLLM`. `max_tokens` is of a conversation with its answer."""

    def __init__(self, config: ModelConfig, max_tokens: int) -> None:
        self._config = config
        self._max_tokens = max_tokens
        self._facts = ModelFacts(config.settings.path, config.settings.revision, engine="vllm")
        self._names = itertools.count()
        self._llm: Any = None

    @property
    def facts(self) -> ModelFacts:
        """As `Engine.facts`."""
        return self._facts

    @property
    def broken(self) -> str:
        """As `Engine.broken`."""
        if self._llm is not None and self._llm.errored:
            return "vLLM's engine process is dead"
        return ""

    async def start(self) -> None:
        """As `Engine.start`."""
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        try:
            import vllm
            from vllm.engine.arg_utils import AsyncEngineArgs
            from vllm.v1.engine.async_llm import AsyncLLM
        except ImportError as error:
            raise EngineFailed(f"{error}: pip install 'rewardplane[vllm]'") from None
        settings = self._config.settings
        arguments = engine_arguments(self._config, self._max_tokens)
        digest = await asyncio.to_thread(digest_of, settings.path)
        try:
            self._llm = AsyncLLM.from_engine_args(AsyncEngineArgs(**arguments))
        except (TypeError, ValueError, RuntimeError) as error:
            raise EngineFailed(f"vLLM does not start: {error}") from None
        chat = settings.head == "chat"
        dtype = str(self._llm.model_config.dtype).removeprefix("torch.")
        self._facts = ModelFacts(
            source=settings.path,
            revision=settings.revision,
            weights_digest=digest,
            engine="vllm",
            engine_version=str(vllm.__version__),
            dtype=dtype,
            read="logprob_token_ids" if chat else "",
            tells_label_mass=chat,
        )

    async def close(self) -> None:
        """As `Engine.close`."""
        if self._llm is not None:
            await asyncio.to_thread(self._llm.shutdown)
            self._llm = None

    async def score(self, ids: Sequence[int], media: Media | None = None) -> float:
        """As `Engine.score`."""
        del media
        from vllm import PoolingParams

        # Without this vLLM squashes the number of most reward models to between 0 and 1.
        params = PoolingParams(task="classify", use_activation=False)
        told = self._running().encode(_prompt(ids), params, self._name(), priority=_priority())
        data = (await _last(told)).outputs.data
        return chosen(data.flatten().tolist(), self._config.settings.engine.get("label"))

    async def label_logprobs(
        self, ids: Sequence[int], label_ids: Sequence[int], media: Media | None = None
    ) -> list[float]:
        """As `Engine.label_logprobs`."""
        del media
        from vllm import SamplingParams

        params = SamplingParams(
            max_tokens=1, temperature=0.0, logprob_token_ids=list(label_ids), detokenize=False
        )
        told = self._running().generate(_prompt(ids), params, self._name(), priority=_priority())
        logprobs = (await _last(told)).outputs[0].logprobs[0]
        return [float(logprobs[token].logprob) for token in label_ids]

    async def generate(
        self,
        ids: Sequence[int],
        sampling: Sampling,
        schema: Mapping[str, Any] | None,
        media: Media | None = None,
    ) -> tuple[list[int], str]:
        """As `Engine.generate`; the answer is held to the schema."""
        del media
        from vllm import SamplingParams
        from vllm.sampling_params import StructuredOutputsParams

        options: dict[str, Any] = {"max_tokens": sampling.max_tokens or MAX_ANSWER_TOKENS}
        for name in ("temperature", "top_p", "seed"):
            if (value := getattr(sampling, name)) is not None:
                options[name] = value
        if schema is not None:
            options["structured_outputs"] = StructuredOutputsParams(
                json=dict(schema), disable_any_whitespace=True
            )
        params = SamplingParams(detokenize=False, **options)
        told = self._running().generate(_prompt(ids), params, self._name(), priority=_priority())
        output = (await _last(told)).outputs[0]
        written = list(output.token_ids)
        if output.finish_reason == "length":
            return written, "length"
        if output.finish_reason != "stop":
            raise Unavailable(f"vLLM ended an answer before its end: {output.finish_reason}")
        # The end token is the last one, where an end token ended it.
        return written[:-1] if written and output.stop_reason is None else written, "stop"

    def _running(self) -> Any:
        if self._llm is None:
            raise Unavailable(STOPPED)
        return self._llm

    def _name(self) -> str:
        return f"{self._config.name}-{next(self._names)}"


def engine_arguments(config: ModelConfig, max_tokens: int) -> dict[str, Any]:
    """What vLLM is started with: ours, and over it what the configuration hands on.

    Raises:
        EngineFailed: what is handed on would make other numbers of the labels' probabilities.
    """
    settings = config.settings
    if settings.engine.get("logprobs_mode", "raw_logprobs") != "raw_logprobs":
        raise EngineFailed("engine.logprobs_mode: labels are read by raw_logprobs")
    arguments: dict[str, Any] = {
        "model": settings.path,
        "revision": settings.revision or None,
        "dtype": settings.dtype,
        "max_model_len": max_tokens,
        "runner": "pooling" if settings.head == "scalar" else "generate",
        "tensor_parallel_size": max(1, int(settings.gpus)),
        # The most urgent call first, as everywhere in front of it.
        "scheduling_policy": "priority",
    }
    if settings.determinism == "serial":
        arguments["max_num_seqs"] = 1
    ours = {"template", "label"}
    return {**arguments, **{k: v for k, v in settings.engine.items() if k not in ours}}


def _prompt(ids: Sequence[int]) -> dict[str, Any]:
    return {"prompt_token_ids": list(ids)}


def _priority() -> int:
    """Lower goes first: milliseconds of the clock at which the call must be answered."""
    return URGENCY.get()[0] // 1_000_000


def chosen(outputs: Sequence[float], label: int | None) -> float:
    """The output of a scalar head that is the reward.

    Raises:
        EngineFailed: there are several and none is chosen, or not the one that is.
    """
    if label is None and len(outputs) != 1:
        raise EngineFailed(
            f"the weights have {len(outputs)} outputs; say which one is the reward: engine.label"
        )
    if not 0 <= (label or 0) < len(outputs):
        raise EngineFailed(f"engine.label: want 0 to {len(outputs) - 1}")
    return float(outputs[label or 0])


async def _last(told: AsyncIterator[Any]) -> Any:
    """The final output of a request. Whoever is cancelled here has it aborted by vLLM."""
    last: Any = None
    async for output in told:
        last = output
    return last
