"""The answer is a number close to the gold."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from typing import Annotated

from pydantic import Field

from ..reading.candidates import Candidate, candidates
from ..reading.gold import ReferenceKey, text_golds
from ..reading.number import Numeral
from ..reading.one_number import NoNumber, one_number
from ..reward import kind
from ..types import MAX_SCORE_ANSWER_CHARS, Example, InvalidReference, Response, Score
from ..verdict import ReadsAnswer

_Tolerance = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@lru_cache(maxsize=4096)
def _golds(texts: tuple[str, ...]) -> tuple[Numeral, ...] | None:
    golds = tuple(gold for text in texts if (gold := _gold(text)) is not None)
    return golds if len(golds) == len(texts) else None


def _gold(text: str) -> Numeral | None:
    if not any(char.isdecimal() for char in text):
        return None  # a number in words may be any text
    read = one_number(Candidate(text, "tagged"))
    if isinstance(read, Numeral):
        return read
    for found in candidates(text):
        read = one_number(found)
        if read is not NoNumber.NOTHING:
            return read if isinstance(read, Numeral) else None
    return None


@lru_cache(maxsize=64)
def _exact(tolerance: float) -> Decimal:
    return Decimal(repr(tolerance))


@kind("numeric")
class Numeric(ReadsAnswer):
    r"""Right where the response's number is within max(abs_tol, rel_tol * |gold|) of the gold.

    Numbers are compared exactly, not as floats: 0.1 is a tenth. They may be written in any spelling
    (`reading.number`): with thousands commas or spaces, a currency sign, a unit, as a fraction, a
    mixed number, a power of ten, ``1.5 million``, a percent sign; where only one of the two has a
    percent sign, 50 % is as good as 50 and as 0.5. The answer is found as in `math`; where no
    convention is met, it is the last number of the text.

    A response without a number is wrong, and so is one that gives more than one where one is due
    (``18 or 19``) or a term that is no number (``2\pi``). A reference without one is
    INVALID_REFERENCE; a list of numbers is one of acceptable answers.
    """

    fits_inline = True
    reads_prompt = False

    reference: ReferenceKey = "answer"
    """The reference that holds the gold, or a JSON list of acceptable ones."""
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
        texts = text_golds(example, response, self.reference)
        golds = _golds(texts)
        if golds is None:
            raise InvalidReference(f"reference {self.reference!r} has no number: {texts[0][:80]!r}")
        for found in candidates(self.text_of(response)):
            numeral = one_number(found)
            if numeral is NoNumber.NOTHING:
                continue
            answer = found.text[:MAX_SCORE_ANSWER_CHARS]
            correct = self._is_right(numeral, golds) if isinstance(numeral, Numeral) else None
            return self.judged(correct, answer, self.said(answer, texts) if self.explain else "")
        return self.judged(None, "", self.said("", texts))

    def _is_right(self, numeral: Numeral, golds: tuple[Numeral, ...]) -> bool:
        abs_tol, rel_tol = _exact(self.abs_tol), _exact(self.rel_tol)
        return any(numeral.is_close(gold, abs_tol, rel_tol) for gold in golds)
