r"""Decimal numbers as people and models write them, read exactly and in bounded time.

`whole` reads what is most common, `read` every spelling that a number has:

* a sign: ``-18``, ``- 18``, ``minus 18``; a currency sign or code before it, on either side of it;
* digits in groups of three, by a comma, a space, an apostrophe: ``1,234.5``, ``43 279``;
* powers of ten: ``6.02e23``, ``6.02 \times 10^{23}``, ``6.02*10**23``, ``10^6``;
* words: ``1.5 million``; a percent sign: ``12 %``, ``12 percent``;
* fractions and mixed numbers: ``3/4``, ``\frac34``, ``1 1/2``, ``1\frac{1}{2}``.

What has more than `MAX_DIGITS` digits or an exponent beyond `MAX_EXPONENT` is not read: nothing
here costs more than microseconds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact
from fractions import Fraction
from itertools import combinations

MAX_DIGITS = 2000
MAX_EXPONENT = 400

_EXACT = Context(prec=10 * (MAX_DIGITS + MAX_EXPONENT), traps=[Inexact])
_USUAL_CHARS = 48
_ONE, _HUNDRED = Decimal(1), Decimal(100)

_SIGN = r"[-+\u2212]?"
_DIGITS = r"(?:[1-9][0-9]{0,2}(?:,[0-9]{3})+(?![0-9])(?:\.[0-9]+)?|[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_PLAIN = rf"{_SIGN}(?:\\?[$€£¥₹])?{_SIGN}{_DIGITS}(?:[eE][-+\u2212]?[0-9]+)?"
_WHOLE = re.compile(
    rf"(?:(?P<over>{_PLAIN})(?:\s?/\s?(?P<under>{_DIGITS})(?![0-9./]))?"
    rf"|(?P<sign>{_SIGN})\\[dt]?frac\{{(?P<above>{_PLAIN})\}}\{{(?P<below>{_PLAIN})\}})"
    r"(?P<percent>\s?\\?%)?"
)
_DROPPED = str.maketrans({"\u2212": "-"} | dict.fromkeys(",\\$€£¥₹ '"))


@dataclass(slots=True, frozen=True)
class Numeral:
    """A number as it is written: `value` over `denominator`; 18 % is 18 with `percent`."""

    value: Decimal
    denominator: Decimal = _ONE
    percent: bool = False

    def times(self, factor: Decimal) -> Numeral:
        """This so many times."""
        return Numeral(_EXACT.multiply(self.value, factor), self.denominator, self.percent)

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


def are_rounded(numerals: Sequence[Numeral | None]) -> bool:
    r"""Whether the numbers may be one, each rounded to its own digits; None stands for no number.

    What differs by a unit of the last digit written is another number: ``7 \approx 8`` is two.
    """
    numbers = [numeral for numeral in numerals if numeral is not None]
    scales = [
        Fraction(numeral.denominator) * (100 if numeral.percent else 1) for numeral in numbers
    ]
    values = [Fraction(n.value) / scale for n, scale in zip(numbers, scales, strict=True)]
    exponents = [int(numeral.value.as_tuple().exponent) for numeral in numbers]
    units = [Fraction(10) ** e / scale for e, scale in zip(exponents, scales, strict=True)]
    pairs = combinations(zip(values, units, strict=True), 2)
    return all(abs(one - other) < max(unit, unit_2) for (one, unit), (other, unit_2) in pairs)


def whole(text: str) -> Numeral | None:
    """The number that the text is in its usual spelling, but for white space around it."""
    if text.isascii() and text.isdecimal() and len(text) <= _USUAL_CHARS:  # most of them
        return Numeral(Decimal(text))
    match = _WHOLE.fullmatch(text.strip())
    if match is None:
        return None
    over, under = match["over"] or match["above"], match["under"] or match["below"]
    return _numeral(over, under, match["sign"] in ("-", "\u2212"), match["percent"] is not None)


# In what `notation.canonical` leaves: ASCII signs, `\frac`, and plain spaces.
_MINUS = r"(?:(?:-|\+|\b(?:[Mm]inus|[Nn]egative)\b)\s{0,3})?"
_MONEY = r"(?:(?:US|A|C|CA|AU|HK|NZ|R)?\\?\$|[€£¥₹]|\b(?:USD|EUR|GBP|INR|CNY|JPY|Rs)\b\.?)?\s?"
_GROUPED = (
    r"(?:[1-9][0-9]{0,2}(?:(?:\.[0-9]{3})+,[0-9]{1,2}(?![0-9,.])|(?:\.[0-9]{3}){2,}(?![0-9,.]))"
    r"|[1-9][0-9]{0,2}(?:(?:,[0-9]{3})+|(?: [0-9]{3})+|(?:'[0-9]{3})+)(?![0-9])(?:\.[0-9]+)?"
    r"|0,[0-9]+(?![0-9,])|[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
)
_POWER = (
    r"(?:[eE]\s?(?P<exp>[-+]?[0-9]{1,6})(?![0-9.A-Za-z])"
    r"|\s?(?:\\times|\\cdot|\*|[xX])\s{0,2}\{?10\}?\s?(?:\^|\*\*)\s?"
    r"(?:\{\s?(?P<pow_b>[-+]?\s?[0-9]{1,6})\s?\}|\((?P<pow_p>[-+]?[0-9]{1,6})\)"
    r"|(?P<pow>[-+]?[0-9]{1,6})(?![0-9.]))"
    r"|\s?(?P<scale>hundred|thousand|million|billion|trillion)s?\b)"
)
_TEN = (
    r"10\s?(?:\^|\*\*)\s?(?:\{\s?(?P<ten_b>[-+]?\s?[0-9]{1,6})\s?\}"
    r"|(?P<ten>[-+]?[0-9]{1,6})(?![0-9.]))"
)
_FRAC = (
    r"\\frac\s?(?:\{\s?(?P<a>[-+]?\s?[0-9][0-9,.]{0,60})\s?\}|(?P<a1>[0-9]))"
    r"\s?(?:\{\s?(?P<b>[0-9][0-9,.]{0,60})\s?\}|(?P<b1>[0-9])(?![0-9]))"
)
_SLASH = r"(?P<up>[0-9]{1,60})\s?/\s?(?P<down>[0-9]{1,60})(?![0-9./])"
_NUMBER = re.compile(
    rf"(?<![0-9A-Za-z_.])(?P<minus>{_MINUS})(?P<money>{_MONEY})(?P<minus2>{_MINUS})"
    rf"(?:{_TEN}|(?P<int>[0-9]{{1,60}})\s{{0,2}}(?:{_FRAC}|(?<=[\s]){_SLASH})"
    rf"|{_FRAC.replace('P<', 'P<lone_')}"
    rf"|(?P<digits>{_GROUPED})(?:\s?/\s?(?P<over>[0-9][0-9,]*(?:\.[0-9]+)?)(?![0-9./])|{_POWER})?)"
    r"(?P<percent>\s?(?:\\?%|\b(?:percent(?:age)?|per cent|pct)\b))?",
    re.ASCII,
)
_SCALES = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_GOES_ON_BEFORE = re.compile(
    r"(?:[\^*/_{]|(?<![a-z]{3}\s)\(|\\(?!approx|simeq|sim(?![a-z]))[A-Za-z]{1,20}|[0-9A-Za-z)}]\s{0,3}[-+])\s{0,3}\Z"
)
_GOES_ON_AFTER = re.compile(
    r"\s{0,3}(?:[\^*/!_]|[-+]\s{0,3}[0-9A-Za-z\\(]|\\[A-Za-z]|\(\s?[-+0-9\\])|\s{1,3}[0-9]+\s?/|[xyznk](?![A-Za-z])"
)


@dataclass(slots=True, frozen=True)
class Found:
    """A number in a text, and where it stands. `numeral` is None where it is part of a term."""

    numeral: Numeral | None
    start: int
    end: int


def read(text: str) -> Numeral | None:
    """The number that the text, made canonical, is in any spelling; None when it is none."""
    match = _NUMBER.fullmatch(text)
    return _value(match) if match else None


def find(text: str, start: int = 0) -> Found | None:
    """The first number in a canonical text from `start` on."""
    match = _NUMBER.search(text, start)
    return _found(text, match) if match else None


def find_all(text: str, start: int = 0) -> list[Found]:
    """All numbers in a canonical text from `start` on, in their order."""
    return [_found(text, match) for match in _NUMBER.finditer(text, start)]


def tail_start(text: str) -> int:
    """From where on to look for the last number of a text: a word's start, -1 without a digit."""
    end = next((i for i in range(len(text) - 1, -1, -1) if text[i] in "0123456789"), -1)
    # A number of usual length begins not far before the last digit: no need to search it all.
    return end if end < 0 else text.rfind(" ", 0, max(0, end - _USUAL_CHARS)) + 1


