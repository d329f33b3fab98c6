"""Responses that were decoded with their special tokens: where they end."""

from __future__ import annotations

from collections.abc import Sequence

END_TOKENS = (
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|end_of_text|>",
    "<|end|>",
    "<end_of_turn>",
    "<｜end▁of▁sentence｜>",
    "<eos>",
    "</s>",
    "<pad>",
    "<|pad|>",
)
"""The end and padding tokens of common tokenizers."""


def without_end_tokens(text: str, end_tokens: Sequence[str] = END_TOKENS) -> str:
    """The text without the end tokens at its end, however many; all else stays as it is."""
    end = len(text)
    while True:
        for token in end_tokens:
            if token and text.endswith(token, 0, end):
                end -= len(token)
                break
        else:
            return text[:end]
