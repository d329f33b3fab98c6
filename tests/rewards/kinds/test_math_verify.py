"""Where `math` differs from bare math-verify: on its own labelled tests, and by kinds of fault.

math-verify 0.9.0 has 275 pairs with a label in its tests. `math` meets 263 of the labels; the rows
of `ARGUED` are the kinds of the other twelve, each with the reason. `BETTER` are pairs on which
bare math-verify is wrong.
"""

from __future__ import annotations

import logging
from typing import Any

import math_verify
import pytest
from rewardplane.rewards import Example, Response, Score
from rewardplane.rewards.registry import build
from rewardplane.rewards.run import Clip, run_item

REWARD = build("math", {})
_untyped: Any = math_verify


def ours(gold: str, text: str) -> bool:
    outcome = run_item(REWARD, (Example(references={"answer": gold}), Response(text)), Clip())
    assert isinstance(outcome, Score), outcome
    return outcome.reward == 1.0


def bare(gold: str, text: str) -> bool:
    logging.getLogger("math_verify").setLevel(logging.ERROR)
    config = [
        _untyped.LatexExtractionConfig(boxed_match_priority=0),
        _untyped.ExprExtractionConfig(),
    ]
    parsed = [_untyped.parse(t, config, parsing_timeout=None) for t in (gold, text)]
    return bool(_untyped.verify(*parsed, timeout_seconds=None))


ARGUED = [
    # (gold, response, bare, ours): why
    ("1,22", "1.22", True, False),  # a comma parts two numbers, or groups of three digits
    (
        "$9$",
        "Answer $ \n 9 \n $",
        True,
        True,
    ),  # their test, of LaTeX alone, wants no answer: it is 9
    (
        "$1 - \\frac{1}{\\mathrm{e}}$",
        "$1 + \\frac{1}{\\mathrm{e}}$",
        True,
        False,
    ),  # the label is wrong
    ("$f(x)$", "$f(y)$", False, False),  # wants `strict=False`, a parameter that `math` has not
    ("$x \\in [-2,7]$", "$-2 \\le x \\le 7$", False, False),  # wants `allow_set_relation_comp`
    ("$(\\frac{3}{5},\\frac{8}{3}]$", "$(0.6,2.6667]$", False, False),  # wants two decimals only
    # Boxes that words part are several answers, and the last is read.
    ("$(3, 3), (1, 1)$", r"$\boxed{(3, 3)} \text{ for part (a) and } \boxed{(1, 1)}$", True, False),
    (r"\boxed{1} papers and \boxed{2} bins", r"$\boxed{1,2}$", True, False),
]


@pytest.mark.parametrize(("gold", "text", "bares", "own"), ARGUED)
def test_the_disagreements_on_its_own_tests(gold: str, text: str, bares: bool, own: bool) -> None:
    assert bare(gold, text) is bares
    assert ours(gold, text) is own


BETTER = [
    # (gold, response, right)
    (r"\frac{1}{3^{80}}", r"\boxed{\frac{1}{3^{79}}}", False),
    (r"9.11 \times 10^{-31}", r"\boxed{1.67\times 10^{-27}}", False),
    ("1.6e-19", r"\boxed{1.6 \times 10^{-19}}", True),
    (r"2-\frac{3}{e}", r"\boxed{2-\frac{3}{\mathrm{e}}}", True),
    ("2", r"\boxed{2\mathrm{e}}", False),
    ("2", r"\boxed{2c}", False),
    ("203_5", r"\boxed{203_6}", False),
    ("70", r"\boxed{43 27}", False),
    ("43279", r"\boxed{43\,279}", True),
    ("17", r"<think>\boxed{17}", False),
]


@pytest.mark.parametrize(("gold", "text", "right"), BETTER)
def test_where_it_is_wrong(gold: str, text: str, right: bool) -> None:
    assert bare(f"${gold}$", text) is not right
    assert ours(gold, text) is right
