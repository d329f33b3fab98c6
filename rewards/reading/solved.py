r"""Sets that are written as solved inequalities: ``0 < x < 5`` is ``(0, 5)``. Loads sympy.

Only where nothing is left to solve: each side is the variable by itself, or a number. What has to
be solved first is no answer to the question of what solves it.
"""

from __future__ import annotations

import enum
import re
from typing import Any

import sympy
from sympy.core.relational import Relational
from sympy.logic.boolalg import And, Or

_untyped: Any = sympy
_relational: Any = Relational
_joined: Any = (And, Or)


_SIDES = re.compile(r"[<>]|\\(?:leq?|geq?|lt|gt)(?:slant)?(?![A-Za-z])")
_OR = re.compile(r"(?<![A-Za-z\\])or(?![A-Za-z])|\\(?:lor|vee)(?![A-Za-z])")
_AND = re.compile(r"(?<![A-Za-z\\])and(?![A-Za-z])|\\(?:land|wedge)(?![A-Za-z])")


class Joint(enum.Enum):
    """What stands between inequalities, which the parser leaves out."""

    NONE = "none"
    OR = "or"
    AND = "and"
    BOTH = "both"


def joint_of(text: str) -> Joint:
    """What joins the inequalities of a text."""
    signs = [sign.span() for sign in _SIDES.finditer(text)]
    if len(signs) < 2:
        return Joint.NONE
    begin, end = signs[0][1], signs[-1][0]
    one, all_ = (word.search(text, begin, end) is not None for word in (_OR, _AND))
    return Joint.BOTH if one and all_ else Joint.OR if one else Joint.AND if all_ else Joint.NONE


def solved_set(form: Any, joint: Joint = Joint.NONE) -> Any:
    """The set of numbers that an expression says its variable to be in; None: it says none.

    Of several inequalities that no word joins all hold, or where that cannot be, one of them.
    """
    if isinstance(form, _untyped.FiniteSet):
        parts = [_solved(part) for part in form.args]
        if None in parts or not parts or len(form.free_symbols) != 1:
            return None
        if joint is Joint.BOTH and len(parts) > 1:
            return None
        either, both = _untyped.Union(*parts), _untyped.Intersection(*parts)
        if joint is Joint.OR or (joint is Joint.NONE and both is _untyped.S.EmptySet):
            return either
        return both
    return _solved(form)


def _solved(form: Any) -> Any:
    if not isinstance(form, (_relational, *_joined)):
        return None
    symbols = form.free_symbols
    if len(symbols) != 1:
        return None
    (symbol,) = symbols
    for atom in form.atoms(_relational):
        if isinstance(atom, _untyped.Eq):
            return None
        sides = {atom.lhs, atom.rhs} - {symbol}
        if symbol not in (atom.lhs, atom.rhs) or not all(side.is_number for side in sides):
            return None
    real = _untyped.Symbol("real", real=True)
    return form.xreplace({symbol: real}).as_set()
