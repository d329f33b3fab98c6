"""The answer is a number close to the gold."""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache
from typing import Annotated

from pydantic import Field

from ..reading import answer as answers
from ..reading.gold import ReferenceKey, text_gold
from ..reading.number import Numeral, first, last, whole
from ..reward import kind
from ..types import Example, InvalidReference, Response, Score
from ..verdict import AnswerVerdict

_Tolerance = Annotated[float, Field(ge=0, allow_inf_nan=False)]

_WRAPPED = re.compile(r"\\(?:text|textbf|textrm|mathrm|mathbf|mbox)\s*\{([^{}]*)\}")
_DRESSING = re.compile(r"\\[,;!: ()\[\]]|\^\s*\{?\s*\\circ\s*\}?|\$|\*\*")
_EQUALS = re.compile(r".*(?:=|≈|\\approx\b)", re.DOTALL)


def read(text: str) -> Numeral | None:
    r"""The number that a text gives as its answer, or None.

    The answer is found by the conventions of `answer`; in it, what stands after the last ``=`` or
    ``≈`` counts, and there the first number; where no convention is met, the last number of the
    text. A number that is part of a term (``x^2``, ``2\pi``, ``3 - 5``) is none.
    """
    found = answers.find(text)
    if found is None:
        return None
    window = found.text.replace("{,}", ",")
    numeral = whole(window)
    if numeral is not None:
        return numeral
    if "\\" in window:
        window = _WRAPPED.sub(r" \1 ", window).replace("\\%", "%")
    window = _DRESSING.sub(" ", window)
    if found.source == "free":
        return last(window)
    return first(_EQUALS.sub("", window))


@lru_cache(maxsize=4096)
def _gold(text: str) -> Numeral | None:
    return whole(text) or read(text)


@lru_cache(maxsize=64)
def _exact(tolerance: float) -> Decimal:
    return Decimal(repr(tolerance))


@kind("numeric")
class Numeric(AnswerVerdict):
    """Right where the response's number is within max(abs_tol, rel_tol * |gold|) of the gold.

    Numbers are compared exactly, not as floats: 0.1 is a tenth. They may have thousands commas, a
    currency sign, an exponent, a slash (3/4) or a percent sign; where only one of the two has a
    percent sign, 50 % is as good as 50 and as 0.5. A response without a number is wrong; a
    reference without one is INVALID_REFERENCE. Where the number is looked for: see `read`.
    """

    fits_inline = True
    reads_prompt = False

    reference: ReferenceKey = "answer"
    """The reference that holds the gold."""
    abs_tol: _Tolerance = 0.0
    """How far the number may be from the gold."""
    rel_tol: _Tolerance = 0.0
    """The same, as a part of the gold."""

    @property
    def reference_keys(self) -> tuple[str, ...]:
        """The gold's."""
        return (self.reference,)

    def score(self, example: Example, response: Response) -> Score:
        """The reward for right or for wrong."""
        text = text_gold(example, response, self.reference)
        gold = _gold(text)
        if gold is None:
            raise InvalidReference(f"reference {self.reference!r} has no number: {text[:80]!r}")
        numeral = read(response.text)
        if numeral is None:
            return self.judged(None)
        return self.judged(numeral.is_close(gold, _exact(self.abs_tol), _exact(self.rel_tol)))
