"""Weights on transformers: a scalar head or a causal model, with batches of our own packing.

The only file that imports torch and transformers, and it does so when weights are loaded.
"""
# pyright: basic, reportMissingImports=false

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rewardplane.config.models import ModelConfig
from rewardplane.rewards.models.model_facts import ModelFacts
from rewardplane.rewards.models.question import Sampling

from .batcher import Ask, Batcher, PassOutOfMemory
from .engine import MAX_ANSWER_TOKENS, EngineFailed
from .weights import digest_of

_log = logging.getLogger(__name__)

BATCH_TOKENS = {"cpu": 2_048, "cuda": 16_384}
MAX_BATCH = 512


@dataclass(slots=True, frozen=True)
class _Args:
    """The `engine:` of a model that `hf` runs; what is not known goes to `from_pretrained`."""

    batch_tokens: int | None = None
    """Tokens of a forward pass, padding included. None: 2,048 on a CPU, 16,384 on a GPU."""
    max_batch: int = MAX_BATCH
    """Sequences of a forward pass."""
    label: int | None = None
    """The output of a scalar head with several."""
    template: Mapping[str, Any] | None = None
    """Variables of the chat template, such as `enable_thinking: false`."""


def split_args(engine: Mapping[str, Any]) -> tuple[_Args, dict[str, Any]]:
    """Our arguments, and those of `from_pretrained`."""
    names = _Args.__dataclass_fields__
    ours = {k: v for k, v in engine.items() if k in names}
    return _Args(**ours), {k: v for k, v in engine.items() if k not in names}


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


class HfEngine:
    """An `Engine` on transformers."""

    def __init__(self, config: ModelConfig) -> None:
        self._config = config
        self._args, self._loading = split_args(config.settings.engine)
        self._batcher: Batcher | None = None
        self._facts = ModelFacts(config.settings.path, config.settings.revision, engine="hf")
        self.model: Any = None
        self.pad = 0
        self.broken = ""

    @property
    def facts(self) -> ModelFacts:
        """As `Engine.facts`."""
        return self._facts

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
        most = 1 if settings.determinism == "serial" else self._args.max_batch
        budget = self._args.batch_tokens or BATCH_TOKENS.get(device, BATCH_TOKENS["cuda"])
        begin = self._use_cpus if device == "cpu" else None
        self._batcher = Batcher(self.run_pass, budget, most, begin)
        self._batcher.start()

    async def close(self) -> None:
        """As `Engine.close`."""
        if self._batcher is not None:
            await self._batcher.close()
        self.model = None

    async def score(self, ids: Sequence[int]) -> float:
        """As `Engine.score`."""
        return await self.batcher.ask("score", ids, None)

    async def label_logprobs(self, ids: Sequence[int], label_ids: Sequence[int]) -> list[float]:
        """As `Engine.label_logprobs`."""
        return await self.batcher.ask("labels", ids, label_ids)

    async def generate(
        self, ids: Sequence[int], sampling: Sampling, schema: Mapping[str, Any] | None
    ) -> tuple[list[int], str]:
        """As `Engine.generate`; transformers holds no answer to a schema."""
        del schema
        room = sampling.max_tokens or MAX_ANSWER_TOKENS
        kind = f"generate {sampling.temperature} {sampling.top_p} {sampling.seed} {room}"
        return await self.batcher.ask(kind, ids, sampling, room)

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
        kind = "AutoModelForSequenceClassification" if scalar else "AutoModelForCausalLM"
        options: dict[str, Any] = {"dtype": getattr(torch, dtype), **self._loading}
        if device == "cuda":
            options.setdefault("device_map", "cuda" if settings.gpus <= 1 else "auto")
            if settings.memory_gb is not None:
                whole = torch.cuda.get_device_properties(0).total_memory
                fraction = min(1.0, settings.memory_gb * 2**30 / whole)
                torch.cuda.set_per_process_memory_fraction(fraction)
        model = getattr(transformers, kind).from_pretrained(
            settings.path, revision=settings.revision or None, **options
        )
        model.eval()
        self.model = model
        vocabulary = model.get_input_embeddings().num_embeddings
        pad = model.config.get_text_config().pad_token_id
        # Any id will do: the attention mask says what is padding, and the pooling here heeds it.
        self.pad = pad if pad is not None and 0 <= pad < vocabulary else 0
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
                if kind == "score":
                    return self.scores([ask.ids for ask in batch])
                if kind == "labels":
                    return self.labels([ask.ids for ask in batch], [a.about for a in batch])
                return self._generated(batch)
        except torch.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            raise PassOutOfMemory(str(error).split(".")[0]) from None
        except RuntimeError as error:
            if "can't allocate memory" in str(error):  # how a CPU says it
                raise PassOutOfMemory(str(error).splitlines()[0]) from None
            raise

    def scores(self, rows: Sequence[Sequence[int]]) -> list[float]:
        """The head's numbers at each row's last token."""
        numbers = self.model.score(self._last_states(rows)).float()
        return numbers[:, self._args.label or 0].tolist()

    def labels(
        self, rows: Sequence[Sequence[int]], wanted: Sequence[Sequence[int]]
    ) -> list[list[float]]:
        """The log-probabilities of the wanted tokens after each row."""
        logprobs = self._next_logits(rows).float().log_softmax(-1)
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

    def _last_states(self, rows: Sequence[Sequence[int]]) -> Any:
        import torch

        ids, mask = self._padded(rows)
        states = self.model.base_model(input_ids=ids, attention_mask=mask, use_cache=False)
        last = mask.sum(1) - 1
        return states.last_hidden_state[torch.arange(len(rows), device=ids.device), last]

    def _next_logits(self, rows: Sequence[Sequence[int]]) -> Any:
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

    def _generated(self, batch: Sequence[Ask]) -> list[tuple[list[int], str]]:
        import torch

        sampling: Sampling = batch[0].about
        room = sampling.max_tokens or MAX_ANSWER_TOKENS
        ids, mask = self._padded([ask.ids for ask in batch], left=True)
        draws = bool(sampling.temperature)
        options: dict[str, Any] = {"do_sample": draws}
        if draws:
            options |= {"temperature": sampling.temperature, "top_p": sampling.top_p or 1.0}
            options["top_k"] = 0
            torch.manual_seed(sampling.seed if sampling.seed is not None else torch.seed() % 2**31)
        ends = self.model.generation_config.eos_token_id
        ends = set(ends if isinstance(ends, list) else [ends])
        written = self.model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=room,
            pad_token_id=self.pad,
            stopping_criteria=[_until_nobody_waits(batch)],
            **options,
        )[:, ids.shape[1] :].tolist()
        answers: list[tuple[list[int], str]] = []
        for row in written:
            end = next((i for i, token in enumerate(row) if token in ends), None)
            answers.append((row, "length") if end is None else (row[:end], "stop"))
        return answers


def _until_nobody_waits(batch: Sequence[Ask]) -> Any:
    """Stops a generation of which every caller has gone."""
    import torch

    def stop(ids: Any, _scores: Any, **_: Any) -> Any:
        gone = all(ask.answer.done() for ask in batch)
        return torch.full((ids.shape[0],), gone, dtype=torch.bool, device=ids.device)

    return stop
