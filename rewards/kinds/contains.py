"""The response contains the gold."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ..reading.gold import ReferenceKey, text_gold
from ..reward import Result, kind
from ..types import MAX_SCORE_ANSWER_CHARS, Example, Response, Score
from ..verdict import ReadsText


@kind("contains")
class Contains(ReadsText):
    """Right where the response, without its thoughts, contains the reference, or `text`, anywhere.

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

    def score(self, example: Example, response: Response) -> Result:
        """The reward for right or for wrong; a `Score` with what was met where `explain` is set."""
        gold = self.text
        if gold is None:
            gold = text_gold(example, response, self.reference).strip()
        if not self.ignore_case and gold not in response.text:
            return self._scored(gold, met=False)  # nor is it in a part of the text
        text = self.text_of(response)
        if self.ignore_case:
            return self._scored(gold, met=gold.casefold() in text.casefold())
        return self._scored(gold, met=gold in text)

    def _scored(self, gold: str, *, met: bool) -> Result:
        reward = self.correct_reward if met else self.wrong_reward
        if not self.explain:
            return reward
        read = gold if met else ""
        return Score(reward, {}, self.said(read, (gold,)), (), read[:MAX_SCORE_ANSWER_CHARS])
