"""Arithmetic that a configuration brings, such as ``0.8*accuracy + 0.2*min(style, 1)``.

    sum     = product (("+" | "-") product)*
    product = signed (("*" | "/") signed)*
    signed  = ("+" | "-")* power
    power   = atom ("^" signed)?                right to left: 2^3^2 is 2^9, -2^2 is -4
    atom    = number | name | function "(" sum ("," sum)* ")" | "(" sum ")"

Functions: ``min`` and ``max`` of one or more, ``abs floor ceil exp sqrt log`` of one; ``log`` is
natural. It is read once into steps for a stack machine; nothing of it is Python.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

MAX_CHARS = 10_000
MAX_DEPTH = 50

_TOKEN = re.compile(
    r"[ \t\r\n]*(?:(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<sign>[-+*/^(),]))"
)

_BINARY: Mapping[str, Callable[[float, float], float]] = {
    "+": float.__add__,
    "-": float.__sub__,
    "*": float.__mul__,
    "/": float.__truediv__,
    "^": math.pow,
}
_OF_ONE: Mapping[str, Callable[[float], float]] = {
    "abs": abs,
    "floor": math.floor,
    "ceil": math.ceil,
    "exp": math.exp,
    "sqrt": math.sqrt,
    "log": math.log,
}
_OF_MANY: Mapping[str, Callable[[list[float]], float]] = {"min": min, "max": max}


class FormulaError(ValueError):
    """The text is no formula, or has no finite value for these values."""


_Step = float | tuple[str, str, int]
"""A number to push, or what to do to how many: ("name", its name, 0), ("binary", its sign, 2),
("minus", "", 1), ("call", its function, how many)."""


@dataclass(slots=True, frozen=True)
class Formula:
    """A formula that was read; `names` are its variables in their order."""

    text: str
    names: tuple[str, ...]
    _steps: tuple[_Step, ...]

    def value(self, values: Mapping[str, float]) -> float:
        """Its value, a finite float; `values` are finite floats by name.

        Raises:
            FormulaError: a variable is missing, or arithmetic leads to no finite number.
        """
        stack: list[float] = []
        for step in self._steps:
            if not isinstance(step, tuple):
                stack.append(step)
                continue
            kind, name, count = step
            if kind == "name":
                if name not in values:
                    raise FormulaError(f"{name!r} has no value")
                stack.append(float(values[name]))
                continue
            given = stack[-count:]
            del stack[-count:]
            stack.append(_applied(kind, name, given))
        return stack[0]


def parse(text: str) -> Formula:
    """The formula that the text is.

    Raises:
        FormulaError: it is none, longer than `MAX_CHARS` or nested deeper than `MAX_DEPTH`.
    """
    if len(text) > MAX_CHARS:
        raise FormulaError(f"longer than {MAX_CHARS} characters")
    return _Parser(text).formula()


def _applied(kind: str, name: str, given: list[float]) -> float:
    try:
        if kind == "binary":
            value = float(_BINARY[name](*given))
        elif kind == "minus":
            value = -given[0]
        elif name in _OF_MANY:
            value = _OF_MANY[name](given)
        else:
            value = float(_OF_ONE[name](given[0]))
    except (ArithmeticError, ValueError):
        value = math.nan
    if math.isfinite(value):
        return value
    shown = ", ".join(f"{number:g}" for number in given)
    raise FormulaError(f"{name or 'minus'} of {shown} is no finite number")


class _Parser:
    """Reads by recursive descent; every recursion goes through `_signed`, which counts."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._steps: list[_Step] = []
        self._names: dict[str, None] = {}
        self._depth = 0
        self._at = 0
        self._kind, self._word = "", ""
        self._next()

    def formula(self) -> Formula:
        self._sum()
        if self._kind != "end":
            raise self._unexpected("an operator")
        return Formula(self._text, tuple(self._names), tuple(self._steps))

    def _next(self) -> None:
        match = _TOKEN.match(self._text, self._at)
        if match is not None:
            self._at = match.end()
            self._kind = match.lastgroup or ""
            self._word = match[self._kind]
        elif rest := self._text[self._at :].strip(" \t\r\n"):
            raise FormulaError(f"{rest[0]!r} is not known")
        else:
            self._kind = self._word = "end"

    def _is(self, signs: str) -> bool:
        return self._kind == "sign" and self._word in signs

    def _sum(self) -> None:
        self._left_to_right("+-", self._product)

    def _product(self) -> None:
        self._left_to_right("*/", self._signed)

    def _left_to_right(self, signs: str, operand: Callable[[], None]) -> None:
        operand()
        while self._is(signs):
            sign = self._word
            self._next()
            operand()
            self._steps.append(("binary", sign, 2))

    def _signed(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise FormulaError(f"nested deeper than {MAX_DEPTH}")
        minus = False
        while self._is("+-"):
            minus ^= self._word == "-"
            self._next()
        self._atom()
        if self._is("^"):
            self._next()
            self._signed()
            self._steps.append(("binary", "^", 2))
        if minus:
            self._steps.append(("minus", "", 1))
        self._depth -= 1

    def _atom(self) -> None:
        kind, token = self._kind, self._word
        if kind == "number":
            number = float(token)
            if not math.isfinite(number):
                raise FormulaError(f"{token} is no finite number")
            self._steps.append(number)
            self._next()
        elif kind == "name":
            self._next()
            if self._is("("):
                self._call(token)
            else:
                self._names[token] = None
                self._steps.append(("name", token, 0))
        elif self._is("("):
            self._next()
            self._sum()
            self._close()
        else:
            raise self._unexpected("a number, a name or a bracket")

    def _call(self, name: str) -> None:
        if name not in _OF_ONE and name not in _OF_MANY:
            known = ", ".join(sorted({*_OF_ONE, *_OF_MANY}))
            raise FormulaError(f"there is no function {name!r}; there are: {known}")
        count = 0
        while count == 0 or self._is(","):
            self._next()
            self._sum()
            count += 1
        self._close()
        if name in _OF_ONE and count != 1:
            raise FormulaError(f"{name} takes one argument, got {count}")
        self._steps.append(("call", name, count))

    def _close(self) -> None:
        if not self._is(")"):
            raise self._unexpected("')'")
        self._next()

    def _unexpected(self, wanted: str) -> FormulaError:
        got = "the end" if self._kind == "end" else repr(self._word)
        return FormulaError(f"want {wanted}, got {got}")
