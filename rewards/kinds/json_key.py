"""One key of the response's JSON is the gold."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, cast

from pydantic import Field

from ..reading.gold import ReferenceKey
from ..reading.json_text import NoJson, is_equal, read_json
from ..reading.number import whole
from ..reward import kind
from ..types import Example, InvalidReference, Response, Score, reference
from ..verdict import AnswerVerdict


@kind("json_key")
class JsonKey(AnswerVerdict):
    """Right where the response is a JSON object whose `key` holds the reference.

    The gold may be any JSON value, compared as such (1 is 1.0, true is not 1, key order does not
    count). A gold given as text equals a string of the response, and a number or true/false that
    is written so: ``18`` equals 18. Only keys of the first level are looked at. A response that is
    no JSON object or has no such key is wrong, with `parsed` 0.
    """

    key: Annotated[str, Field(min_length=1)]
    """The key to look at in the response."""
    reference: ReferenceKey = "answer"
    """The reference that holds the gold."""
    allow_fence: bool = False
    """The response may be one Markdown code block."""
    strip: bool = True
    """White space at both ends of a string does not count, where the gold is one too."""
    ignore_case: bool = False
    """In such a string, upper and lower case are the same."""

    @property
    def reference_keys(self) -> tuple[str, ...]:
        """The gold's."""
        return (self.reference,)

    def score(self, example: Example, response: Response) -> Score:
        """The reward for right or for wrong."""
        gold = reference(example, response, self.reference)
        if gold == "":
            raise InvalidReference(f"reference {self.reference!r} is empty")
        try:
            document = read_json(response.text, fenced=self.allow_fence)
        except NoJson:
            return self.judged(None)
        if not isinstance(document, dict) or self.key not in document:
            return self.judged(None)
        value = cast("dict[str, Any]", document)[self.key]
        return self.judged(self._is_gold(value, gold))

    def _is_gold(self, value: Any, gold: Any) -> bool:
        if not isinstance(gold, str):
            return is_equal(value, gold)
        if isinstance(value, str):
            return self._comparable(value) == self._comparable(gold)
        if isinstance(value, bool):
            return gold.strip() == ("true" if value else "false")
        if isinstance(value, int | float):
            written, numeral = whole(repr(value)), whole(gold)
            if written is not None and numeral is not None:
                return written.is_close(numeral, _ZERO, _ZERO)
        return False

    def _comparable(self, text: str) -> str:
        if self.strip:
            text = text.strip()
        return text.casefold() if self.ignore_case else text


_ZERO = Decimal(0)
