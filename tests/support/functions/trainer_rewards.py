"""Reward functions as users of TRL write them, for the tests with real trainers."""

from __future__ import annotations

from typing import Any


def length(prompts: list[Any], completions: list[Any], **columns: Any) -> list[float]:
    """The share of 20 characters that a completion has."""
    return [min(1.0, len(text_of(completion)) / 20) for completion in completions]


def picky(prompts: list[Any], completions: list[Any], **columns: Any) -> list[float]:
    """1, except for the prompts that say that they fail."""
    if any("fail" in text_of(prompt) for prompt in prompts):
        raise ValueError("this prompt fails by design")
    return [1.0] * len(completions)


def shaped(prompts: list[Any], completions: list[Any], **columns: Any) -> list[float]:
    """1 where prompts and completions are both conversations, 0 where both are texts."""
    kinds = {type(value) for value in (*prompts, *completions)}
    if kinds == {list}:
        assert all(message["role"] for value in (*prompts, *completions) for message in value)
        return [1.0] * len(completions)
    assert kinds == {str}, kinds
    return [0.0] * len(completions)


def text_of(said: Any) -> str:
    return said if isinstance(said, str) else str(said[-1]["content"])
