"""Weights on transformers: a scalar head or a causal model, with batches of our own packing.

The only file that imports torch and transformers, and it does so when weights are loaded.
"""
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rewardplane.config.models import ModelConfig
from rewardplane.rewards.models.model_facts import ModelFacts
from rewardplane.rewards.models.question import Sampling
from rewardplane.rewards.types import InvalidResult

from .batcher import Ask, Batcher, PassOutOfMemory
from .engine import MAX_ANSWER_TOKENS, EngineFailed, Media
from .hf_files import has_more_than_text, split_args
from .schema import Schemas
from .weights import digest_of

_log = logging.getLogger(__name__)

BATCH_TOKENS = {"cpu": 2_048, "cuda": 16_384}
SWITCH_S = 1e-4
"""After how long a thread gives up the interpreter to another one."""


@dataclass(slots=True, frozen=True)
class About:
    """What is asked of a row: labels' ids or how to sample; its media, its answer's schema."""

    what: Any
    media: Media | None = None
    schema: Mapping[str, Any] | None = None


class HfEngine:
    """An `Engine` on transformers. What has media beside its ids gets a forward pass of its own."""

    def __init__(self, config: ModelConfig, tokenizer: Any = None) -> None:
        self._config = config
        self._tokenizer = tokenizer
        self._schemas: Schemas | None = None
        self._args, self._loading = split_args(config.settings.engine)
        self._batcher: Batcher | None = None
        self._facts = ModelFacts(config.settings.path, config.settings.revision, engine="hf")
        self.model: Any = None
        self.pad = 0

    @property
    def facts(self) -> ModelFacts:
        """As `Engine.facts`."""
        return self._facts

    @property
    def broken(self) -> str:
        """As `Engine.broken`."""
        return self._batcher.broken if self._batcher is not None else ""

    @property
    def batcher(self) -> Batcher:
        """What packs its batches; it is there once it has started."""
        assert self._batcher is not None, "not started"  # noqa: S101 - a fault of ours
        return self._batcher

    async def start(self) -> None:
        """As `Engine.start`."""
        hashing = asyncio.create_task(asyncio.to_thread(digest_of, self._config.settings.path))
        try:
            await asyncio.to_thread(self._load)
            self._facts = self._tell(await hashing)
        finally:
            hashing.cancel()
        settings, device = self._config.settings, self.model.device.type
        alone = settings.determinism == "serial" or has_more_than_text(self.model.config)
        most = 1 if alone else self._args.max_batch
        budget = self._args.batch_tokens or BATCH_TOKENS.get(device, BATCH_TOKENS["cuda"])
        begin = self._use_cpus if device == "cpu" else None
        # Between two operations of a pass its thread needs the interpreter, for microseconds: with
        # the interval that is usual it waits up to 5 ms for it, as often as the loop is at work.
        sys.setswitchinterval(SWITCH_S)
        self._batcher = Batcher(self.run_pass, budget, most, begin)

    async def close(self) -> None:
        """As `Engine.close`."""
        if self._batcher is not None:
            await self._batcher.close()
        self.model = None

    async def score(self, ids: Sequence[int], media: Media | None = None) -> float:
        """As `Engine.score`."""
        return await self.batcher.ask("score", ids, About(None, media))

    async def label_logprobs(
        self, ids: Sequence[int], label_ids: Sequence[int], media: Media | None = None
    ) -> list[float]:
        """As `Engine.label_logprobs`."""
        return await self.batcher.ask("labels", ids, About(label_ids, media))

    async def generate(
        self,
        ids: Sequence[int],
        sampling: Sampling,
        schema: Mapping[str, Any] | None,
        media: Media | None = None,
    ) -> tuple[list[int], str]:
        """As `Engine.generate`; the answer is held to the schema."""
        room = sampling.max_tokens or MAX_ANSWER_TOKENS
        kind = f"generate {sampling.temperature} {sampling.top_p} {sampling.seed} {room}"
        return await self.batcher.ask(kind, ids, About(sampling, media, schema), room)

    def _use_cpus(self) -> None:
        """So many threads for what this thread computes: OpenMP counts for each thread apart."""
        import torch

        torch.set_num_threads(max(1, int(self._config.settings.cpus)))

    # ---- in the engine's thread ----------------------------------------------------------------

    def _load(self) -> None:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        try:
            import torch
            import transformers
        except ImportError as error:
            raise EngineFailed(f"{error}: pip install 'rewardplane[judge]'") from None
        settings = self._config.settings
        device = settings.device
        if device == "auto":
            device = "cuda" if settings.gpus and torch.cuda.is_available() else "cpu"
        if settings.gpus and device == "cpu":
            _log.warning("model %s: no GPU is seen; it runs on the CPU", self._config.name)
        if device == "cpu":
            self._use_cpus()
        dtype = settings.dtype
        if dtype == "auto":
            dtype = "bfloat16" if device == "cuda" else "float32"
        scalar = settings.head == "scalar"
        revision = settings.revision or None
        weights = transformers.AutoConfig.from_pretrained(settings.path, revision=revision)
        chat = "MultimodalLM" if has_more_than_text(weights) else "CausalLM"
        kind = f"AutoModelFor{'SequenceClassification' if scalar else chat}"
        options: dict[str, Any] = {"dtype": getattr(torch, dtype), **self._loading}
        if device == "cuda":
            options.setdefault("device_map", "cuda" if settings.gpus <= 1 else "auto")
            if settings.memory_gb is not None:
                whole = torch.cuda.get_device_properties(0).total_memory
                fraction = min(1.0, settings.memory_gb * 2**30 / whole)
                torch.cuda.set_per_process_memory_fraction(fraction)
        model = getattr(transformers, kind).from_pretrained(
            settings.path, revision=revision, **options
        )
        model.eval()
        self.model = model
        vocabulary = model.get_input_embeddings().num_embeddings
        pad = model.config.get_text_config().pad_token_id
        # Any id will do: the attention mask says what is padding, and the pooling here heeds it.
        self.pad = pad if pad is not None and 0 <= pad < vocabulary else 0
        fast = getattr(self._tokenizer, "backend_tokenizer", None) is not None
        if not scalar and fast and (ends := self._ends()):
            self._schemas = Schemas(self._tokenizer, vocabulary, ends)
        self.check_head()

    def check_head(self) -> None:
        """Refuses weights whose head is another than the configured one."""
        if self._config.settings.head != "scalar":
            return
        outputs = self.model.config.num_labels
        if self._args.label is None and outputs != 1:
            raise EngineFailed(
                f"the weights have {outputs} outputs; say which one is the reward: engine.label"
            )
        if self._args.label is not None and not 0 <= self._args.label < outputs:
            raise EngineFailed(f"engine.label: want 0 to {outputs - 1}")
        if not hasattr(self.model, "score"):
            raise EngineFailed(
                f"{type(self.model).__name__} has no head `score` on its last token; served are "
                "`…ForSequenceClassification` of causal models"
            )

    def _tell(self, digest: str) -> ModelFacts:
        import transformers

        settings = self._config.settings
        return ModelFacts(
            source=settings.path,
            revision=settings.revision,
            weights_digest=digest,
            engine="hf",
            engine_version=transformers.__version__,
            dtype=str(self.model.dtype).removeprefix("torch."),
            read="" if settings.head == "scalar" else "logits",
            tells_label_mass=settings.head == "chat",
        )

    def run_pass(self, kind: str, batch: Sequence[Ask]) -> list[Any]:
        """A forward pass; see `batcher.Pass`."""
        import torch

        try:
            with torch.inference_mode():
                rows = [ask.ids for ask in batch]
                media = batch[0].about.media if len(batch) == 1 else None
                if kind == "score":
                    return self.scores(rows, media)
                if kind == "labels":
                    return self.labels(rows, [a.about.what for a in batch], media)
                return self._generated(batch, media)
        except torch.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            raise PassOutOfMemory(str(error).split(".")[0]) from None
        except RuntimeError as error:
            if "can't allocate memory" in str(error):  # how a CPU says it
                raise PassOutOfMemory(str(error).splitlines()[0]) from None
            if "CUDA error" in str(error):
                # Every later call of this process fails alike.
                self.batcher.broken = str(error).splitlines()[0]
            raise

    def scores(self, rows: Sequence[Sequence[int]], media: Media | None = None) -> list[float]:
        """The head's numbers at each row's last token; `media` are those of one row."""
        numbers = self.model.score(self._last_states(rows, self._there(media))).float()
        return numbers[:, self._args.label or 0].tolist()

    def labels(
        self,
        rows: Sequence[Sequence[int]],
        wanted: Sequence[Sequence[int]],
        media: Media | None = None,
    ) -> list[list[float]]:
        """The log-probabilities of the wanted tokens after each row."""
        logprobs = self._next_logits(rows, self._there(media)).float().log_softmax(-1)
        return [line[list(ids)].tolist() for line, ids in zip(logprobs, wanted, strict=True)]

    def reference(self, ids: Sequence[int]) -> list[float]:
        """What transformers itself makes of one row, alone and unpadded: all outputs."""
        import torch

        with torch.inference_mode():
            text = self.model.config.get_text_config()
            pad, text.pad_token_id = text.pad_token_id, None
            try:
                row = torch.tensor([list(ids)], device=self.model.device)
                logits = self.model(input_ids=row, use_cache=False).logits
            finally:
                text.pad_token_id = pad
        return (logits[0] if logits.dim() == 2 else logits[0, -1]).float().tolist()

    def _there(self, media: Media | None) -> dict[str, Any]:
        """The tensors on the model's device, numbers in its type."""
        return {
            name: tensor.to(
                self.model.device, self.model.dtype if tensor.is_floating_point() else None
            )
            for name, tensor in (media or {}).items()
        }

    def _last_states(self, rows: Sequence[Sequence[int]], media: Media) -> Any:
        import torch

        ids, mask = self._padded(rows)
        inputs = {"input_ids": ids, "attention_mask": mask, **media}
        states = self.model.base_model(**inputs, use_cache=False)
        last = mask.sum(1) - 1
        return states.last_hidden_state[torch.arange(len(rows), device=ids.device), last]

    def _next_logits(self, rows: Sequence[Sequence[int]], media: Media) -> Any:
        if has_more_than_text(self.model.config):  # it places its tokens itself, one row alone
            ids, mask = self._padded(rows)
            inputs = {"input_ids": ids, "attention_mask": mask, **media}
            if "logits_to_keep" in inspect.signature(self.model.forward).parameters:
                inputs["logits_to_keep"] = 1
            return self.model(**inputs, use_cache=False).logits[:, -1]
        # On the left, so that the last column is the last token of all, and models that scale or
        # cap their logits do so themselves.
        ids, mask = self._padded(rows, left=True)
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        return self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            use_cache=False,
            logits_to_keep=1,
        ).logits[:, -1]

    def _padded(self, rows: Sequence[Sequence[int]], *, left: bool = False) -> tuple[Any, Any]:
        import torch

        longest = max(map(len, rows))
        ids = torch.full((len(rows), longest), self.pad, dtype=torch.long)
        mask = torch.zeros((len(rows), longest), dtype=torch.long)
        for index, row in enumerate(rows):
            at = slice(longest - len(row), longest) if left else slice(0, len(row))
            ids[index, at] = torch.tensor(row, dtype=torch.long)
            mask[index, at] = 1
        return ids.to(self.model.device), mask.to(self.model.device)

    def _ends(self) -> list[int]:
        """The tokens that end an answer."""
        ends = self.model.generation_config.eos_token_id
        return list(ends) if isinstance(ends, list) else [] if ends is None else [ends]

    def _generated(self, batch: Sequence[Ask], media: Media | None) -> list[tuple[list[int], str]]:
        import torch
        from transformers import LogitsProcessorList

        sampling: Sampling = batch[0].about.what
        room = sampling.max_tokens or MAX_ANSWER_TOKENS
        ids, mask = self._padded([ask.ids for ask in batch], left=True)
        draws = bool(sampling.temperature)
        options: dict[str, Any] = {"do_sample": draws}
        if draws:
            options |= {"temperature": sampling.temperature, "top_p": sampling.top_p or 1.0}
            options["top_k"] = 0
            torch.manual_seed(sampling.seed if sampling.seed is not None else torch.seed() % 2**31)
        ends = set(self._ends())
        schemas = [ask.about.schema for ask in batch]
        held = self._schemas.held(schemas) if self._schemas is not None else None
        # Before what holds an answer to its schema: of that the first allowed token would be drawn.
        processors = [_refuse_nan, *([held] if held is not None else [])]
        options["logits_processor"] = LogitsProcessorList(processors)
        written = self.model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=room,
            pad_token_id=self.pad,
            stopping_criteria=[_until_nobody_waits(batch)],
            **self._there(media),
            **options,
        )[:, ids.shape[1] :].tolist()
        answers: list[tuple[list[int], str]] = []
        for row in written:
            end = next((i for i, token in enumerate(row) if token in ends), None)
            answers.append((row, "length") if end is None else (row[:end], "stop"))
        return answers


def _refuse_nan(_ids: Any, scores: Any) -> Any:
    """A `LogitsProcessor` that lets nothing be drawn from what is no distribution."""
    if scores.isnan().any():
        raise InvalidResult("the model's logits are NaN")
    return scores


def _until_nobody_waits(batch: Sequence[Ask]) -> Any:
    """Stops a generation of which every caller has gone."""
    import torch

    def stop(ids: Any, _scores: Any, **_: Any) -> Any:
        gone = all(ask.answer.done() for ask in batch)
        return torch.full((ids.shape[0],), gone, dtype=torch.bool, device=ids.device)

    return stop
