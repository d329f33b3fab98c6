"""Whether two constants are equal, whatever their size. Importing this loads sympy.

math-verify compares to 6 decimals where a decimal fraction takes part, else to 15 digits after the
point: 1e-31 is 1e-34 to it. Here exact constants are equal where their difference is not told from
zero at `_EXACT_DIGITS` digits. Where a decimal takes part they may differ as it rounds, but what is
below `_TINY` by at most the part `_TINY_PART`, and what is above `_LARGE` by `_LARGE_PART`.
"""

from __future__ import annotations

from typing import Any

import sympy

_EXACT_DIGITS = 400
_TINY = 1e-4
_LARGE = 1e6
_DECIMALS = 1e-6
_TINY_PART = 1e-4
_LARGE_PART = 1e-9

_untyped: Any = sympy


def agree(gold: Any, answer: Any) -> bool | None:
    """Whether two expressions are the same constant; None where one is no constant.

    Tuples and finite sets are compared element by element.
    """
    if isinstance(gold, _untyped.Tuple) and isinstance(answer, _untyped.Tuple):
        return _all(gold.args, answer.args)
    if isinstance(gold, _untyped.FiniteSet) and isinstance(answer, _untyped.FiniteSet):
        return _sets(list(gold.args), list(answer.args))
    gold, answer = _with_i(gold), _with_i(answer)
    if not _is_constant(gold) or not _is_constant(answer):
        return None
    if gold == answer:
        return True
    percent = _untyped.UnevaluatedExpr
    if gold.has(percent) or answer.has(percent):
        return None
    difference = gold - answer
    if not (gold.has(_untyped.Float) or answer.has(_untyped.Float)):
        return _is_zero(difference)
    return _is_near(gold, difference)


def _all(golds: Any, answers: Any) -> bool | None:
    if len(golds) != len(answers):
        return None
    found: list[bool | None] = [agree(g, a) for g, a in zip(golds, answers, strict=True)]
    if False in found:
        return False
    return None if None in found else True


def _sets(golds: list[Any], answers: list[Any]) -> bool | None:
    """Each of one set has one of its own in the other; None where an element is no constant."""
    if not all(_is_constant(element) for element in [*golds, *answers]):
        return None
    left = list(answers)
    for gold in golds:
        for index, answer in enumerate(left):
            if agree(gold, answer):
                del left[index]
                break
        else:
            return None if len(golds) != len(answers) else False
    return not left


def _with_i(value: Any) -> Any:
    """The expression with ``i`` as the imaginary unit, where no other letter stands in it."""
    if isinstance(value, _untyped.Expr) and not value.is_number:
        letters = value.free_symbols
        if len(letters) == 1 and next(iter(letters)).name == "i":
            return value.xreplace({next(iter(letters)): _untyped.I})
    return value


def _is_constant(value: Any) -> bool:
    return (
        isinstance(value, _untyped.Expr)
        and not isinstance(value, _untyped.MatrixExpr)
        and bool(value.is_number)
        and not value.has(_untyped.oo, _untyped.zoo, _untyped.nan, -_untyped.oo)
        and not value.has(_untyped.Integral, _untyped.Sum, _untyped.Product, _untyped.Limit)
    )


def _is_zero(difference: Any) -> bool | None:
    value = difference.doit()
    if value.is_Rational:
        return bool(value == 0)
    near = value.evalf(15, maxn=_EXACT_DIGITS)
    parts = near.as_real_imag()
    if not all(part.is_Number for part in parts):
        return None
    return all(part == 0 or part._prec == 1 for part in parts)


def _is_near(gold: Any, difference: Any) -> bool | None:
    size, away = abs(gold.evalf(20)), abs(difference.evalf(20))
    if not (size.is_Number and away.is_Number):
        return None
    if size == 0:
        return bool(away < _DECIMALS / 2)
    if size < _TINY:
        return bool(away <= size * _TINY_PART)
    if size > _LARGE:
        return bool(away <= max(_DECIMALS, size * _LARGE_PART))
    if away >= _DECIMALS:
        return False
    # Between the two it is math-verify's rounding that decides.
    return True if away < _DECIMALS / 2 else None
