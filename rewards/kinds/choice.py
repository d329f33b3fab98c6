"""The answer names the right choice of a multiple-choice question, or all the right ones."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator, Field

from ..reading.choice import OPTIONS, choice_candidates, gold_letters, letters
from ..reading.gold import ReferenceKey, text_golds
from ..reward import kind
from ..types import MAX_SCORE_ANSWER_CHARS, Example, InvalidReference, Response, Score
from ..verdict import ReadsAnswer


def _distinct(options: str) -> str:
    if len(set(options)) != len(options):
        raise ValueError("an option is named twice")
    return options


@lru_cache(maxsize=4096)
def _gold(texts: tuple[str, ...], options: str) -> frozenset[str] | None:
    named = [gold_letters(text, options) for text in texts]
    return None if None in named else frozenset[str]().union(*(n for n in named if n))


@kind("choice")
class Choice(ReadsAnswer):
    r"""Right where the response names exactly the choices of the reference, in any order.

    The gold is a letter (``B``, ``(B)``, ``B. 45 cm``), or several of which all are due: ``A,C``,
    ``AC`` or a JSON list. The answer stands where `math` finds one, or is called the choice or the
    option ("the correct option is C"), or is the only letter in brackets of the last line. It is
    the letter alone or with the option's text after it; a letter that begins a sentence ("A
    triangle", "I think") is none. An answer that names other letters too, or leaves open which
    ("A or C"), is wrong; a response that names none is wrong, with `parsed` 0. The text of an
    option without its letter is not read.
    """

    fits_inline = True
    reads_prompt = False

    reference: ReferenceKey = "answer"
    """The reference that holds the letter or letters."""
    options: Annotated[
        str, Field(min_length=1, max_length=26, pattern="^[A-Z]+$"), AfterValidator(_distinct)
    ] = OPTIONS
    """The letters that are options; no other is read as one."""

    @property
    def reference_keys(self) -> tuple[str, ...]:
        """The gold's."""
        return (self.reference,)

    def score(self, example: Example, response: Response) -> Score:
        """The reward for right or for wrong."""
        texts = text_golds(example, response, self.reference)
        gold = _gold(texts, self.options)
        if gold is None:
            raise InvalidReference(
                f"reference {self.reference!r} names no choice of {self.options}: {texts[0][:80]!r}"
            )
        gold_text = ", ".join(sorted(gold))
        for found in choice_candidates(self.text_of(response), self.options):
            named = letters(found.text, self.options)
            if named is not None:
                answer = ", ".join(sorted(named)) or found.text[:MAX_SCORE_ANSWER_CHARS]
                return self.judged(named == gold, answer, self.said(answer, (gold_text,)))
        return self.judged(None, "", self.said("", (gold_text,)))
