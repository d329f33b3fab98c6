"""The response matches a regular expression, searched in linear time."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from ..reading.gold import ReferenceKey, text_gold
from ..reading.span import STOP_STRINGS, is_marked
from ..reward import Result, kind
from ..text.pattern import compiled
from ..types import MAX_SCORE_ANSWER_CHARS, Example, InvalidReference, Response, Score
from ..verdict import ReadsText


def _compiled(pattern: str) -> Any:
    return compiled(pattern, captures=False)  # only the whole match is shown


def _checked(pattern: str) -> str:
    _compiled(pattern)
    return pattern


@kind("regex")
class Regex(ReadsText):
    """Right where the expression is found anywhere in the response, without its thoughts.

    The syntax is RE2's (https://github.com/google/re2/wiki/Syntax): no look-around and no
    back-references, and in return no response can make it slow. Write ``(?i)`` to ignore case,
    ``(?s)`` to let ``.`` match a line end, ``^…$`` for the whole response, of which white space
    around it is no part (but with `look_in: all`).
    """

    fits_inline = True
    reads_prompt = False
    libraries = ("google-re2",)

    pattern: Annotated[str, Field(min_length=1), AfterValidator(_checked)] | None = None
    """The expression, the same for every response."""
    reference: ReferenceKey | None = None
    """The reference that holds the expression. One that cannot be compiled is INVALID_REFERENCE."""

    @model_validator(mode="after")
    def _one_source(self) -> Regex:
        if (self.pattern is None) == (self.reference is None):
            raise ValueError("want either `pattern` or `reference`")
        return self

    @property
    def reference_keys(self) -> tuple[str, ...]:
        """The expression's, where it is one."""
        return (self.reference,) if self.reference is not None else ()

    def score(self, example: Example, response: Response) -> Result:
        """The reward for right or for wrong; a `Score` with the match where `explain` is set."""
        search = self._search or self._searched(example, response)
        # As bytes: for a str the binding also works out offsets in characters, six times slower.
        text = response.text
        if self.stop is not STOP_STRINGS or is_marked(text):
            text = self.text_of(response)
        if self.look_in == "answer":
            text = text.strip()
        found = search(text.encode("utf-8", "replace"))
        reward = self.correct_reward if found is not None else self.wrong_reward
        if not self.explain:
            return reward
        read = found[0].decode("utf-8", "replace") if found is not None else ""
        wanted = self.pattern or text_gold(example, response, self.reference or "")
        return Score(reward, {}, self.said(read, (wanted,)), (), read[:MAX_SCORE_ANSWER_CHARS])

    @cached_property
    def _search(self) -> Any:
        return _compiled(self.pattern).search if self.pattern is not None else None

    def _searched(self, example: Example, response: Response) -> Any:
        try:
            return _compiled(text_gold(example, response, self.reference or "")).search
        except ValueError as error:
            raise InvalidReference(f"reference {self.reference!r}: {error}") from None
