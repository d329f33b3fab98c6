"""The response contains the gold."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ..reading.gold import ReferenceKey, text_golds
from ..reward import Result, kind
from ..types import MAX_SCORE_ANSWER_CHARS, Example, Response, Score
from ..verdict import ReadsText


@kind("contains")
class Contains(ReadsText):
    """Right where the response, without its thoughts, contains the reference, or `text`, anywhere.

    A reference that is missing, blank, or neither text nor a number is INVALID_REFERENCE; of a list
    of these one has to be contained.
    """

    fits_inline = True
    reads_prompt = False

    reference: ReferenceKey = "answer"
    """The reference that holds the gold, or a JSON list of acceptable ones. White space at both
    ends of a gold does not count."""
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
        if self.text is not None:
            golds: tuple[str, ...] = (self.text,)
        else:
            golds = tuple(g.strip() for g in text_golds(example, response, self.reference))
        if len(golds) == 1 and not self.ignore_case and golds[0] not in response.text:
            return self._scored("", golds)  # nor is it in a part of the text
        text = self.text_of(response)
        if self.ignore_case:
            golds, text = tuple(gold.casefold() for gold in golds), text.casefold()
        met = ""
        for gold in golds:
            if gold in text:
                met = gold
                break
        return self._scored(met, golds)

    def _scored(self, met: str, golds: tuple[str, ...]) -> Result:
        reward = self.correct_reward if met else self.wrong_reward
        return (
            Score(reward, {}, self.said(met, golds), (), met[:MAX_SCORE_ANSWER_CHARS])
            if self.explain
            else reward
        )
