"""One key of the response's JSON is the gold."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Annotated, Any, cast

from pydantic import Field

from ..reading.gold import ReferenceKey, json_gold
from ..reading.json_text import NoJson, is_equal, read_json
from ..reading.number import whole
from ..reward import kind
from ..types import MAX_SCORE_ANSWER_CHARS, Example, Response, Score
from ..verdict import ReadsAnswer


@kind("json_key")
class JsonKey(ReadsAnswer):
    """Right where the response is a JSON object whose `key` holds the reference.

    A gold that is JSON is compared by type: 1 is 1.0, true is not 1, 18 is not "18", key order does
    not count. A gold that is text cannot tell its type: it equals a string, and a number, true,
    false or null that is written so. Only keys of the first level are looked at. A response that is
    no JSON object, has a key twice, or has no such key is wrong, with `parsed` 0.
    """

    key: Annotated[str, Field(min_length=1)]
    """The key to look at in the response."""
    reference: ReferenceKey = "answer"
    """The reference that holds the gold."""
    allow_fence: bool = False
    """The response may be one Markdown code block."""
    as_text: bool = False
    """A JSON gold is compared as text too: 18 is "18", and true is "true"."""
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
        gold, is_text = json_gold(example, response, self.reference)
        gold_text = gold if isinstance(gold, str) else _written(gold)
        try:
            document = read_json(self.text_of(response), fenced=self.allow_fence)
        except NoJson as error:
            return self.judged(None, "", f"no JSON: {error}"[:200] if self.explain else "")
        if not isinstance(document, dict) or self.key not in document:
            return self.judged(None, "", self.said("", (gold_text,)))
        value = cast("dict[str, Any]", document)[self.key]
        answer = (value if isinstance(value, str) else _written(value))[:MAX_SCORE_ANSWER_CHARS]
        right = self._is_gold(value, gold)
        if not right and (is_text or self.as_text):
            right = self._is_text(value, gold_text)
        return self.judged(right, answer, self.said(answer, (gold_text,)))

    def _is_gold(self, value: Any, gold: Any) -> bool:
        if isinstance(value, str) and isinstance(gold, str):
            return self._comparable(value) == self._comparable(gold)
        return is_equal(value, gold)

    def _is_text(self, value: Any, gold: str) -> bool:
        if isinstance(value, str):
            return self._comparable(value) == self._comparable(gold)
        if value is None or isinstance(value, bool):
            return gold.strip() == _written(value)
        if isinstance(value, int | float):
            written, numeral = whole(repr(value)), whole(gold)
            if written is not None and numeral is not None:
                return written.is_close(numeral, _ZERO, _ZERO)
        return False

    def _comparable(self, text: str) -> str:
        if self.strip:
            text = text.strip()
        return text.casefold() if self.ignore_case else text


def _written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


_ZERO = Decimal(0)