def _found(text: str, match: re.Match[str]) -> Found:
    start, end = match.span()
    before = text[max(0, start - 24) : start]
    if _GOES_ON_BEFORE.search(before) or _GOES_ON_AFTER.match(text, end):
        return Found(None, start, end)
    return Found(_value(match), start, end)


def _value(match: re.Match[str]) -> Numeral | None:
    signs = [sign for sign in (match["minus"].strip(), match["minus2"].strip()) if sign]
    if len(signs) > 1:
        return None
    negative = bool(signs) and signs[0] != "+"
    percent = match["percent"] is not None
    ten = match["ten_b"] or match["ten"]
    if ten is not None:
        return _numeral("1e" + ten.replace(" ", ""), None, negative, percent)
    over, under = match["lone_a"] or match["lone_a1"], match["lone_b"] or match["lone_b1"]
    if over is not None:
        return _numeral(over, under, negative, percent)
    if match["int"] is not None:
        over = match["a"] or match["a1"] or match["up"]
        under = match["b"] or match["b1"] or match["down"]
        return _mixed(match["int"], over, under, negative, percent)
    digits = match["digits"]
    if digits.startswith("0,"):
        digits = digits.replace(",", ".")  # a group cannot begin with 0: a decimal comma
    elif digits.count(".") > 1 or -1 < digits.find(".") < digits.find(","):
        digits = digits.replace(".", "").replace(",", ".")  # points part the groups
    power = match["exp"] or match["pow_b"] or match["pow_p"] or match["pow"]
    if match["scale"]:
        power = str(_SCALES[match["scale"]])
    if power:
        digits = f"{digits}e{power.replace(' ', '')}"
    return _numeral(digits, match["over"], negative, percent)


