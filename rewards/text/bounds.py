"""How low a formula can get, by interval arithmetic."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import product

from .formula import BINARY, MARK, Formula, FormulaError, called, finite

MAX_CORNERS_OF = 10
"""Of how many names all corners are tried where they must."""

Interval = tuple[float, float]
"""The least and the greatest value."""


def lowest(formula: Formula, ranges: Mapping[str, Interval]) -> float:
    """A bound below which the formula has no value while each variable is within its range.

    By interval arithmetic: it is the least value itself where each variable stands once. Where
    the formula has no value for a part of the ranges, such as a division by [0, 1], it is the
    least at the corners of the ranges.

    Raises:
        FormulaError: it has no value at any corner.
    """
    try:
        return interval(formula.tree, ranges)[0]
    except FormulaError:
        pass
    count = len(formula.names)
    each = [ranges[name] for name in formula.names]
    corners = product(*each) if count <= MAX_CORNERS_OF else zip(*each, strict=True)
    found: list[float] = []
    for corner in corners:
        try:
            found.append(formula.value(dict(zip(formula.names, corner, strict=True))))
        except FormulaError:
            continue
    if not found:
        raise FormulaError("it has no finite value at any end of the ranges")
    return min(found)


def interval(node: ast.expr, ranges: Mapping[str, Interval]) -> Interval:
    """The least and the greatest value that an operation may have.

    Raises:
        FormulaError: it has none for a part of the ranges, or one that is not finite.
    """
    match node:
        case ast.Name(id=marked):
            return ranges[marked.removeprefix(MARK)]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            low, high = interval(operand, ranges)
            return -high, -low
        case ast.UnaryOp(operand=operand):
            return interval(operand, ranges)
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _power(interval(left, ranges), interval(right, ranges))
        case ast.BinOp(left=left, op=op, right=right):
            one, other = interval(left, ranges), interval(right, ranges)
            if isinstance(op, ast.Div) and other[0] <= 0 <= other[1]:
                raise FormulaError("a division by a range with 0 in it")
            return _ends(lambda given: BINARY[type(op)](*given), product(one, other))
        case ast.Call(func=ast.Name(id=marked), args=arguments):
            name = marked.removeprefix(MARK)
            inner = [interval(argument, ranges) for argument in arguments]
            (low, high), *_ = inner
            if name == "abs" and low <= 0 <= high:
                return 0.0, max(-low, high)
            # All others only rise with each of their arguments, or (abs) fall in a whole range.
            return _ends(lambda given: called(name, [*given]), zip(*inner, strict=True))
        case _:
            value = float(ast.literal_eval(node))
            return value, value


def _power(base: Interval, exponent: Interval) -> Interval:
    (low, high), (least, most) = base, exponent
    if least == most and float(least).is_integer():
        if least < 0 and low <= 0 <= high:
            raise FormulaError("a division by a range with 0 in it")
        if least > 0 and least % 2 == 0 and low <= 0 <= high:
            return 0.0, _ends(lambda given: math.pow(*given), product(base, exponent))[1]
    elif low < 0:
        raise FormulaError("a root of a range with negative numbers")
    return _ends(lambda given: math.pow(*given), product(base, exponent))


def _ends(
    made: Callable[[tuple[float, ...]], float], corners: Iterable[tuple[float, ...]]
) -> Interval:
    values = [finite("an end of a range", partial(made, given), [*given]) for given in corners]
    return min(values), max(values)
