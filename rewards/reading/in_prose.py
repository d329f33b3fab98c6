"""Mathematics among words: where the last of it stands, and what is not read of it."""

from __future__ import annotations

import re

from .notation import canonical, has_mathematics, has_prose
from .units import without_units

_MAX_CHARS = 500
# A tuple or an interval that ends the text.
_LAST_BRACKETS = re.compile(r"(?<![A-Za-z0-9}$])([(\[][^()\[\]$]{1,120},[^()\[\]$]{1,120}[)\]])\Z")
# "The polynomial is x^2 - 4"
_LAST_CLAUSE = re.compile(
    r"\b(?:is|are|be|equals?|gives?|get|obtain|have|becomes?):? ([^,;:=$]{1,100})\Z"
)
_BRACKETED_ROOT = re.compile(r"\\sqrt\s?\(([^()]{1,80})\)")


def with_roots(text: str) -> str:
    r"""The text with ``\sqrt(2)`` as ``\sqrt{2}``, which is what the library reads."""
    return _BRACKETED_ROOT.sub(r"\\sqrt{\1}", text) if "\\sqrt" in text else text


def last_clause(text: str) -> str:
    """What the end of the text says that something is; empty: it says nothing so."""
    clause = _LAST_CLAUSE.search(text, max(0, len(text) - _MAX_CHARS))
    return clause[1] if clause else ""


def ends_of(text: str) -> list[str]:
    """The expressions that may end the text, as canonical texts."""
    brackets = _LAST_BRACKETS.search(text, max(0, len(text) - _MAX_CHARS))
    ends = dict.fromkeys(map(canonical, (brackets[1] if brackets else "", last_clause(text))))
    return [end for end in ends if has_mathematics(end) and not has_prose(end)]


_UNIT_IN_PROSE = re.compile(
    r"(?<=[0-9}\)])\s?\\(?:text|textrm|textbf|textnormal|mathrm|mbox)\s?\{([^{}]{1,60})\}(?:\^\{?[1-4]\}?)?"
    r"(?=\s?(?:\$|\\\)|\\\]))"
)


def without_set_units(text: str) -> str:
    """The text without units that are set upright within mathematics."""
    return _UNIT_IN_PROSE.sub(lambda m: "" if without_units(f"1 {m[1]}") == "1" else m[0], text)


_NAME = re.compile(r"(?:[A-Za-z]|\\[a-z]{2,8})(?:_\{?[A-Za-z0-9]{1,8}\}?)?\s?=\s?(?=[-0-9.\\])")


def without_name(text: str) -> str:
    """``x = 5 m`` as ``5 m``: the letter that a quantity with a unit is called by is left out."""
    named = _NAME.match(text)
    side = text[named.end() :] if named else ""
    return side if side and "=" not in side and without_units(side) != side else text


_SIDE = re.compile(r".*(?:=|\\approx)\s?", re.DOTALL)


def last_side(text: str) -> str:
    """What stands after the last ``=`` of one equation or a chain of them."""
    return text if "," in text or ";" in text or " or " in text else _SIDE.sub("", text)
