"""Which part of a response is looked at: its thoughts are cut here, once, for all kinds.

The marks are those of `thoughts` that models are trained on, or a closing mark whose opening one
was the prompt's. What follows the last closing mark is the answer's part. A thought that was opened
and not closed hides what follows its opening mark; where no thought was closed at all, nothing is
left: such a response has not answered yet.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from .thoughts import CHANNEL, TRAINED, after_thoughts

LookIn = Literal["answer", "all"]
"""`answer`: without thoughts. `all`: the text as it is, thoughts and unfinished ones too."""

_MARKS = (*TRAINED, CHANNEL)

STOP_STRINGS = (
    "</s>",
    "<eos>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|eot_id|>",
    "<end_of_turn>",
    "<｜end▁of▁sentence｜>",
)
"""What ends a turn in the templates of well-known models; no part of what the model says."""

StopStrings = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=100)], ...], Field(max_length=32)
]


def span(text: str, look_in: LookIn = "answer", stop: tuple[str, ...] = STOP_STRINGS) -> str:
    """The part of a response to look at, without the stop strings at its end.

    In time linear in the text.
    """
    if stop is STOP_STRINGS and not is_marked(text):
        return text
    if look_in == "answer":
        text = without_thoughts(text)
    return without_stop(text, stop)


def is_marked(text: str) -> bool:
    """Whether a mark of this file may stand in it: told in a fraction of the time of looking."""
    return "think" in text or "[" in text or "|" in text or text[-1:] == ">"


def without_thoughts(text: str) -> str:
    """What the response says after its thoughts; empty where it was still thinking."""
    return after_thoughts(text, _MARKS, unfinished="nothing")


def without_stop(text: str, stop: tuple[str, ...]) -> str:
    """The text without any of the stop strings at its end, and without white space after them."""
    end = len(text)
    while True:
        while end and text[end - 1].isspace():
            end -= 1
        for mark in stop:
            if text.endswith(mark, 0, end):
                end -= len(mark)
                break
        else:
            return text if end == len(text) or not _ended(text, end, stop) else text[:end]


def _ended(text: str, end: int, stop: tuple[str, ...]) -> bool:
    return text[end:].lstrip().startswith(stop)
