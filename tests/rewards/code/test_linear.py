"""Where a program stands in a response is found in time proportional to the response's length."""

from __future__ import annotations

import gc
import time
from typing import get_args

import pytest
from rewardplane.rewards.code.candidates import Which, find_candidates

SMALL, LARGE = 2**13, 2**17
PIECES = [
    *("```", "```python\n", "```\n", "~~~\n", "```python\nx = 1\n```\n", "````\n", " ```py\n", "`"),
    *("\n", " \n", "    x = 1\n", "def f():\n", "\t", ">", "> ```\n", "1. ```\n", "</think>", "<"),
    *(
        "```python\ndef f(",
        "class A:\n",
        "import os\n",
        "(",
        "[",
        '"""',
        "'",
        "\\\n",
        "#",
        "é",
        "\r",
    ),
    *("<answer>", "[PYTHON]", "<code>", "return ", "if x:\n ", "a = ", "lambda:", "0", "x,"),
]


def cpu_s(text: str, which: Which) -> float:
    """Without the collector, which walks through all that the tests before have left."""
    gc.disable()
    begin_s = time.process_time()
    try:
        find_candidates(text, which)
        return time.process_time() - begin_s
    finally:
        gc.enable()


@pytest.mark.parametrize("which", get_args(Which))
def test_programs_are_found_in_linear_time(which: Which) -> None:
    for piece in PIECES:
        for before in ("", "```python\n", "def f():\n    return 1\n"):
            large_s = cpu_s(before + piece * (LARGE // len(piece)), which)
            if large_s > 0.1:
                small_s = cpu_s(before + piece * (SMALL // len(piece)), which)
                assert large_s < 40 * max(small_s, 0.003), (piece, before, small_s, large_s)
