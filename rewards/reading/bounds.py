r"""How much a mathematical expression may cost, told from its text before anything evaluates it.

``9^{9^9}``, ``99999999!``, ``\binom{10^8}{5\cdot 10^7}`` and ``\sum_{n=1}^{10^9}`` are a line to
write and for ever to evaluate, much of that in one operation that nothing interrupts. `weigh` reads
the text once, from the left, and gives upper bounds: of the digits of every number on the way, and
of the terms of the whole when it is expanded. It knows no more of LaTeX than that needs.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

MAX_DIGITS = 20_000
"""An expression in which a number may have more digits than this is not evaluated."""
MAX_TERMS = 300
"""One that may expand to more terms is compared as it stands, not expanded."""
MAX_RANGE = 1_000
"""A sum or product over more than this is not evaluated."""

MAX_ROOT_DIGITS = 300
"""Nor is a root or a logarithm of a number with more: the library looks for its prime factors."""

_HUGE = 1e300
_MAX_POWERS = 60
_TOKEN = re.compile(
    r"(?P<number>[0-9]+(?:,[0-9]{3})*(?:\.[0-9]*)?|\.[0-9]+)"
    r"|(?P<words>\\(?:text|mathrm|textbf|textrm|mbox|operatorname|mathbb|begin|end)\s*\{[^{}]*\})"
    r"|(?P<command>\\[A-Za-z]+|\\.)|(?P<power>\^|\*\*)|(?P<open>[({\[])|(?P<close>[)}\]])"
    r"|(?P<letter>[A-Za-z])|(?P<other>\S)"
)
_SAFE_OPERATORS = frozenset(
    """
    arcsin arccos arctan arcsinh arccosh arctanh arsinh arcosh artanh sinh cosh tanh sec csc cot lcm
    gcd Re Im re im sgn sign floor ceil ln log mod span Span det tr trace rank max min
    """.split()  # noqa: SIM905 - a list of one word a line says no more
)
_CONSTANTS = frozenset((r"\pi", r"\sqrt"))
_TERM_ENDS = frozenset("=<>,;&|:")


class TooCostly(ValueError):
    """The expression may take without end to evaluate."""


@dataclass(slots=True)
class Weight:
    """Upper bounds of an expression: its absolute value, the digits of a number in it, its terms.

    `exact`: it is a rational number; powers of anything else are not multiplied out as digits, but
    their sums are as terms. `free`: a variable stands in it. `integer`: a whole number as it is
    written, which as an exponent takes no root.
    """

    value: float = 1.0
    digits: float = 0.0
    terms: float = 1.0
    exact: bool = True
    free: bool = False
    integer: bool = False


def weigh(text: str) -> Weight:
    """The bounds of the expression that the text is, in LaTeX or plain notation.

    Raises:
        TooCostly: a number in it has too many digits, a sum too many terms, or it names an
            operation whose cost is not known.
    """
    if text.count("^") + text.count("**") > _MAX_POWERS:
        raise TooCostly("too many powers")
    return _Scan(text).run()


class _Scan:
    def __init__(self, text: str) -> None:
        self._tokens = list(_TOKEN.finditer(text))
        self._at = 0

    def run(self) -> Weight:
        weight = self._sequence()
        while self._at < len(self._tokens):  # closed without being open
            self._at += 1
            weight = _product(weight, self._sequence())
        return weight

    def _peek(self) -> str:
        return self._tokens[self._at][0] if self._at < len(self._tokens) else ""

    def _sequence(self) -> Weight:
        """Terms up to the bracket that closes, or to the end."""
        total: Weight | None = None
        term: Weight | None = None
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            kind, text = token.lastgroup, token[0]
            if kind == "close":
                break
            if text in "+-" or text in _TERM_ENDS or text in (r"\pm", r"\\", r"\cup"):
                self._at += 1
                total, term = _sum(total, term), None
                continue
            factor = self._powered()
            term = factor if term is None else _product(term, factor)
        return _sum(total, term) or Weight()

    def _powered(self) -> Weight:
        """An atom with all that is written after it: powers, factorials, indices."""
        base = self._atom()
        while True:
            text = self._peek()
            if text in ("^", "**"):
                self._at += 1
                if self._peek() in ("-", "+"):
                    self._at += 1
                base = _power(base, self._powered())
            elif text == "!":
                self._at += 1
                base = _factorial(base)
            elif text == "_":
                self._at += 1
                self._atom()
            else:
                return base

    def _atom(self) -> Weight:
        if self._at >= len(self._tokens):
            return Weight()
        token = self._tokens[self._at]
        kind, text = token.lastgroup, token[0]
        if kind == "close":
            return Weight()
        self._at += 1
        match kind:
            case "number":
                return _literal(text)
            case "letter":
                if text in "ei":
                    return Weight(2.8, 0.0, 1.0, exact=False)
                return Weight(10.0, 0.0, 1.0, exact=False, free=True)
            case "open":
                inner = self._sequence()
                self._at = min(self._at + 1, len(self._tokens))
                return inner
            case "words":
                return _named(text)
            case "command":
                return self._command(text)
            case _:
                return Weight()

    def _command(self, name: str) -> Weight:
        if name in (r"\frac", r"\dfrac", r"\tfrac", r"\cfrac"):
            above, below = self._atom(), self._atom()
            value = min(above.value * 10 ** min(below.digits, 300), _HUGE)
            return _checked(
                Weight(
                    value,
                    above.digits + below.digits,
                    max(above.terms, below.terms),
                    above.exact and below.exact,
                    above.free or below.free,
                )
            )
        if name in (r"\binom", r"\dbinom", r"\tbinom", r"\choose"):
            return _binomial(self._atom(), self._atom())
        if name in (r"\sum", r"\prod", r"\bigcup", r"\bigcap"):
            return self._range(name)
        if name in _CONSTANTS:
            inner = self._root() if name == r"\sqrt" else Weight(3.2)
            return Weight(inner.value, inner.digits, inner.terms, exact=False, free=inner.free)
        if name == r"\Gamma":
            return _factorial(self._atom())
        if name in (r"\log", r"\ln", r"\lg"):
            self._log()
        return Weight(10.0, 0.0, 1.0, exact=True)

    def _root(self) -> Weight:
        has_degree = self._peek() == "["
        inner = self._atom()
        return _rooted(_product(inner, self._atom()) if has_degree else inner)

    def _log(self) -> None:
        if self._peek() == "_":
            self._at += 1
            _rooted(self._atom())
        at = self._at
        _rooted(self._powered())
        self._at = at

    def _range(self, name: str) -> Weight:
        """The operator with its limits; what it adds or multiplies is the next factor."""
        upper = lower = Weight()
        while self._peek() in ("_", "^"):
            below = self._peek() == "_"
            self._at += 1
            if below:
                lower = self._atom()
            else:
                upper = self._powered()
        if not upper.free and max(upper.value, lower.value) > MAX_RANGE:
            raise TooCostly(f"{name} over more than {MAX_RANGE} terms")
        return Weight(min(upper.value, MAX_RANGE), 3.0, 1.0, exact=False, free=upper.free)


def _literal(text: str) -> Weight:
    digits = text.replace(",", "")
    if len(digits) > 300:
        return Weight(_HUGE, float(len(digits)), integer=True)
    value = float(digits) if digits != "." else 1.0
    size = abs(math.log10(value)) if value else 0.0
    return Weight(value, max(size, len(digits.partition(".")[2])), integer="." not in digits)


def _rooted(weight: Weight) -> Weight:
    if weight.digits > MAX_ROOT_DIGITS:
        raise TooCostly(f"a root or logarithm of a number of more than {MAX_ROOT_DIGITS} digits")
    return weight


def _named(text: str) -> Weight:
    if text.startswith((r"\operatorname", r"\begin")):
        name = text.partition("{")[2].rstrip("}").strip()
        if text.startswith(r"\operatorname") and len(name) > 1 and name not in _SAFE_OPERATORS:
            raise TooCostly(f"{text[:80]} is not known")
    return Weight(10.0, 0.0, 1.0, exact=False, free=True)


def _sum(total: Weight | None, term: Weight | None) -> Weight | None:
    if total is None or term is None:
        return total or term
    return Weight(
        min(total.value + term.value, _HUGE),
        # A sum has no more digits than its parts together, and a whole sum of plain numbers is one.
        max(total.digits, term.digits) + 0.3,
        total.terms + term.terms,
        total.exact and term.exact,
        total.free or term.free,
        total.integer and term.integer,
    )


def _product(one: Weight, other: Weight) -> Weight:
    return _checked(
        Weight(
            min(one.value * other.value, _HUGE),
            one.digits + other.digits,
            min(one.terms * other.terms, _HUGE),
            one.exact and other.exact,
            one.free or other.free,
            one.integer and other.integer,
        )
    )


def _power(base: Weight, exponent: Weight) -> Weight:
    free = base.free or exponent.free
    if exponent.free:  # stays as it is
        digits = base.digits + exponent.digits
        return _checked(Weight(_HUGE, digits, base.terms + exponent.terms, False, True))
    if not exponent.integer:
        _rooted(base)
    times = max(exponent.value, 1.0)
    digits = base.digits * times + exponent.digits
    if not base.exact and base.terms <= 1:
        digits = base.digits + exponent.digits
        if times > 1e9 or base.digits * times > 10 * MAX_DIGITS:
            raise TooCostly("a power of too high a degree")
    size = times * math.log10(max(base.value, 1.0))
    terms = 1.0 if base.exact else _expanded(base.terms, times)
    value = 10**size if size < 300 else _HUGE
    integer = base.integer and exponent.integer
    return _checked(Weight(value, digits, terms, base.exact and exponent.exact, free, integer))


def _expanded(terms: float, times: float) -> float:
    """How many terms a sum of so many has when it is raised to a power."""
    if terms <= 1:
        return 1.0
    if terms > 50 or times > 10_000:
        return _HUGE
    return min(float(math.comb(int(times + terms) - 1, int(terms) - 1)), _HUGE)


def _factorial(base: Weight) -> Weight:
    if base.free:
        return Weight(_HUGE, base.digits, base.terms, False, True)
    n = max(base.value, 1.0)
    digits = n * math.log10(n + 1)
    value = 10**digits if digits < 300 else _HUGE
    return _checked(Weight(value, digits, 1.0, base.exact, integer=True))


def _binomial(above: Weight, below: Weight) -> Weight:
    if above.free or below.free:
        return Weight(_HUGE, above.digits + below.digits, 1.0, False, True)
    n = max(above.value, 1.0)
    # The library takes a binomial as a product of so many factors.
    digits = min(n * 0.302, max(below.value, 1.0) * math.log10(n + 1))
    if min(n, below.value) > MAX_DIGITS:
        raise TooCostly("a binomial coefficient of too many factors")
    value = 10**digits if digits < 300 else _HUGE
    return _checked(Weight(value, digits, 1.0, above.exact and below.exact, integer=True))


def _checked(weight: Weight) -> Weight:
    if weight.digits > MAX_DIGITS:
        raise TooCostly(f"a number of more than {MAX_DIGITS} digits")
    return weight
