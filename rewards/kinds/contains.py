"""The response contains the gold."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ..reading.gold import ReferenceKey, text_gold
from ..reward import kind
from ..types import Example, Response
from ..verdict import Verdict


@kind("contains")
class Contains(Verdict):
    """Right where the response contains the reference, or `text`, anywhere.

    A reference that is missing, blank, or neither text nor a number is INVALID_REFERENCE.
    """

    fits_inline = True
    reads_prompt = False

    reference: ReferenceKey = "answer"
    """The reference that holds the gold. Its white space at both ends does not count."""
    text: Annotated[str, Field(min_length=1)] | None = None
    """What to look for in every response, instead of a reference."""
    ignore_case: bool = False
    """Upper and lower case are the same."""

    @property
    def reference_keys(self) -> tuple[str, ...]:
        """The gold's, where there is one."""
        return () if self.text is not None else (self.reference,)

    def score(self, example: Example, response: Response) -> float:
        """The reward for right or for wrong."""
        gold, text = self.text, response.text
        if gold is None:
            gold = text_gold(example, response, self.reference).strip()
        if self.ignore_case:
            gold, text = gold.casefold(), text.casefold()
        return self.correct_reward if gold in text else self.wrong_reward
