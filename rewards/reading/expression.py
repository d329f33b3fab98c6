r"""Mathematical expressions: read from an answer, compared with a gold. Importing this loads sympy.

Parsing and comparing is math-verify's (https://github.com/huggingface/Math-Verify) with its
time-outs off: they rest on `signal.alarm`, and here a process that hangs is killed from outside.
Cheaper means decide only where the verdict is sure to be the same: equal text is equal, and two
decimal numbers are compared exactly. Those that differ by no more than 1e-6, which math-verify
rounds away, are left to it.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

import math_verify

from . import answer as answers
from .answer import Answer
from .notation import has_prose, letter_of, nesting, normal, words_of
from .notation import latex as as_latex
from .number import Numeral, whole

_untyped: Any = math_verify
_LATEX: Any = _untyped.LatexExtractionConfig()
_BOXED: Any = _untyped.LatexExtractionConfig(boxed_match_priority=0)
_PLAIN: Any = _untyped.ExprExtractionConfig()
MAX_NESTING = 8
"""What has more brackets open at once is not read: the time to parse it grows without measure."""
_ROUNDED_AWAY = Decimal("1e-6")
_ZERO = Decimal(0)


@dataclass(slots=True, frozen=True)
class Gold:
    """A gold, read: its text, and what of a number, a letter and words it is ("" if not)."""

    text: str
    numeral: Numeral | None
    letter: str
    words: str

    @property
    def forms(self) -> tuple[Any, ...]:
        """What it is to math-verify; made when first asked for, as most golds are numbers."""
        # Short words may as well be products of variables.
        return () if len(self.words) > 3 else _gold_forms(self.text)


@lru_cache(maxsize=4096)
def read_gold(text: str) -> Gold | None:
    r"""The gold that a reference gives, or None where it cannot be read.

    A solution with ``\boxed{}`` or ``####`` in it is read as a response is; anything else is the
    answer itself: an expression in LaTeX or plain notation, a letter, or words.
    """
    if "\\boxed" in text or "####" in text:
        found = answers.find(text)
        if found is None:
            return None
        text = found.text
    plain = normal(text)
    letter = letter_of(plain) if len(plain) <= 3 else ""
    gold = Gold(plain, whole(plain), letter, words_of(plain))
    if gold.numeral is not None or gold.letter or gold.words:
        return gold
    # Text is what math-verify falls back to where it understands nothing.
    return None if all(isinstance(form, str) for form in gold.forms) else gold


def is_right(gold: Gold, found: Answer) -> bool | None:
    """Whether the answer is the gold; None where the answer cannot be read."""
    verdict = _agree_as_numbers(found.text, gold)
    if verdict is not None:
        return verdict
    plain = normal(found.text)
    if plain == gold.text:
        return True
    verdict = _agree_as_numbers(plain, gold)
    if verdict is not None:
        return verdict
    if found.source != "free":
        if gold.letter and (letter := letter_of(plain)):
            return letter == gold.letter
        if gold.words:
            if gold.words in (
                words_of(plain),
                words_of(re.split(r"[,.;(\n]", plain, maxsplit=1)[0]),
            ):
                return True
            if not gold.forms:
                return False if plain else None
    forms = _forms(found, plain)
    if _untyped.verify(list(gold.forms), forms, timeout_seconds=None):
        return True
    # As in a gold, text alone means that nothing was understood.
    return None if all(isinstance(form, str) for form in forms) else False


def _agree_as_numbers(text: str, gold: Gold) -> bool | None:
    """Whether two numbers are equal; None where that is not for exact arithmetic to say."""
    if gold.numeral is None or gold.numeral.percent:
        return None
    numeral = whole(text)
    if numeral is None or numeral.percent:
        return None
    if numeral.is_close(gold.numeral, _ZERO, _ZERO):
        return True
    return None if numeral.is_close(gold.numeral, _ROUNDED_AWAY, _ZERO) else False


def _forms(found: Answer, plain: str) -> list[Any]:
    if found.source == "free":
        return _parse(found.text, [_LATEX, _PLAIN])
    if found.source == "boxed" or not has_prose(plain):
        return _boxed(plain)
    return _parse(f"Answer: {found.text}", [_LATEX, _PLAIN])


@lru_cache(maxsize=4096)
def _gold_forms(plain: str) -> tuple[Any, ...]:
    return tuple(_boxed(plain))


def _boxed(plain: str) -> list[Any]:
    return _parse(f"\\boxed{{{as_latex(plain)}}}", [_BOXED]) if plain else []


def _parse(text: str, targets: list[Any]) -> list[Any]:
    # The box around it is one bracket more.
    if nesting(text) > MAX_NESTING + 1:
        return []
    return _untyped.parse(text, targets, parsing_timeout=None)


def warm_up() -> None:
    """Loads what the first expression would wait for: grammars, tables, caches of sympy."""
    logging.getLogger("math_verify").setLevel(logging.ERROR)
    gold = read_gold(r"\frac{1}{2}")
    if gold is None or not is_right(gold, Answer(r"\frac{\sqrt{4}}{4}", "boxed")):
        raise RuntimeError("math-verify does not find that sqrt(4)/4 is 1/2")
