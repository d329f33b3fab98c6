"""Numbers in English words: ``eighteen``, ``forty-two``, ``one hundred and five``."""

from __future__ import annotations

import re
from decimal import Decimal

from .number import Numeral

_SMALL = {
    word: value
    for value, word in enumerate(
        """
        zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen
        fifteen sixteen seventeen eighteen nineteen
        """.split()  # noqa: SIM905 - a list of one word a line says no more
    )
}
_TENS = {
    word: 10 * value
    for value, word in enumerate(
        "twenty thirty forty fifty sixty seventy eighty ninety".split(),  # noqa: SIM905
        start=2,
    )
}
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_WORDS = "|".join((*_SMALL, *_TENS, *_SCALES, "hundred"))
_SPELLED = re.compile(
    rf"(?P<sign>(?:minus|negative)\s)?(?P<words>(?:a (?=hundred|thousand|million|billion))?"
    rf"(?:{_WORDS})\b(?:(?:\s|-|\sand\s|,\s)(?:{_WORDS})\b){{0,20}})",
    re.IGNORECASE,
)
_COUNTED = re.compile(
    r"\s(?!(?:of|or|and|to|by|more|less|way|thing|point|over|out|per|plus|minus|squared|cubed"
    r"|factorial|dozens?|score|lakhs?|crores?|[a-z]*illions?|hal(?:f|ves)|quarters?|thirds?|fourths?"
    r"|fifths?|sixths?|sevenths?|eighths?|ninths?|tenths?|elevenths?|twel(?:f|v)ths?|[a-z]+teenths?"
    r"|[a-z]+tieths?|[a-z]+dredths?|[a-z]+andths?|[a-z]+illionths?)\b)[A-Za-z]{3,20}",
    re.IGNORECASE,
)
"""What is counted, and no part of the number: ``two thirds`` and ``two dozen`` are not 2."""
_PERCENT = re.compile(r"\s?(?:\\?%|percent|per cent)", re.IGNORECASE)
_MAX_CHARS = 200


def spelled(text: str, *, counted: bool = False) -> Numeral | None:
    """The number that the canonical text is; `counted`: one word for what is counted may follow."""
    if not text or not text[0].isalpha() or len(text) > _MAX_CHARS:
        return None
    match = _SPELLED.match(text)
    if match is None:
        return None
    end = match.end()
    percent = _PERCENT.fullmatch(text, end) is not None
    if end < len(text) and not percent and not (counted and _COUNTED.fullmatch(text, end)):
        return None
    value = _value(re.findall(r"[a-z]+", match["words"].lower()))
    if value is None:
        return None
    return Numeral(Decimal(-value if match["sign"] else value), percent=percent)


def _value(words: list[str]) -> int | None:
    """None where the words are several numbers: ``two three``, ``twenty ten``."""
    total, part, least = 0, 0, 10**15
    room = 0  # what may be added to the part: less than this
    for word in words:
        if word in ("and", "a"):
            continue
        if word in _SCALES:
            scale = _SCALES[word]
            if scale >= least:
                return None
            total, part, least, room = total + max(part, 1) * scale, 0, scale, 0
        elif word == "hundred":
            if part > 9 or (part == 0 and total):
                return None
            part, room = max(part, 1) * 100, 100
        else:
            value = _SMALL[word] if word in _SMALL else _TENS[word]
            if part and (value >= room or value == 0):
                return None
            room = 10 if word in _TENS else 1
            part += value
    return total + part
