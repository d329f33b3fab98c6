r"""Mathematics: an answer that was found, compared with a gold. Importing this loads sympy.

The cheaper means decide where they are sure: equal text, exact decimals, a number in a base, a
choice letter, words. Everything else is parsed and compared by math-verify
(https://github.com/huggingface/Math-Verify), which gets one spelling of what was written
(`notation`, `units`), and nothing whose cost is not bounded (`bounds`). Constants are compared by
`constants`: it rounds to 6 decimals and 15 digits, so that all that is tiny is equal to it.
"""

from __future__ import annotations

import enum
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

import math_verify
import sympy
from latex2sympy2_extended import NormalizationConfig

from .based import Based, based
from .bounds import MAX_TERMS, TooCostly, weigh
from .candidates import MAX_ANSWER_CHARS, Candidate, candidates
from .choice import gold_letters, is_letters, letters
from .constants import agree
from .in_prose import ends_of, last_clause, last_side, with_roots, without_name, without_set_units
from .limit import Overrun, cpu_limit
from .notation import (
    canonical,
    flat,
    has_loose_numbers,
    has_mathematics,
    has_prose,
    head,
    head_of_words,
    is_filler,
    nesting,
    same_text,
    same_time,
    same_words,
    words_of,
)
from .notation import latex as as_latex
from .number import Numeral, are_rounded, read, whole
from .series import same_series
from .solved import Joint, joint_of, solved_set
from .spelled import spelled
from .unit_sizes import Unit, same_dimension, unit_of
from .units import is_constant, without_units

# It warns of each expression that it parses without a time limit of its own.
logging.getLogger("math_verify").setLevel(logging.ERROR)
_untyped: Any = math_verify
_sympy: Any = sympy
_NORMAL: Any = NormalizationConfig(
    basic_latex=True,
    units=False,  # it would take "c" of "2c" and the text at the end of a sum for units
    malformed_operators=True,
    nits=True,
    boxed="all",
    equations=False,
)
_LATEX: Any = _untyped.LatexExtractionConfig(normalization_config=_NORMAL)
_BOXED: Any = _untyped.LatexExtractionConfig(boxed_match_priority=0, normalization_config=_NORMAL)
_PLAIN: Any = _untyped.ExprExtractionConfig()
MAX_NESTING = 8
"""What has more brackets open at once is not read: the time to parse it grows without measure."""
MAX_PARSED_CHARS = 500
"""A longer expression is right where it is the gold's text, or both are numbers, else wrong."""
LIMIT_S = 0.8
"""The CPU time that one answer, or one gold, may take."""
_DIGITS = 60
_ROUNDED_AWAY = Decimal("1e-6")
_TINY = Decimal("1e-4")
_ZERO = Decimal(0)


class Finding(enum.Enum):
    """What came of reading one candidate."""

    RIGHT = "right"
    WRONG = "wrong"
    UNREADABLE = "unreadable"
    """It is an answer, and none that can be read: too long, too deep, too costly."""
    NOTHING = "nothing"
    """It is no answer: the next candidate is looked at."""
    NO_GOLD = "no gold"
    """The gold alone takes longer than it may."""


class UnreadableGold(ValueError):
    """The gold is no mathematics, or costs too much to evaluate."""


@dataclass(slots=True, frozen=True)
class Gold:
    """A gold, read: its canonical text, and what of a number, letters and words it is."""

    text: str
    body: str
    """The text without units."""
    numeral: Numeral | None
    unit: Unit | None
    based: Based | None
    letters: frozenset[str] | None
    words: str
    terms: float
    """How many terms it may expand to."""
    readable: bool = True

    @property
    def forms(self) -> tuple[Any, ...]:
        """What it is to math-verify; made when first asked for, as most golds are numbers."""
        # Short words may as well be products of variables.
        return () if len(self.words) > 3 or not self.readable else _gold_forms(self.body)