def _mixed(units: str, over: str, under: str, negative: bool, percent: bool) -> Numeral | None:
    part = _numeral(over, under, False, percent)
    whole_part = _decimal(units)
    if part is None or whole_part is None or part.value < 0:
        return None
    value = _EXACT.add(_EXACT.multiply(whole_part, part.denominator), part.value)
    return Numeral(_EXACT.minus(value) if negative else value, part.denominator, percent)


def _numeral(over: str, under: str | None, negative: bool, percent: bool) -> Numeral | None:
    value, denominator = _decimal(over), _decimal(under) if under else _ONE
    if value is None or not denominator:
        return None
    if denominator == 1:
        denominator = _ONE
    return Numeral(_EXACT.minus(value) if negative else value, denominator, percent)


def _decimal(text: str) -> Decimal | None:
    plain = text.translate(_DROPPED)
    if plain.count("-") + plain.count("+") > 1 and plain[1:2] in "-+":
        return None
    mantissa, _, exponent = plain.replace("E", "e").partition("e")
    digits = exponent.lstrip("+-0")
    if len(mantissa) > MAX_DIGITS or len(digits) > 4 or int(digits or 0) > MAX_EXPONENT:
        return None
    try:
        return Decimal(plain)
    except ArithmeticError:  # "1.2.3"
        return None
