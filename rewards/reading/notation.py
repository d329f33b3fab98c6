"""How an answer is written, beside what it says: dressing, signs, units, letters, words."""

from __future__ import annotations

import re

_SIGNS = str.maketrans(
    {
        "\u2212": "-",
        "\u2013": "-",
        "×": "\\times ",
        "·": "\\cdot ",
        "÷": "\\div ",
        "π": "\\pi ",
        "∞": "\\infty ",
        "≤": "\\le ",
        "≥": "\\ge ",
        "≠": "\\ne ",
        "∪": "\\cup ",
        "∩": "\\cap ",
        "∈": "\\in ",
        "∅": "\\emptyset ",
        "²": "^2",
        "³": "^3",
        "½": "\\frac{1}{2}",
        "¼": "\\frac{1}{4}",
        "¾": "\\frac{3}{4}",
        "°": "^\\circ ",
        "\u00a0": " ",
        "\u202f": " ",
    }
)
_WRAPS = (("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"), ("**", "**"), ("`", "`"))
_SPACE = re.compile(r"\s+")
_UNITS = re.compile(
    r"(?P<number>[-+]?\\?\$?[0-9][0-9,]*(?:\.[0-9]+)?)\s+"
    r"(?P<word>[A-Za-z]{2,})(?P<units>(?:[ /'-][A-Za-z]+)*)"
)
_POWERS = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_NO_UNITS = re.compile(
    r"\b(?:percent|percentage|pct|hundred|thousand|million|billion|trillion|dozen|half|halve|"
    r"third|quarter|fourth|pi|and|or|to|plus|minus|times|over|sqrt)s?\b",
    re.IGNORECASE,
)


def normal(text: str) -> str:
    r"""The answer without what says nothing: ``$…$``, ``**``, a full stop, units after a number.

    Signs of Unicode become LaTeX. Units are words after a plain number, as in ``18 dollars``; a
    word that changes the number (percent, half …) is none, and ``2 million`` is a product.
    """
    text = _SPACE.sub(" ", text.translate(_SIGNS)).strip()
    while True:
        text = text.strip(" ").rstrip(".,;")
        for left, right in _WRAPS:
            inner = text[len(left) : -len(right)]
            if text == left + inner + right and inner and left not in inner and right not in inner:
                text = inner
                break
        else:
            break
    counted = _UNITS.fullmatch(text)
    if counted is None:
        return text
    number, word, units = counted["number"], counted["word"].lower(), counted["units"]
    if word.removesuffix("s") in _POWERS and not _NO_UNITS.search(units):
        return f"{number} \\times 10^{{{_POWERS[word.removesuffix('s')]}}}"
    return text if _NO_UNITS.search(f"{word} {units}") else number


_NAMES = (
    "sin|cos|tan|cot|sec|csc|arcsin|arccos|arctan|log|ln|exp|sqrt|lim|gcd|lcm|max|min|det|mod|pi"
)
_BARE_NAMES = re.compile(rf"(?<![\\A-Za-z])({_NAMES})(?![A-Za-z])")
_INFINITY = re.compile(r"(?<![\\A-Za-z])(?:infinity|infty|inf|oo)(?![A-Za-z])", re.IGNORECASE)
_ROOT = re.compile(r"√\s*(?:\(([^()]*)\)|([0-9A-Za-z]+))|\\?sqrt\(([^()]*)\)")
_MIXED = re.compile(r"(?<![0-9./^{])([0-9]+) ([0-9]+)\s?/\s?([0-9]+)(?![0-9.])")


def latex(text: str) -> str:
    r"""Plain notation as LaTeX: ``sqrt(2)``, ``2pi``, ``1 1/2``. What is LaTeX stays."""
    text = _ROOT.sub(lambda m: f"\\sqrt{{{m[1] or m[2] or m[3]}}}", text)
    text = _MIXED.sub(r"\1\\frac{\2}{\3}", text)
    return _INFINITY.sub(r"\\infty ", _BARE_NAMES.sub(r"\\\1 ", text))


_COMMANDS = re.compile(
    r"\\(?:text|textbf|textrm|textit|mathrm|mathbf|mbox|operatorname|begin|end)\s*\{[^{}]*\}|\\[A-Za-z]+"
)
_WORD = re.compile(r"[^\W\d_]{3,}")
_WORDS_OF_NOTATION = frozenset(_NAMES.split("|")) | {"infinity", "infty", "inf", "and"}


def has_prose(text: str) -> bool:
    """Whether there are words beside the notation, or mathematics is set off by dollar signs."""
    bare = _COMMANDS.sub(" ", text)
    return "$" in bare or any(w not in _WORDS_OF_NOTATION for w in _WORD.findall(bare.lower()))


_TEXT = re.compile(r"\\(?:text|textbf|textrm|textit|mathrm|mathbf|mbox)\s*\{([^{}]*)\}")
_ONLY_WORDS = re.compile(r"[^\W\d_]{2,}(?:[ '’&/,-]+[^\W\d_]+)*")


def words_of(text: str) -> str:
    r"""The words that the answer is, in lower case and without ``\text{}``; "" where it is more."""
    text = _SPACE.sub(" ", _TEXT.sub(r"\1", text)).strip(" .,;:!?*_\"'“”‘’$(){}").casefold()
    return text if _ONLY_WORDS.fullmatch(text) and not _is_notation(text) else ""


def _is_notation(text: str) -> bool:
    return text in _WORDS_OF_NOTATION or text == "oo"


_LETTER = re.compile(r"[\s*\"'{$]*(?:\\text(?:bf)?\s*\{)?\s*[(\[]?([A-J])[)\]]?(?![\w^=+*/({\\-])")


def letter_of(text: str) -> str:
    """The letter of a choice that the answer begins with, as in ``(B) 45 cm``; "" if none."""
    match = _LETTER.match(text)
    return match[1] if match else ""


_BRACKETS = re.compile(r"[(\[{]|[)\]}]")


def nesting(text: str) -> int:
    """How many brackets, of any kind, are open where the most are."""
    depth = deepest = 0
    for bracket in _BRACKETS.finditer(text):
        depth = depth + 1 if bracket[0] in "([{" else max(depth - 1, 0)
        deepest = max(deepest, depth)
    return deepest