@lru_cache(maxsize=4096)
def read_gold(text: str) -> Gold:
    r"""The gold that a reference gives.

    A solution with ``\boxed{}`` or ``####`` in it is read as a response is; anything else is the
    answer itself: an expression in LaTeX or plain notation, a letter, or words. One that cannot be
    read has `readable` False: only its own text is right.

    Raises:
        UnreadableGold: there is nothing to compare with at all.
    """
    if "\\boxed" in text or "####" in text or "nswer" in text:
        found = next(iter(candidates(text)), None)
        if found is not None and found.source != "free":
            text = head(canonical(found.text)) if found.source == "stated" else found.text
    plain = without_name(canonical(text))
    if not plain or len(plain) > MAX_ANSWER_CHARS:
        raise UnreadableGold("is blank or too long")
    body = without_units(plain)
    numeral, unit = _number(body), unit_of(plain, body)
    in_base = None if numeral is not None else based(body)
    named = gold_letters(plain) if is_letters(plain) else None
    gold = Gold(plain, body, numeral, unit, in_base, named, words_of(plain), 1.0)
    if gold.numeral is not None or gold.based or gold.letters or len(gold.words) > 3:
        return gold
    try:
        terms = _weighed(as_latex(body))
        forms = _limited_forms(body)
    except (TooCostly, Overrun):
        return Gold(plain, body, None, unit, None, None, gold.words, 1.0, readable=False)
    # Text is what math-verify falls back to where it understands nothing.
    readable = bool(gold.words) or not all(isinstance(form, str) for form in forms)
    return Gold(plain, body, None, unit, None, None, gold.words, terms, readable)


def _number(body: str) -> Numeral | None:
    """The number that a canonical text without its unit is, in digits or in words."""
    numeral = whole(body) or read(body)
    if numeral is None and "{" in body:
        numeral = read(flat(body))
    return numeral or spelled(flat(body) if "{" in body else body)


def judge(golds: Sequence[Gold], found: Candidate) -> Finding:
    """Whether a candidate is one of the golds."""
    if len(golds) == 1:
        return _judge(golds[0], found)
    findings = [_judge(gold, found) for gold in golds]
    for finding in (Finding.RIGHT, Finding.NO_GOLD, Finding.WRONG, Finding.UNREADABLE):
        if finding in findings:
            return finding
    return Finding.NOTHING


def _judge(gold: Gold, found: Candidate) -> Finding:
    text = found.text
    if gold.numeral is not None and gold.unit is None:
        finding = _agree_as_numbers(whole(text), gold.numeral)
        if finding is not None:
            return finding
    if len(text) > MAX_ANSWER_CHARS:
        return Finding.UNREADABLE
    plain = without_name(canonical(text)) if is_constant(gold.body) else canonical(text)
    if plain and same_text(plain, gold.text):
        return Finding.RIGHT
    if ":" in plain and (same := same_time(gold.text, plain)) is not None:
        return Finding.RIGHT if same else Finding.WRONG
    if (same := same_series(gold.text, plain)) is not None:
        return Finding.RIGHT if same else Finding.WRONG
    if not gold.readable:
        return Finding.NOTHING
    for reading in (_by_unit, _by_numbers, _by_base, _by_letters, _by_words):
        finding = reading(gold, plain, found)
        if finding is not None:
            return finding
    return _by_mathematics(gold, plain, found)


def _by_unit(gold: Gold, plain: str, found: Candidate) -> Finding | None:
    """Where both have a unit, and not the same, what they come to is compared."""
    if gold.unit is None:
        return None
    text = plain if found.source in ("boxed", "free") else head(plain)
    body = without_units(text)
    unit = unit_of(text, body)
    if unit is None or (same := same_dimension(unit, gold.unit)) is None:
        return None
    if not same or (numeral := _number(body)) is None or gold.numeral is None:
        return Finding.WRONG
    same = numeral.times(unit.size).is_close(gold.numeral.times(gold.unit.size), _ZERO, _ZERO)
    return Finding.RIGHT if same else Finding.WRONG


