"""The answer is mathematically equal to the gold."""

from __future__ import annotations

from typing import Any

from ..reading import answer as answers
from ..reading.gold import ReferenceKey, text_gold
from ..reward import kind
from ..types import Example, InvalidReference, Response, Score
from ..verdict import AnswerVerdict


@kind("math")
class Math(AnswerVerdict):
    r"""Right where the response's final answer equals the reference as mathematics.

    The answer is the last ``\boxed{}``, else the last ``####``, else what follows the last ``A:``
    or "answer is", else the last expression of the text (see `answer` for the whole order). It and
    the gold may be numbers with commas, currency, percent signs and units, fractions, roots, sets,
    intervals, tuples, equations, inequalities, matrices, a letter or words; in LaTeX or plain. They
    are compared by math-verify, numbers to 6 decimals. A response without an answer that can be
    read is wrong; a gold that cannot be read is INVALID_REFERENCE.

    Some expressions take sympy for ever (``9^{9^{9^{9}}}``): run it where a time-out kills.
    """

    reads_prompt = False
    libraries = ("math-verify", "latex2sympy2-extended", "sympy", "antlr4-python3-runtime")

    reference: ReferenceKey = "answer"
    """The reference that holds the gold: the answer, or a solution with a box or ``####`` in it."""

    @property
    def reference_keys(self) -> tuple[str, ...]:
        """The gold's."""
        return (self.reference,)

    def setup(self) -> None:
        """Loads sympy and the grammars."""
        _expression().warm_up()

    def score(self, example: Example, response: Response) -> Score:
        """The reward for right or for wrong."""
        expression = _expression()
        text = text_gold(example, response, self.reference)
        gold = expression.read_gold(text)
        if gold is None:
            raise InvalidReference(
                f"reference {self.reference!r} cannot be read as mathematics: {text[:80]!r}"
            )
        found = answers.find(response.text)
        return self.judged(None if found is None else expression.is_right(gold, found))


def _expression() -> Any:
    # Not at the top: listing the kinds must not take the second that loading sympy takes.
    from ..reading import expression

    return expression
