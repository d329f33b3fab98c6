r"""Whole numbers in a base: ``203_5``, ``1A_{16}``, ``(1011)_2``, ``203 base 5``."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAMES = {
    name: base
    for base, name in enumerate(
        """
        two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
        """.split(),  # noqa: SIM905 - a list of one word a line says no more
        start=2,
    )
}
_BASE = r"(?P<base>[0-9]{1,2}|" + "|".join(_NAMES) + ")"
_BASED = re.compile(
    r"(?P<sign>-?)(?:\((?P<held>[0-9A-Za-z]{1,200})\)|(?:\\(?:text|mathrm)\{)?(?P<digits>[0-9A-Za-z]{1,200})\}?)"
    rf"\s?(?:_\s?(?:\{{\s?(?:\\(?:text|mathrm)\s?\{{)?\s?\(?{_BASE}\)?\s?\}}{{1,2}}"
    rf"|{_BASE.replace('<base>', '<bare>')})"
    rf"|(?:\\text\{{\s?)?\s?\(?(?:in )?base[- ]{_BASE.replace('<base>', '<said>')}\)?\}}?)"
)


@dataclass(slots=True, frozen=True)
class Based:
    """A number as it is written in a base, and its value."""

    digits: str
    base: int
    value: int


def based(text: str) -> Based | None:
    """The number in a base that the canonical text is; None when it is none."""
    if "_" not in text and "base" not in text:
        return None
    match = _BASED.fullmatch(text)
    if match is None:
        return None
    named = match["base"] or match["bare"] or match["said"]
    base = _NAMES.get(named) or int(named)
    digits = match["held"] or match["digits"]
    try:
        value = int(digits, base)
    except ValueError:  # a digit beyond the base, a base beyond 36: a name with an index
        return None
    return Based(digits, base, -value if match["sign"] else value)
