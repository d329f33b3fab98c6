"""The response is the gold."""

from __future__ import annotations

from ..reading.gold import ReferenceKey, text_gold
from ..reward import kind
from ..types import Example, Response
from ..verdict import Verdict


@kind("exact")
class Exact(Verdict):
    """Right where the whole response equals the reference.

    A reference that is missing, blank, or neither text nor a number is INVALID_REFERENCE.
    """

    fits_inline = True
    reads_prompt = False

    reference: ReferenceKey = "answer"
    """The reference that holds the gold."""
    strip: bool = True
    """White space at both ends of response and gold does not count."""
    ignore_case: bool = False
    """Upper and lower case are the same."""

    @property
    def reference_keys(self) -> tuple[str, ...]:
        """The gold's."""
        return (self.reference,)

    def score(self, example: Example, response: Response) -> float:
        """The reward for right or for wrong."""
        gold, text = text_gold(example, response, self.reference), response.text
        if self.strip:
            gold, text = gold.strip(), text.strip()
        if self.ignore_case:
            gold, text = gold.casefold(), text.casefold()
        return self.correct_reward if text == gold else self.wrong_reward
