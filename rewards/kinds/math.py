"""The answer is mathematically equal to the gold."""

from __future__ import annotations

from functools import cache
from typing import Any

from ..reading.candidates import candidates
from ..reading.choice import OPTIONS, choice_candidates
from ..reading.gold import ReferenceKey, text_golds
from ..reward import kind
from ..types import MAX_SCORE_ANSWER_CHARS, Example, InvalidReference, Response, Score
from ..verdict import ReadsAnswer


@kind("math")
class Math(ReadsAnswer):
    r"""Right where the response's final answer equals the reference as mathematics.

    The answer is the last ``\boxed{}`` that can be read, else the last ``####``, else what follows
    the last ``A:`` or "answer is", else the last expression of the text (`reading.candidates` has
    the whole order). It and the gold may be numbers in any spelling, with units, currency and
    percent signs, fractions, roots, sets, intervals, tuples, equations, inequalities, matrices,
    numbers in a base, a choice letter or words; in LaTeX or plain. Expressions are compared by
    math-verify. A list of golds is one of acceptable answers.

    A response without an answer that can be read is wrong, and so is one whose answer costs more
    than 2 s to evaluate; a gold that cannot be read, or costs that, is INVALID_REFERENCE, but for a
    response whose answer is the same text.
    """

    reads_prompt = False
    libraries = ("math-verify", "latex2sympy2-extended", "sympy", "antlr4-python3-runtime")

    reference: ReferenceKey = "answer"
    """The reference that holds the gold: the answer, or a solution with a box or ``####`` in it, or
    a JSON list of acceptable answers."""

    @property
    def reference_keys(self) -> tuple[str, ...]:
        """The gold's."""
        return (self.reference,)

    def setup(self) -> None:
        """Loads sympy and the grammars."""
        _mathematics().warm_up()

    def score(self, example: Example, response: Response) -> Score:
        """The reward for right or for wrong.

        Raises:
            InvalidReference: the gold is missing, or cannot be read and the answer is another.
        """
        mathematics = _mathematics()
        texts = text_golds(example, response, self.reference)
        try:
            golds = [mathematics.read_gold(text) for text in texts]
        except mathematics.UnreadableGold as error:
            raise InvalidReference(
                f"reference {self.reference!r} {error}: {texts[0][:80]!r}"
            ) from None
        judge, nothing = mathematics.judge, mathematics.Finding.NOTHING
        finding, answer = nothing, ""
        text = self.text_of(response)
        places = candidates(text) if golds[0].letters is None else choice_candidates(text, OPTIONS)
        for found in places:
            finding = judge(golds, found)
            if finding is not nothing:
                answer = found.text[:MAX_SCORE_ANSWER_CHARS]
                break
        if finding is mathematics.Finding.NO_GOLD:
            raise InvalidReference(
                f"reference {self.reference!r} takes too long to evaluate: {texts[0][:80]!r}"
            )
        correct = _CORRECT[finding.value]
        is_told = finding is mathematics.Finding.WRONG and len(golds) == 1
        if not (correct or is_told) and not all(gold.readable for gold in golds):
            raise InvalidReference(
                f"reference {self.reference!r} cannot be read as mathematics: {texts[0][:80]!r}"
            )
        return self.judged(correct, answer, self.said(answer, texts) if self.explain else "")


_CORRECT = {"right": True, "wrong": False, "unreadable": None, "nothing": None}


@cache
def _mathematics() -> Any:
    # Not at the top: listing the kinds must not take the second that loading sympy takes.
    from ..reading import mathematics

    return mathematics
