"""Tiny models with random weights, as folders: Qwen3, a tokenizer trained here, a chat template."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from rewardplane.config.load import parse
from rewardplane.config.models import ModelConfig

TEMPLATE = (
    "{% if bos %}{{ bos_token }}{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
RANDOM = random.Random(7)
WORDS = [
    " ".join(RANDOM.choices(["what", "is", "a", "good", "answer", "lazy", "dog", "yes", "no"], k=n))
    for n in RANDOM.choices(range(1, 60), k=64)
]
"""Answers of many lengths."""


def tokenizer_of(*more: str, bos: bool = False, **options: Any) -> Any:
    """A tokenizer of 512 tokens; `more`: special tokens of it beside the usual ones."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|bos|>", *more]
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator([WORDS] * 4, trainer)
    if bos:
        raw.post_processor = processors.TemplateProcessing(
            single="<|bos|> $A", special_tokens=[("<|bos|>", 3)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        bos_token="<|bos|>" if bos else None,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        model_max_length=512,
        **options,
    )


def make(
    folder: Path,
    head: str,
    *,
    bos: bool = False,
    outputs: int = 1,
    seed: int = 0,
    width: int = 64,
    layers: int = 2,
) -> Path:
    """A model with a head, in float32. `bos`: template and tokenizer both write a BOS."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM, Qwen3ForSequenceClassification

    tokenizer = tokenizer_of(bos=bos)
    tokenizer.chat_template = TEMPLATE.replace(
        "{% if bos %}", "{% if true %}" if bos else "{% if false %}"
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,  # vLLM on a CPU takes no smaller one
        max_position_embeddings=512,
        initializer_range=0.2,
        num_labels=outputs,
        pad_token_id=0,
        eos_token_id=2,
        bos_token_id=3 if bos else None,
    )
    kind = Qwen3ForSequenceClassification if head == "scalar" else Qwen3ForCausalLM
    kind(config).eval().save_pretrained(folder)
    return folder


def edit(folder: Path, file: str, **changes: Any) -> None:
    """Changes fields of a JSON file of a model."""
    path = folder / file
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, **changes}))


def config(folder: Path, **more: Any) -> ModelConfig:
    """A model of these weights."""
    model = {"runs": "hf", "head": "scalar", "path": str(folder), **more}
    document = {"models": {"m": model}, "rewards": {"r": {"kind": "reward_model", "model": "m"}}}
    if model["head"] == "chat":
        document["rewards"] = {"r": {"kind": "exact"}}
    return parse(document, Path("/")).models["m"]