def _by_numbers(gold: Gold, plain: str, found: Candidate) -> Finding | None:
    if gold.numeral is None:
        return None
    body = without_units(plain)
    numeral = _number(body)
    if numeral is None and found.source != "boxed" and plain.endswith("!"):
        # A factorial, or the end of a sentence: right as either.
        numeral = read(without_units(plain.rstrip("! ")))
        finding = _agree_as_numbers(numeral, gold.numeral)
        return finding if finding is Finding.RIGHT else None
    if numeral is None and found.source == "boxed" and "\\approx" in plain:
        sides = [_number(without_units(side.strip())) for side in plain.split("\\approx", 4)]
        findings = [_agree_as_numbers(side, gold.numeral) for side in sides]
        told = Finding.RIGHT if are_rounded(sides) else Finding.WRONG
        return told if Finding.RIGHT in findings else None
    if numeral is None and found.source not in ("boxed", "free"):
        body = without_units(last_side(head(plain)))
        numeral = _number(body) or spelled(body, counted=True)
    return _agree_as_numbers(numeral, gold.numeral)


def _agree_as_numbers(numeral: Numeral | None, gold: Numeral) -> Finding | None:
    """Whether two numbers are equal; None where that is not for exact arithmetic to say."""
    if numeral is None:
        return None
    if numeral.is_close(gold, _ZERO, _ZERO):
        return Finding.RIGHT
    if numeral.percent or gold.percent:
        return None
    if abs(gold.value) < _TINY * gold.denominator:
        return Finding.WRONG
    # What differs by no more than math-verify rounds away is left to it.
    return None if numeral.is_close(gold, _ROUNDED_AWAY, _ZERO) else Finding.WRONG


def _by_base(gold: Gold, plain: str, found: Candidate) -> Finding | None:
    if gold.based is None:
        return None
    for text in (plain, head(plain)) if found.source != "free" else (plain,):
        number = based(text)
        if number is not None:
            return Finding.RIGHT if number.value == gold.based.value else Finding.WRONG
        # The base is the question's where the answer has none.
        if re.fullmatch(r"[0-9A-Za-z]+", text):
            same = text.casefold() == gold.based.digits.casefold()
            return Finding.RIGHT if same else Finding.WRONG
    return None


def _by_letters(gold: Gold, _plain: str, found: Candidate) -> Finding | None:
    if gold.letters is None:
        return None
    named = letters(found.text)
    if named is None:
        return Finding.NOTHING if found.source == "stated" else None
    return Finding.RIGHT if named == gold.letters else Finding.WRONG


def _by_words(gold: Gold, plain: str, found: Candidate) -> Finding | None:
    if not gold.words:
        return None
    if found.source == "free":  # all of it, or what its last sentence says that something is
        same = any(same_words(words_of(t), gold.words) for t in (plain, last_clause(plain)))
        return Finding.RIGHT if same else None
    for words in (words_of(plain), words_of(head_of_words(plain))):
        if words and same_words(words, gold.words):
            return Finding.RIGHT
    if not gold.forms:
        return Finding.NOTHING if not plain or is_filler(plain) else Finding.WRONG
    return None


def _by_mathematics(gold: Gold, plain: str, found: Candidate) -> Finding:
    if not has_mathematics(plain) and (" " in plain or len(plain) > 3):
        return Finding.NOTHING
    if has_loose_numbers(as_latex(plain)) and not has_prose(plain):
        return Finding.WRONG
    try:
        with cpu_limit(LIMIT_S):
            finding = Finding.NOTHING
            for text, in_prose in _spellings(gold, plain, found):
                finding = _verified(gold, text, in_prose)
                if finding is Finding.RIGHT:
                    break
            return finding
    except TooCostly:
        return Finding.UNREADABLE
    except Overrun:
        return Finding.NO_GOLD if _overruns(gold) else Finding.UNREADABLE


