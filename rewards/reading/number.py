r"""Decimal numbers as people and models write them, read exactly and in bounded time.

A number is digits with an optional sign, thousands commas, decimal point and exponent, a currency
sign before it and a percent sign after it: ``-1,234.5``, ``$18``, ``.5``, ``6.02e23``, ``12 %``.
Two with a slash between them, or in ``\frac{}{}``, are one: ``3/4``. What has more than
`MAX_DIGITS` digits or an exponent beyond `MAX_EXPONENT` is not read: nothing here costs more than
microseconds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact

MAX_DIGITS = 400
MAX_EXPONENT = 400

_EXACT = Context(prec=10 * (MAX_DIGITS + MAX_EXPONENT), traps=[Inexact])
_USUAL_CHARS = 48
_ONE, _HUNDRED = Decimal(1), Decimal(100)

_SIGN = r"[-+\u2212]?"
_DIGITS = r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])(?:\.[0-9]+)?|[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_PLAIN = rf"{_SIGN}(?:\\?[$€£¥₹])?{_SIGN}{_DIGITS}(?:[eE][-+\u2212]?[0-9]+)?"
_NUMERAL = (
    rf"(?:(?P<over>{_PLAIN})(?:\s?/\s?(?P<under>{_DIGITS})(?![0-9./]))?"
    rf"|(?P<sign>{_SIGN})\\[dt]?frac\{{(?P<above>{_PLAIN})\}}\{{(?P<below>{_PLAIN})\}})"
    r"(?P<percent>\s?\\?%)?"
)
_WHOLE = re.compile(_NUMERAL)
_ANYWHERE = re.compile(rf"(?<![0-9A-Za-z_.]){_NUMERAL}")
_GOES_ON_BEFORE = re.compile(r"(?:[\^*/×·÷_{(]|\\[A-Za-z]+|[0-9A-Za-z)}]\s*[-+\u2212])\s*\Z")
_GOES_ON_AFTER = re.compile(
    r"\s*(?:[\^*/×·÷]|[-+\u2212]\s*[0-9A-Za-z\\(]|\\[A-Za-z])|\s+[0-9]+\s?/|\\frac"
)
_DROPPED = str.maketrans({"\u2212": "-"} | dict.fromkeys(",\\$€£¥₹"))


@dataclass(slots=True, frozen=True)
class Numeral:
    """A number as it is written: `value` over `denominator`; 18 % is 18 with `percent`."""

    value: Decimal
    denominator: Decimal = _ONE
    percent: bool = False

    def is_close(self, gold: Numeral, abs_tol: Decimal, rel_tol: Decimal) -> bool:
        """Whether this is within max(abs_tol, rel_tol * |gold|) of the gold; computed exactly.

        Where just one of the two has a percent sign it counts as n and as n/100: 50 % is close to
        50 and to 0.5.
        """
        if self.denominator is gold.denominator:  # 1, as a rule
            if self.value == gold.value:
                return True
            if not abs_tol and not rel_tol and self.percent == gold.percent:
                return False
        if self._is_close(gold, abs_tol, rel_tol, _ONE, _ONE):
            return True
        if self.percent == gold.percent:
            return False
        scales = (_HUNDRED, _ONE) if self.percent else (_ONE, _HUNDRED)
        return self._is_close(gold, abs_tol, rel_tol, *scales)

    def _is_close(
        self, gold: Numeral, abs_tol: Decimal, rel_tol: Decimal, scale: Decimal, gold_scale: Decimal
    ) -> bool:
        times = _EXACT.multiply
        denominator = times(self.denominator, scale)
        gold_denominator = times(gold.denominator, gold_scale)
        mine = times(self.value, gold_denominator)
        golds = times(gold.value, denominator)
        if mine == golds:
            return True
        if not abs_tol and not rel_tol:
            return False
        allowed = max(
            times(abs_tol, _EXACT.abs(times(denominator, gold_denominator))),
            times(rel_tol, _EXACT.abs(golds)),
        )
        return _EXACT.abs(_EXACT.subtract(mine, golds)) <= allowed


def whole(text: str) -> Numeral | None:
    """The number that the text is, but for white space around it; None when it is none."""
    match = _WHOLE.fullmatch(text.strip())
    return _read(match) if match else None


def first(text: str) -> Numeral | None:
    """The first number in the text; None where there is none, or it is a part of a larger term."""
    match = _ANYWHERE.search(text)
    return _standing(text, match) if match else None


def last(text: str) -> Numeral | None:
    """The last number in the text; None where there is none, or it is a part of a larger term."""
    end = next((i for i in range(len(text) - 1, -1, -1) if text[i] in "0123456789"), -1)
    if end < 0:
        return None
    # A numeral of usual length begins not far before the last digit: no need to search it all.
    begin = text.rfind(" ", 0, max(0, end - _USUAL_CHARS)) + 1
    match = None
    for match in _ANYWHERE.finditer(text, begin):  # noqa: B007 - the last one is wanted
        pass
    return _standing(text, match) if match else None


def _standing(text: str, match: re.Match[str]) -> Numeral | None:
    before = text[max(0, match.start() - 16) : match.start()]
    if _GOES_ON_BEFORE.search(before) or _GOES_ON_AFTER.match(text, match.end()):
        return None
    if match["under"] and before.rstrip()[-1:].isdigit():
        return None  # 1 1/2
    return _read(match)


def _read(match: re.Match[str]) -> Numeral | None:
    over, under = match["over"] or match["above"], match["under"] or match["below"]
    value, denominator = _decimal(over), _decimal(under) if under else _ONE
    if value is None or not denominator:
        return None
    if match["sign"] and match["sign"] != "+":
        value = _EXACT.minus(value)
    return Numeral(value, denominator, match["percent"] is not None)


def _decimal(text: str) -> Decimal | None:
    plain = text.translate(_DROPPED)
    if plain.count("-") + plain.count("+") > 1 and plain[1:2] in "-+":
        return None
    mantissa, _, exponent = plain.replace("E", "e").partition("e")
    digits = exponent.lstrip("+-0")
    if len(mantissa) > MAX_DIGITS or len(digits) > 4 or int(digits or 0) > MAX_EXPONENT:
        return None
    return Decimal(plain)
