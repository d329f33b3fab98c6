r"""The one number that an answer gives; an answer that gives several gives none.

``18 or 19``, ``between 18 and 20``, ``x = 3, y = 4``, ``12:30`` and a term such as ``2\pi`` are no
number. ``9 * 2 = 18`` is the last side of the equation, ``18 dollars for 2 days`` the number that
is stated first: the other one is no answer beside it but words about it.
"""

from __future__ import annotations

import re
from enum import Enum

from .candidates import MAX_ANSWER_CHARS, Candidate
from .notation import canonical, flat, head
from .number import Found, Numeral, find_all, read, tail_start, whole
from .spelled import spelled
from .units import without_units

_WRAPPED = re.compile(r"\\(?:text|textbf|textrm|mathrm|mathbf|mbox|boxed)\s?\{([^{}]*)\}")
_DRESSING = re.compile(r"\^\s?(?:\{\s?\\circ\s?\}|\\circ)|\\[()\[\]]|\$\$|\*\*|`")
_EQUALS = re.compile(r"=|\\approx(?![A-Za-z])")
_PARTS = re.compile(r"[,;]\s|\b(?:and|or)\b")
_DIGIT = re.compile(r"[0-9]")
_JOINT = re.compile(
    r"\s*[,;/&|]+\s*(?:(?:or|and|to)\s+)?|\s*:|\s+:\s+"
    r"|\s*(?:[A-Za-z%]{1,16}[,;]?\s+){0,2}(?:or|and|to|through|until|versus|vs\.?|nor)\s+"
    r"(?:about |around |approximately |even |maybe |possibly )?|\s*(?:-|\\pm)\s*|\s+"
)
_SHORT_CHARS = 60
_MONEY_ONLY = re.compile(r"\\?\$(?=\s*[-0-9.])")


class NoNumber(Enum):
    """Why an answer gives no number."""

    NOTHING = "nothing"
    """There is none in it: the next candidate is looked at."""
    NOT_ONE = "not one"
    """There are several, or a term that is no number: the answer is wrong."""


def one_number(found: Candidate) -> Numeral | NoNumber:
    """The number that a candidate gives, or why it gives none."""
    numeral = whole(found.text)
    if numeral is not None:
        return numeral
    if len(found.text) > MAX_ANSWER_CHARS:
        return NoNumber.NOT_ONE
    if found.source == "free":
        return _last(found.text)
    text = canonical(found.text)
    if found.source != "boxed":
        text = text.rstrip("! ")
    if not _DIGIT.search(text):
        return spelled(head(flat(text)), counted=True) or NoNumber.NOTHING
    numeral = read(text) or read(without_units(text))
    if numeral is not None:
        return numeral
    return _first(text, is_boxed=found.source in ("boxed", "hashes"))


def _first(text: str, *, is_boxed: bool) -> Numeral | NoNumber:
    text = _undressed(text)
    if not is_boxed:
        text = head(text)
    if not _DIGIT.search(text):
        return NoNumber.NOTHING
    if _EQUALS.search(text):
        if sum(bool(_DIGIT.search(part)) for part in _PARTS.split(text)) > 1:
            return NoNumber.NOT_ONE
        text = _EQUALS.split(text)[-1]
    numbers = find_all(text)
    if not numbers or numbers[0].numeral is None:
        return NoNumber.NOT_ONE
    if len(numbers) > 1 and (is_boxed or _are_joined(text, numbers[0], numbers[1])):
        return NoNumber.NOT_ONE
    return numbers[0].numeral


def _last(text: str) -> Numeral | NoNumber:
    text = text.rstrip("! ")
    if len(text) <= _SHORT_CHARS or not text.isascii():
        text = canonical(text)
        numeral = read(text.strip("()[]{}! ")) or spelled(text)
        if numeral is not None:
            return numeral
    start = tail_start(text)
    if start < 0:
        return NoNumber.NOTHING
    window = text[start:]
    if not window.isascii() or "\\" in window or "$" in window or "*" in window:
        window = _undressed(canonical(text))
        window = window[max(tail_start(window), 0) :]
    numbers = find_all(window)
    if not numbers or numbers[-1].numeral is None:
        return NoNumber.NOT_ONE
    if len(numbers) > 1 and _are_joined(window, numbers[-2], numbers[-1]):
        return NoNumber.NOT_ONE
    return numbers[-1].numeral


def _undressed(text: str) -> str:
    text = _WRAPPED.sub(r" \1 ", text) if "\\" in text else text
    text = _DRESSING.sub(" ", text)
    return _MONEY_ONLY.sub("", text).replace("$", " ").replace("_", " ")


def _are_joined(text: str, one: Found, other: Found) -> bool:
    """Whether two numbers stand for one answer each, as in ``18 or 19``."""
    start = other.start
    while text[start].isspace():
        start += 1
    return _JOINT.fullmatch(text, one.end, start) is not None
