"""The response is the gold."""

from __future__ import annotations

from functools import cached_property

from ..reading.gold import UNUSUAL, ReferenceKey, text_gold
from ..reading.span import STOP_STRINGS
from ..reward import Result, kind
from ..types import MAX_SCORE_ANSWER_CHARS, Example, Response, Score
from ..verdict import ReadsText


@kind("exact")
class Exact(ReadsText):
    """Right where the whole response, without its thoughts, equals the reference.

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

    def score(self, example: Example, response: Response) -> Result:
        """The reward for right or wrong; a `Score` with the text read where `explain` is set."""
        plain = self._plain
        if plain is not None and not response.references and not response.json_references:
            # Nearly all calls: one gold, compared as it stands.
            gold, text = example.references.get(plain[0]), response.text
            if gold is not None and gold[:1] not in UNUSUAL:
                last = text[-1:]
                if last != gold[-1:] and last not in _UNDECIDED and gold[-1:] not in UNUSUAL:
                    return plain[2]
                right = _equals(text, gold)
                if right is not None:
                    return plain[1] if right else plain[2]
        gold = text_gold(example, response, self.reference)
        text = self._comparable(self.text_of(response))
        right = text == self._comparable(gold)
        reward = self.correct_reward if right else self.wrong_reward
        if not self.explain:
            return reward
        return Score(reward, {}, self.said(text, (gold,)), (), text[:MAX_SCORE_ANSWER_CHARS])

    @cached_property
    def _plain(self) -> tuple[str, float, float] | None:
        """The key, and the rewards for right and wrong, where nothing special is asked for."""
        if self.ignore_case or self.explain or not self.strip or self.stop is not STOP_STRINGS:
            return None
        return self.reference, self.correct_reward, self.wrong_reward

    def _comparable(self, text: str) -> str:
        if self.strip:
            text = text.strip()
        return text.casefold() if self.ignore_case else text


_CLOSERS = frozenset(">]▷")
# The last character of a text that does not tell another one: white space and marks are cut.
_UNDECIDED = _CLOSERS | UNUSUAL


def _equals(text: str, gold: str) -> bool | None:
    """Whether the text is the gold but for white space; None where thoughts have to be cut first.

    What is cut ends in one of `_CLOSERS`, so that a look at two characters decides for most texts.
    """
    text, gold = text.rstrip(), gold.strip()
    if text.endswith(gold):
        before = text[: -len(gold)].rstrip()
        if not before:
            return True
        return None if before[-1] in _CLOSERS else False
    return None if text[-1:] in _CLOSERS else False
