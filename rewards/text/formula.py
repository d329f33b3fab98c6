"""Arithmetic that a configuration brings, such as ``0.8*accuracy + 0.2*min(style, 1)``.

Operators ``+ - * /`` and ``^``, brackets, numbers, names, and functions: ``min`` and ``max`` of one
or more, ``abs floor ceil exp sqrt log`` of one; ``log`` is natural. Python's own parser reads it,
so ``^`` binds tighter than a sign before it and goes right to left: ``2^3^2`` is 512, ``-2^2`` -4.
Nothing of it is executed: the tree is walked, and whatever is not named here is refused.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

MAX_CHARS = 10_000
MAX_OPERATIONS = 300

_STRANGE = re.compile(r"[^A-Za-z0-9_.+\-*/^(), \t\r\n]")
_NAME = re.compile(r"(?<![A-Za-z0-9_.])[A-Za-z_][A-Za-z0-9_]*")
_NUMBER = re.compile(r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
MARK = "_"
"""Goes before each name, so that one like `pass` or `in` is no word of Python's."""

BINARY: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: float.__add__,
    ast.Sub: float.__sub__,
    ast.Mult: float.__mul__,
    ast.Div: float.__truediv__,
    ast.Pow: math.pow,
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


@dataclass(slots=True, frozen=True)
class Formula:
    """A formula that was read: its variables in their order, and its tree, of operations alone."""

    text: str
    names: tuple[str, ...]
    tree: ast.expr = field(compare=False)

    def value(self, values: Mapping[str, float]) -> float:
        """Its value, a finite float; `values` are finite floats by name.

        Raises:
            FormulaError: a variable is missing, or arithmetic leads to no finite number.
        """
        return _value(self.tree, values)


def parse(text: str) -> Formula:
    """The formula that the text is.

    Raises:
        FormulaError: it is none, longer than `MAX_CHARS`, or of more than `MAX_OPERATIONS`.
    """
    if len(text) > MAX_CHARS:
        raise FormulaError(f"longer than {MAX_CHARS} characters")
    strange = _STRANGE.search(text)
    if strange is not None:
        raise FormulaError(f"{strange[0]!r} is not known")
    for sign in ("**", "//"):
        if sign in text:
            raise FormulaError(f"{sign!r} is not known")
    source = " ".join(_NAME.sub(lambda name: MARK + name[0], text).split()).replace("^", "**")
    if not source:
        raise FormulaError("is empty")
    try:
        tree = ast.parse(source, mode="eval").body
    except SyntaxError as error:
        at = source[: max(0, (error.offset or 1) - 1)].replace("**", "^")
        raise FormulaError(f"{error.msg}, after {_plain(at)[-40:]!r}") from None
    except (ValueError, RecursionError, MemoryError):
        raise FormulaError("nested too deep") from None
    checker = _Checker(source)
    checker.check(tree)
    return Formula(text, tuple(checker.names), tree)


def _plain(source: str) -> str:
    return re.sub(rf"(?<![A-Za-z0-9_]){MARK}", "", source)


class _Checker:
    """Refuses whatever is no formula. A tree is at most as deep as it has operations."""

    def __init__(self, source: str) -> None:
        self.names: dict[str, None] = {}
        self._source = source
        self._count = 0

    def check(self, node: ast.AST) -> None:
        self._count += isinstance(node, ast.BinOp | ast.UnaryOp | ast.Call)
        if self._count > MAX_OPERATIONS:
            raise FormulaError(f"more than {MAX_OPERATIONS} operations")
        match node:
            case ast.Constant():
                self._number(node)
            case ast.Name(id=name):
                self.names[name.removeprefix(MARK)] = None
            case ast.UnaryOp(op=ast.UAdd() | ast.USub(), operand=operand):
                self.check(operand)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in BINARY:
                self.check(left)
                self.check(right)
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
                _check_call(name.removeprefix(MARK), len(arguments))
                for argument in arguments:
                    self.check(argument)
            case _:
                told = _plain(ast.get_source_segment(self._source, node) or "")
                raise FormulaError(f"{told[:40]!r} is no arithmetic")

    def _number(self, node: ast.Constant) -> None:
        written = ast.get_source_segment(self._source, node) or ""
        if not _NUMBER.fullmatch(written):
            raise FormulaError(f"{written[:40]!r} is no number")
        if not math.isfinite(float(written)):
            raise FormulaError(f"{written[:40]} is no finite number")


def _check_call(name: str, count: int) -> None:
    if name not in _OF_ONE and name not in _OF_MANY:
        known = ", ".join(sorted({*_OF_ONE, *_OF_MANY}))
        raise FormulaError(f"there is no function {name!r}; there are: {known}")
    if name in _OF_ONE and count != 1:
        raise FormulaError(f"{name} takes one argument, got {count}")
    if not count:
        raise FormulaError(f"{name} takes an argument")


def _value(node: ast.expr, values: Mapping[str, float]) -> float:
    match node:
        case ast.Constant(value=value):
            return float(value)  # pyright: ignore[reportArgumentType] - a number: see _Checker
        case ast.Name(id=marked):
            name = marked.removeprefix(MARK)
            if name not in values:
                raise FormulaError(f"{name!r} has no value")
            return float(values[name])
        case ast.UnaryOp(op=op, operand=operand):
            value = _value(operand, values)
            return -value if isinstance(op, ast.USub) else value
        case ast.BinOp(left=left, op=op, right=right):
            given = [_value(left, values), _value(right, values)]
            return finite(type(op).__name__.lower(), lambda: BINARY[type(op)](*given), given)
        case ast.Call(func=ast.Name(id=marked), args=arguments):
            name = marked.removeprefix(MARK)
            given = [_value(argument, values) for argument in arguments]
            return finite(name, lambda: called(name, given), given)
        case _:
            raise AssertionError(node)


def called(name: str, given: list[float]) -> float:
    """A function of the formula's, called."""
    return _OF_MANY[name](given) if name in _OF_MANY else _OF_ONE[name](given[0])


def finite(name: str, made: Callable[[], float], given: list[float]) -> float:
    """What is made of `given`, or an error where it is no finite number."""
    try:
        value = float(made())
    except (ArithmeticError, ValueError):
        value = math.nan
    if math.isfinite(value):
        return value
    shown = ", ".join(f"{number:g}" for number in given)
    raise FormulaError(f"{name} of {shown} is no finite number")