@lru_cache(maxsize=1024)
def _overruns(gold: Gold) -> bool:
    """Whether it is the gold that takes too long, not what it was compared with."""
    try:
        with cpu_limit(LIMIT_S):
            _equal(gold, [_sympy.Integer(7)], 1.0)
    except Overrun:
        return True
    return False


def _spellings(gold: Gold, plain: str, found: Candidate) -> list[tuple[str, bool]]:
    """The texts to read, in order, each with whether the mathematics has to be looked for in it."""
    if found.source == "boxed":
        stated, prose = plain, False
    else:
        stated = plain if found.source == "free" else head(plain)
        prose = has_prose(without_units(stated))
    if prose:
        if found.source != "free":
            return [(f"Answer: {found.text}", True)]
        return [*((end, False) for end in ends_of(stated)), (with_roots(found.text), True)]
    body = without_units(stated)
    # "43 m" is a product where the gold has a variable.
    texts = [stated, body] if body != stated and not is_constant(gold.body) else [body]
    spellings = [(text, False) for text in texts]
    return [*spellings, (with_roots(found.text), True)] if found.source == "free" else spellings


def _verified(gold: Gold, text: str, in_prose: bool) -> Finding:
    forms = _in_prose(text) if in_prose else _boxed(text)
    terms = 1.0 if in_prose else weigh(as_latex(text)).terms
    if not forms or all(isinstance(form, str) for form in forms):
        # As in a gold, text alone means that nothing was understood.
        same = _untyped.verify(list(gold.forms), forms, timeout_seconds=None) if forms else False
        return Finding.RIGHT if same else Finding.NOTHING
    return Finding.RIGHT if _equal(gold, forms, terms, joint_of(text)) else Finding.WRONG


def _equal(gold: Gold, forms: list[Any], terms: float, joint: Joint = Joint.NONE) -> bool:
    is_large = max(terms, gold.terms) > MAX_TERMS
    return any(_same(wanted, form, is_large, joint) for wanted in gold.forms for form in forms)


def _same(wanted: Any, form: Any, is_large: bool, joint: Joint) -> bool:
    if isinstance(wanted, str) or isinstance(form, str):
        return wanted == form
    if isinstance(wanted, _sympy.Set) and (told := solved_set(form, joint)) is not None:
        form = told
    if is_large:  # as they stand, but for the order of sums and products
        return wanted == form or wanted.doit() == form.doit()
    same = agree(wanted, form)
    if same is None:
        same = _untyped.verify(wanted, form, numeric_precision=_DIGITS, timeout_seconds=None)
    return bool(same)


def _weighed(text: str) -> float:
    if len(text) > MAX_PARSED_CHARS or nesting(text) > MAX_NESTING:
        raise TooCostly("too long or too deep")
    return weigh(text).terms


@lru_cache(maxsize=4096)
def _gold_forms(body: str) -> tuple[Any, ...]:
    return tuple(_boxed(body))


def _limited_forms(body: str) -> tuple[Any, ...]:
    with cpu_limit(LIMIT_S):
        return _gold_forms(body)


def _boxed(plain: str) -> list[Any]:
    text = as_latex(plain)
    if not text:
        return []
    _weighed(text)
    return _untyped.parse(f"\\boxed{{{text}}}", [_BOXED], parsing_timeout=None)


def _in_prose(text: str) -> list[Any]:
    text = without_set_units(text)
    if nesting(text) > MAX_NESTING + 1:
        raise TooCostly("too deep")
    weigh(text)
    return _untyped.parse(text, [_LATEX, _PLAIN], parsing_timeout=None)


def warm_up() -> None:
    """Loads what the first expression would wait for: grammars, tables, caches of sympy."""
    gold = read_gold(r"\frac{\sqrt{2}}{2}")
    if judge([gold], Candidate(r"\frac{1}{\sqrt{2}}", "boxed")) is not Finding.RIGHT:
        raise RuntimeError("math-verify does not find that 1/sqrt(2) is sqrt(2)/2")
