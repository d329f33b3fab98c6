"""The parse stage: from an answer to the text that is scored."""

from __future__ import annotations

from typing import Any

from ...text.pattern import compiled
from .schema import ParseResponseConfig, ParseType


class Parse:
    """Takes from a text what is to be scored, by a `ParseResponseConfig` or, without one, as is."""

    __slots__ = ("_pattern", "_strip")

    def __init__(
        self, config: ParseResponseConfig | None, *, strip: bool, dot_matches_newline: bool
    ) -> None:
        """Raises ValueError: the expression is none, is not set, or has more than one group."""
        self._strip = strip
        self._pattern: Any = None
        if config is None or config.parse_type is not ParseType.REGEX_EXTRACT:
            return
        if not config.regex_extract_expression:
            raise ValueError("REGEX_EXTRACT wants an expression")
        self._pattern = compiled(config.regex_extract_expression, dot_nl=dot_matches_newline)
        if self._pattern.groups > 1:
            raise ValueError(f"want at most one capturing group, not {self._pattern.groups}")

    @property
    def extracts(self) -> bool:
        """Whether it takes a part of the text, rather than the text as it is."""
        return self._pattern is not None

    def __call__(self, text: str) -> str | None:
        """The group of the last match, the whole match where there is no group; None: no match."""
        if self._pattern is not None:
            last: Any = None
            for last in self._pattern.finditer(text.encode("utf-8", "replace")):  # noqa: B007
                pass
            found = None if last is None else last.group(self._pattern.groups)
            if found is None:
                return None
            text = found.decode("utf-8", "replace")
        return text.strip() if self._strip else text
