"""What a judge is shown costs in proportion to the texts: 64 kB against 1 MB, hostile ones."""

from __future__ import annotations

import time

import pytest
from rewardplane.rewards.judging.shown import Shown
from rewardplane.rewards.types import Content, Example, Part, Response

SMALL, LARGE = 2**16, 2**20
PIECES = [
    *("a", "\n", "`", "` ", "```\n", "<", "<|", "<|a", "<|a|", "<|a|>", "<｜", "[INST", "[INST]"),
    *("</think>", "<think>", "<think></think>", "<|channel|>", "<start_of_turn>", "◁", "◁/think▷"),
    *("</", "</SYS>", "\0", "{{", "{{ response }}", "é"),
]


def spent_s(piece: str, size: int) -> float:
    text = piece * (size // len(piece))
    shown = Shown("{{ prompt }}{{ thoughts }}{{ response }}{{ references.answer }}")
    example = Example((Content("user", (Part(text),)),), references={"answer": text})
    begin = time.process_time()
    shown.message(example, Response(text))
    return time.process_time() - begin


@pytest.mark.parametrize("piece", PIECES)
def test_a_message_is_made_in_time_linear_in_its_texts(piece: str) -> None:
    large = spent_s(piece, LARGE)
    small = min(spent_s(piece, SMALL) for _ in range(3))
    assert large < 0.5 or large < 4 * (LARGE / SMALL) * max(small, 0.001)
