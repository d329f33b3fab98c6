"""A reward that tells what the response says, by all the ways that there are beside a number."""

from __future__ import annotations

from rewardplane.rewards.types import JudgeRefused, Score, Usage


def grade(sample, item):
    text = sample["output_text"]
    if text == "refused":
        fault = JudgeRefused("it would not")
        fault.usage = Usage(100, 20, 7, 2)
        raise fault
    return Score(1.0, {}, "words", (0.5,), text, '{"it": "' + text + '"}')
