"""The response matches a regular expression, searched in linear time."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any

import re2
from pydantic import AfterValidator, Field, model_validator

from ..reading.gold import ReferenceKey, text_gold
from ..reward import kind
from ..types import Example, InvalidReference, Response
from ..verdict import Verdict


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> Any:
    """The pattern, compiled.

    Raises:
        ValueError: it is no RE2 expression, or needs too much memory.
    """
    untyped: Any = re2
    options = untyped.Options()
    options.log_errors = False
    options.never_capture = True
    try:
        return untyped.compile(pattern, options)
    except untyped.error as error:
        reason: Any = error.args[0] if error.args else "unknown fault"
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise ValueError(f"not an RE2 expression: {text}") from None
    except UnicodeEncodeError:
        raise ValueError("not an RE2 expression: it holds a lone surrogate") from None


def _checked(pattern: str) -> str:
    _compiled(pattern)
    return pattern


@kind("regex")
class Regex(Verdict):
    """Right where the expression is found anywhere in the response.

    The syntax is RE2's (https://github.com/google/re2/wiki/Syntax): no look-around and no
    back-references, and in return no response can make it slow. Write ``(?i)`` to ignore case,
    ``(?s)`` to let ``.`` match a line end, ``^…$`` for the whole response.
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

    def score(self, example: Example, response: Response) -> float:
        """The reward for right or for wrong."""
        pattern = self.pattern
        if pattern is not None:
            compiled = _compiled(pattern)
        else:
            key = self.reference or ""
            try:
                compiled = _compiled(text_gold(example, response, key))
            except ValueError as error:
                raise InvalidReference(f"reference {key!r}: {error}") from None
        # As bytes: for a str the binding also works out offsets in characters, six times slower.
        found = compiled.search(response.text.encode("utf-8", "replace"))
        return self.correct_reward if found is not None else self.wrong_reward
