"""How large units are: 5 m is 500 cm, and neither 5 cm nor 5 s. Units not here say nothing."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import NamedTuple


class Unit(NamedTuple):
    """A unit as so many of the usual one of its kind, to a power: cm is 0.01 of a length."""

    kind: str
    power: int
    size: Decimal


_TABLE = {
    "length": """
        km 1000 kilometer 1000 kilometre 1000 m 1 meter 1 metre 1 dm 0.1 cm 0.01 centimeter 0.01
        centimetre 0.01 mm 0.001 millimeter 0.001 millimetre 0.001 nm 1e-9 nanometer 1e-9
        in 0.0254 inch 0.0254 ft 0.3048 foot 0.3048 feet 0.3048 yd 0.9144 yard 0.9144
        mi 1609.344 mile 1609.344
    """,
    "mass": """
        t 1000 kg 1 kilogram 1 g 0.001 gram 0.001 mg 1e-6 milligram 1e-6
        lb 0.45359237 pound 0.45359237 oz 0.028349523125 ounce 0.028349523125
    """,
    "time": """
        s 1 sec 1 second 1 ms 0.001 millisecond 0.001 min 60 minute 60 h 3600 hr 3600 hour 3600
        day 86400 week 604800
    """,
    "volume": "l 0.001 liter 0.001 litre 0.001 ml 1e-6 milliliter 1e-6 millilitre 1e-6",
    "money": "dollar 1 usd 1 cent 0.01",
    "energy": "j 1 joule 1 kj 1000 kilojoule 1000",
    "power": "w 1 watt 1 kw 1000 kilowatt 1000 mw 1000000",
    "force": "n 1 newton 1 kn 1000",
    "pressure": "pa 1 pascal 1 kpa 1000 mpa 1000000",
    "voltage": "v 1 volt 1 kv 1000",
    "frequency": "hz 1 hertz 1 khz 1000 mhz 1000000 ghz 1000000000",
}
_UNITS = {
    name: (kind, Decimal(size))
    for kind, row in _TABLE.items()
    for name, size in zip(row.split()[::2], row.split()[1::2], strict=True)
}
# What differs by its case alone: milliwatts are not megawatts.
_CASED = frozenset("mW MW mPa MPa mHz MHz".split())  # noqa: SIM905
_WRAP = re.compile(r"\\(?:text|textrm|textbf|mathrm|mbox|rm)\s?\{([^{}]*)\}")
_ONE = re.compile(
    r"(?P<word>square |cubic )?(?P<name>[A-Za-z]{1,12})\.?"
    r"(?:\s?\^\s?\{?(?P<power>[23])\}?| (?P<said>squared|cubed))?"
)
_POWERS = {"square ": 2, "cubic ": 3, "squared": 2, "cubed": 3, "2": 2, "3": 3, None: 1}


def same_dimension(one: Unit, other: Unit) -> bool | None:
    """Whether they measure the same thing, so that their sizes compare.

    None: it is the same unit, or it is not told: people leave out the square of an area, and m
    stands for minutes too.
    """
    if one == other:
        return None
    if _dimension(one) == _dimension(other):
        return True
    if one.kind == other.kind or {one[:3], other[:3]} == {_METRE, _MINUTE}:
        return None
    return False


_METRE, _MINUTE = Unit("length", 1, Decimal(1)), Unit("time", 1, Decimal(60))


def _dimension(unit: Unit) -> tuple[str, int]:
    return ("length", 3 * unit.power) if unit.kind == "volume" else (unit.kind, unit.power)


def unit_of(text: str, body: str) -> Unit | None:
    """The unit after the number `body` of a canonical text; None: none, or none that is known."""
    if not text.startswith(body):
        lead = text[: -len(body)] if body and text.endswith(body) else ""
        is_money = lead.strip() in ("$", "\\$") and "$" not in body  # which would close mathematics
        return Unit("money", 1, Decimal(1)) if is_money else None
    tail = _WRAP.sub(r" \1 ", text[len(body) :]).strip(" .{}~-")
    tail = re.sub(r"\s+", " ", tail).replace(" ^", "^")
    match = _ONE.fullmatch(tail)
    if match is None:
        return None
    name = match["name"]
    if name in _CASED:
        return None
    name = name.lower()
    known = _UNITS.get(name) or _UNITS.get("inch" if name == "inches" else name.removesuffix("s"))
    if known is None or (len(name) == 1 and match["name"].isupper() and name not in "ljwnv"):
        return None
    power = _POWERS[match["word"] or match["power"] or match["said"]]
    return Unit(known[0], power, known[1] ** power)
