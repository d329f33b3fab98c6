"""Weighted sums and formulas of members, and what becomes of them when members drop out."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping, Sequence

from ..text.formula import MARK, Formula


def weighted(weights: Sequence[float], columns: Sequence[Sequence[float]]) -> Sequence[float]:
    """The weighted sums of columns, item by item, added up from the first column to the last."""
    first = weights[0]
    total = [first * value for value in columns[0]]
    for weight, column in zip(weights[1:], columns[1:], strict=True):
        total = [sum_ + weight * value for sum_, value in zip(total, column, strict=True)]
    return total


def renormalised(weights: Mapping[str, float], present: Mapping[str, float]) -> float:
    """The weighted sum of the members that are there, as if the others were like them.

    It is scaled by the sizes of all weights over those of the weights that are there: a sum of
    weights 0.8 and 0.2 stays one of 1, and a penalty stays one.

    Raises:
        ValueError: no weight is there but 0.
    """
    there = sum(abs(weights[name]) for name in present)
    if there <= 0:
        raise ValueError("nothing with a weight is left")
    scale = sum(abs(weight) for weight in weights.values()) / there
    total = 0.0
    for name, value in present.items():
        total += weights[name] * value
    return scale * total


def weights_of(formula: Formula) -> Mapping[str, float] | None:
    """The weights of a formula that is a sum of members times numbers, else None."""
    found: dict[str, float] = {}
    return found if _collect(formula.tree, 1.0, found) else None


def _collect(node: ast.expr, factor: float, found: dict[str, float]) -> bool:
    match node:
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _collect(left, factor, found) and _collect(right, factor, found)
        case ast.BinOp(left=left, op=ast.Sub(), right=right):
            return _collect(left, factor, found) and _collect(right, -factor, found)
        case ast.BinOp(left=ast.Constant(value=number), op=ast.Mult(), right=other):
            return _collect(other, factor * _float(number), found)
        case ast.BinOp(left=other, op=ast.Mult(), right=ast.Constant(value=number)):
            return _collect(other, factor * _float(number), found)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return _collect(operand, -factor, found)
        case ast.UnaryOp(operand=operand):
            return _collect(operand, factor, found)
        case ast.Name(id=marked):
            name = marked.removeprefix(MARK)
            found[name] = found.get(name, 0.0) + factor
            return math.isfinite(found[name])
        case _:
            return False


def _float(number: object) -> float:
    return float(number) if isinstance(number, int | float) else math.nan
