r"""Units, currencies and counted things after a number: they say what was counted, not how many.

A unit is dropped after a number or another constant term, never where a variable stands, and never
an operand: ``12\pi \text{ cm}^2`` is ``12\pi``; ``2\mathrm{e}``, ``x + \text{C}`` and ``2c`` stay.
"""

from __future__ import annotations

import re

_WRAP = re.compile(
    r"\\(?:text|textrm|textbf|textit|textnormal|mathrm|mathit|mathbf|mbox|operatorname|rm|unit)"
    r"\s?\{([^{}]*)\}"
)
# Symbols that are units even where nothing parts them from the number.
_JOINED = frozenset(
    """
    m g s L N J W V Hz kHz MHz GHz km cm mm dm nm kg mg lb lbs oz ml mL dL kL mph kph kmh kW MW kWh
    kJ kN kPa MPa Pa atm mol rad deg min hr hrs sec ft yd mi in cc sqft USD EUR GBP eV keV MeV GeV
    mA kV mV MB GB TB kB bits bytes
    """.split()  # noqa: SIM905 - a list of one word a line says no more
)
# Those that are variables as well, and units only after a space.
_SYMBOLS = _JOINED | frozenset("AKCFThldtcyHSuM") | {"\\Omega", "\\mu", "\\AA"}
# What changes the number, or joins another one to it.
_CHANGERS = re.compile(
    r"\b(?:percent|percentage|pct|hundred|thousand|million|billion|trillion|dozen|half|halve|halves|"
    r"third|quarter|fourth|fifth|sixth|eighth|tenth|pi|and|or|to|plus|minus|times|over|sqrt|by|mod|"
    r"base|not|than|between|more|less|if|for all)s?\b",
    re.IGNORECASE,
)
_SYMBOL = r"(?:[A-Za-z]{1,12}|\\Omega|\\mu|\\AA)\.?(?:\s?\^\s?\{?-?[1-4]\}?)?"
_PHRASE = re.compile(
    rf"(?P<first>{_SYMBOL})(?:\s?(?:/|\\cdot|\*|\\times)\s?\(?{_SYMBOL}\)?"
    rf"|[ -]{{1,2}}{_SYMBOL}){{0,7}}"
)
_PARTS = re.compile(r"[A-Za-z]+|\\[A-Za-z]+")
_DEGREES = re.compile(
    r"\s?\^\s?(?:\{\s?\\circ\s?\}|\\circ)\s?(?:[CFK]|Celsius|Fahrenheit)?\Z|\s?\\degree\s?[CFK]?\Z"
    r"|\s(?:degrees?|deg\.?)(?: (?:Celsius|Fahrenheit|Kelvin|[CFK]))?\Z"
)
# An angle of which a function is taken keeps its degrees.
_OF_ANGLE = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)\s?(?:\^\s?\{?[0-9]\}?\s?)?[({]?\s?[0-9.]+\Z")
_MONEY_AFTER = re.compile(
    r"(?<=[0-9})])\s?(?:\\?[$€£¥₹₽₩₪₫฿]|元|円|원|块|人|个|個|名|米|厘米|千米|公里|度|岁|天|小时|分钟"
    r"|只|本|美元|kr|z\u0142)\Z"
)
_MONEY_BEFORE = re.compile(
    r"\A(-?)(?:(?:US|A|CA|NZ|HK|R)?\\?\$|[€£¥₹]|(?:USD|EUR|GBP|INR|Rs)\b\.?)\s?(?=[-0-9.\\])"
)
_SCALE = re.compile(r"\b(?:hundred|thousand|million|billion|trillion)s?\b")
_BODY = re.compile(r"(?:[0-9][0-9.,]*|[})\]!]|\\pi|\\circ|(?:hundred|thousand|[mbr]illion)s?)\Z")
_VARIABLE = re.compile(
    r"(?<![A-Za-z\\])(?!e(?![A-Za-z])|i(?![A-Za-z])|pi|sqrt|log|ln|sin|cos)[A-Za-z]"
)
_COMMAND = re.compile(r"\\[A-Za-z]+")
_UPRIGHT = r"\{\s?(?:\\(?:text|mathrm)\s?\{)?\s?([A-Za-z][A-Za-z0-9^ ]{0,20})\}?\s?\}"
_OVER = re.compile(rf"\s?\\frac\s?{_UPRIGHT}\s?{_UPRIGHT}\Z")
_RAISED = re.compile(r"\^\s?\{\s?(-?[1-4])\s?\}(?=\s?\})")
_MAX_TAIL_CHARS = 80


def without_units(text: str) -> str:
    """The canonical text of an answer without its unit; as it is where it has none."""
    text = _MONEY_BEFORE.sub(r"\1", text)
    shorter = _MONEY_AFTER.sub("", text)
    degrees = _DEGREES.search(shorter, max(0, len(shorter) - 40))
    if degrees is not None and not _OF_ANGLE.search(shorter[: degrees.start()][-24:]):
        shorter = shorter[: degrees.start()]
    if shorter != text:
        return shorter.rstrip(" ") if is_constant(shorter) else text
    split = _split(text)
    return text if split is None else split


def _split(text: str) -> str | None:
    flat = (
        _WRAP.sub(r" \1 ", _OVER.sub(r" \1/\2", _RAISED.sub("^\\1", text))) if "{" in text else text
    )
    flat = flat.rstrip(" .")
    low = max(0, len(flat) - _MAX_TAIL_CHARS)
    # From the left: the longest phrase that is a unit as a whole.
    for word in _WORD_START.finditer(flat, low):
        phrase = _PHRASE.fullmatch(flat, word.start())
        if phrase is not None:
            found = _body_before(flat, word.start(), phrase[0])
            if found is not None:
                return found
    return None


_WORD_START = re.compile(r"(?<![A-Za-z\\^])(?=[A-Za-z\\])")


def _body_before(flat: str, start: int, phrase: str) -> str | None:
    body = flat[:start].rstrip(" -")
    joined = len(body) == start
    if not body or not _BODY.search(body[-12:]) or _CHANGERS.search(phrase):
        return None
    parts = _PARTS.findall(phrase)
    first = parts[0]
    if joined and first not in _JOINED and len(first) < 3:
        return None
    if not is_constant(body):
        return None
    known = all(part in _SYMBOLS for part in parts)
    words = all(len(part) > 1 or part in _SYMBOLS or part in ("a", "s") for part in parts)
    return body if known or (words and len(first) > 1) else None


def is_constant(body: str) -> bool:
    """Whether no variable stands in it: digits, signs, roots, π, e and i."""
    return _VARIABLE.search(_COMMAND.sub(" ", _SCALE.sub(" ", body))) is None
