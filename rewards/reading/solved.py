r"""Sets that are written as solved inequalities: ``0 < x < 5`` is ``(0, 5)``. Loads sympy.

Only where nothing is left to solve: each side is the variable by itself, or a number. What has to
be solved first is no answer to the question of what solves it.
"""

from __future__ import annotations

from typing import Any

import sympy
from sympy.core.relational import Relational
from sympy.logic.boolalg import And, Or

_untyped: Any = sympy
_relational: Any = Relational
_joined: Any = (And, Or)


def solved_set(form: Any) -> Any:
    """The set of numbers that an expression says its variable to be in; None: it says none.

    Of several inequalities all hold, or where that cannot be, one of them.
    """
    if isinstance(form, _untyped.FiniteSet):
        parts = [_solved(part) for part in form.args]
        if None in parts or not parts or len(form.free_symbols) != 1:
            return None
        both = _untyped.Intersection(*parts)
        return _untyped.Union(*parts) if both is _untyped.S.EmptySet else both
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
