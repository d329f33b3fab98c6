"""How an answer is written, beside what it says: one spelling of signs, spaces, wraps, words."""

from __future__ import annotations

import re

_SIGNS: dict[int, str] = str.maketrans(
    {
        "\u2212": "-",
        "\u2010": "-",
        "\u2011": "-",
        "\u2013": "-",
        "×": "\\times ",
        "·": "\\cdot ",
        "⋅": "\\cdot ",
        "∙": "\\cdot ",
        "÷": "\\div ",
        "π": "\\pi ",
        "θ": "\\theta ",
        "α": "\\alpha ",
        "β": "\\beta ",
        "λ": "\\lambda ",
        "φ": "\\phi ",
        "∞": "\\infty ",
        "≤": "\\le ",
        "≥": "\\ge ",
        "≠": "\\ne ",
        "≈": "\\approx ",
        "±": "\\pm ",
        "∪": "\\cup ",
        "∩": "\\cap ",
        "∈": "\\in ",
        "∅": "\\emptyset ",
        "ℝ": "\\mathbb{R}",
        "ℤ": "\\mathbb{Z}",
        "\u2044": "/",
        "\u2215": "/",
        "½": "\\frac{1}{2}",
        "⅓": "\\frac{1}{3}",
        "⅔": "\\frac{2}{3}",
        "¼": "\\frac{1}{4}",
        "¾": "\\frac{3}{4}",
        "⅕": "\\frac{1}{5}",
        "⅖": "\\frac{2}{5}",
        "⅗": "\\frac{3}{5}",
        "⅘": "\\frac{4}{5}",
        "⅙": "\\frac{1}{6}",
        "⅚": "\\frac{5}{6}",
        "⅛": "\\frac{1}{8}",
        "⅜": "\\frac{3}{8}",
        "⅝": "\\frac{5}{8}",
        "⅞": "\\frac{7}{8}",
        "°": "^\\circ ",
        "℃": "^\\circ C",
        "℉": "^\\circ F",
        "′": "'",
        "’": "'",
        "，": ", ",
        "、": ", ",
        "。": ". ",
        "\u200b": "",
        "\u2061": "",
        "\ufeff": "",
    }
    | dict.fromkeys("\xa0\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u3000", " ")
    | {chr(0xFF00 + n - 0x20): chr(n) for n in range(0x21, 0x7F) if chr(n) not in ",."}
)
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ⁿ", "0123456789-+n")
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_RAISED = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ⁿ]+")
_LOWERED = re.compile("[₀₁₂₃₄₅₆₇₈₉]+")

_LATEX_SPACE = re.compile(
    r"(?<!\\)\\(?:[,;: >]|quad\b|qquad\b|thinspace\b|enspace\b|hspace\{[^{}]*\})|~"
)
_NOTHING = re.compile(
    r"\\(?:!\s{0,4}|displaystyle\b|textstyle\b|limits\b|(?:left|right|[bB]igg?[lr]?)\b(?=[()\[\].|]))"
)
_TIMES_TEN = re.compile(r"(?<=[0-9])\s?[xX]\s?(?=10\s?(?:\^|\*\*))")
_FRAC = re.compile(r"\\[dtc]frac(?![A-Za-z])")
_COMMA = re.compile(r"\s?\{\s?,\s?\}")
_LETTER = re.compile(
    r"([A-Za-z0-9})\]]?)(?:\\(?:mathrm|mathit|mathbf|text|textrm|textit|textbf|textup|mbox"
    r"|operatorname|boldsymbol|bm)\s?\{\s?([A-Za-z:]|\\pi)\s?\}"
    r"|\{\\(?:rm|it|bf)\s([A-Za-z])\})"
)
_REPEATING = re.compile(
    r"(?<![0-9.,])([0-9]{0,15})\.([0-9]{0,15})\\(?:overline|bar)\s?(?:\{\s?([0-9]{1,15})\s?\}|([0-9]))"
)
_LEAD = re.compile(r"\\text\{[^{}]{0,80}(?:\bis|\bare|:|=)\s?\}\s?(?=[^\s])")
_SPACE = re.compile(r"\s+")
_WRAPS = (
    ("$$", "$$"),
    ("$", "$"),
    ("\\(", "\\)"),
    ("\\[", "\\]"),
    ("**", "**"),
    ("__", "__"),
    ("*", "*"),
    ("_", "_"),
    ("`", "`"),
    ('"', '"'),
    ("“", "”"),
)
_WHOLE_TEXT = re.compile(r"\\(?:text|textbf|textrm|textit|mathrm|mathbf|mbox|boxed)\s?\{([^{}]*)\}")
_SET_OFF_HEAD = re.compile(r"\$([^$]{1,200}[^$\s])\$(?=[ .,;]|$)(?![^$]{0,2000}\$)")


def canonical(text: str) -> str:
    r"""The answer without what says nothing, in one spelling of what it says.

    Signs of Unicode become LaTeX, LaTeX's spaces become spaces, letters that are only set upright
    become plain (``2\mathrm{e}`` is ``2 e``), and what wraps the whole is taken off: ``$…$``,
    ``**…**``, ``\text{…}``, a full stop. In time linear in the text.
    """
    if not text.isascii():
        text = _RAISED.sub(lambda m: f"^{{{m[0].translate(_SUPERSCRIPTS)}}}", text)
        text = _LOWERED.sub(lambda m: f"_{{{m[0].translate(_SUBSCRIPTS)}}}", text)
        text = text.translate(_SIGNS)
    if "\\" in text:
        text = _NOTHING.sub("", text)
        if "\\ " in text or "\\quad" in text or "\\qquad" in text or _LATEX_SPACE.search(text):
            text = _LATEX_SPACE.sub(" ", text)
        text = _FRAC.sub(r"\\frac", text).replace("\\varnothing", "\\emptyset")
        if "\\overline" in text or "\\bar" in text:
            text = _REPEATING.sub(_as_fraction, text)
        text = _LETTER.sub(lambda m: (m[1] and m[1] + " ") + (m[2] or m[3]), text)
    if "x" in text or "X" in text:
        text = _TIMES_TEN.sub(r"\\times ", text)
    if "\\" not in text and "~" in text:
        text = text.replace("~", " ")
    if "{" in text:
        text = _COMMA.sub(",", text)
        lead = _LEAD.match(text)
        if lead is not None:
            text = text[lead.end() :]
    text = unwrapped(_SPACE.sub(" ", text))
    return _SAID.get(text.casefold(), text) if text[:1].isalpha() else text


def _as_fraction(match: re.Match[str]) -> str:
    r"""``0.1\overline{6}`` is 15 of 90."""
    units, once, again = match[1] or "0", match[2], match[3] or match[4]
    below = 10 ** len(once) * (10 ** len(again) - 1)
    above = int(units + once + again) - int(units + once)
    return f"\\frac{{{above}}}{{{below}}}"


_REALS = ("all real numbers", "all reals", "real numbers", "the real numbers", "all real values")
_SAID = {
    **dict.fromkeys(
        (*_REALS, "the set of all real numbers", "set of all real numbers"), "\\mathbb{R}"
    ),
    **dict.fromkeys(("the set of real numbers", "any real number"), "\\mathbb{R}"),
    **dict.fromkeys(("the empty set", "empty set", "null set"), "\\emptyset"),
    **dict.fromkeys(("infinity", "positive infinity", "plus infinity"), "\\infty"),
    **dict.fromkeys(("negative infinity", "minus infinity"), "-\\infty"),
}


def unwrapped(text: str) -> str:
    """The text without white space, stops and the signs that wrap it as a whole."""
    for _ in range(_MAX_WRAPS):
        text = text.strip(" ").rstrip(".,;:").rstrip(" ")
        if text.startswith("$"):
            text = _SET_OFF_HEAD.sub(r"\1", text, count=1)
        if (wrapped := _WHOLE_TEXT.fullmatch(text)) is not None:
            text = wrapped[1]
            continue
        for left, right in _WRAPS:
            inner = text[len(left) : -len(right)]
            if text == left + inner + right and inner and left not in inner and right not in inner:
                text = inner
                break
        else:
            break
    return text


_MAX_WRAPS = 8

_NAMES = (
    "sin|cos|tan|cot|sec|csc|arcsin|arccos|arctan|sinh|cosh|tanh|log|ln|exp|sqrt|lim|gcd|lcm|max"
    "|min|det|mod|pi"
)
_BARE_NAMES = re.compile(rf"(?<![\\A-Za-z])({_NAMES})(?![A-Za-z])")
_INFINITY = re.compile(r"(?<![\\A-Za-z])(?:infinity|infty|inf|oo)(?![A-Za-z])", re.IGNORECASE)
_ROOT = re.compile(r"√\s?(?:\(([^()]*)\)|\{([^{}]*)\}|([0-9]+|[A-Za-z]))|\\?sqrt\s?\(([^()]*)\)")
_MIXED = re.compile(r"(?<![0-9./^{])([0-9]{1,20}) ([0-9]{1,20})\s?/\s?([0-9]{1,20})(?![0-9.])")
_GROUPS = re.compile(r"(?<![0-9.,])[0-9]{1,3}(?: [0-9]{3})+(?![0-9])")
_FRAC_DIGITS = re.compile(r"\\frac\s?([0-9])\s?([0-9])(?![0-9])")


def latex(text: str) -> str:
    r"""Plain notation as LaTeX: ``sqrt(2)``, ``2pi``, ``1 1/2``, ``43 279``; what is, stays."""
    text = _ROOT.sub(lambda m: f"\\sqrt{{{m[1] or m[2] or m[3] or m[4]}}}", text)
    text = _FRAC_DIGITS.sub(r"\\frac{\1}{\2}", text)
    text = _MIXED.sub(r"\1\\frac{\2}{\3}", text)
    text = _GROUPS.sub(lambda m: m[0].replace(" ", ""), text)
    text = text.replace("**", "^")
    if "\\circ" in text:
        text = _ANGLE.sub(r"\1\\frac{\2\\pi}{180}", text)
    return _INFINITY.sub(r"\\infty ", _BARE_NAMES.sub(r"\\\1 ", text))


# Of an angle in degrees the library would take the number alone.
_ANGLE = re.compile(
    r"(\\(?:sin|cos|tan|cot|sec|csc)\s?(?:\^\s?\{?[0-9]\}?\s?)?[({]?\s?)([0-9]{1,6})\s?\^\s?(?:\{\s?\\circ\s?\}|\\circ)"
)
# The index of a logarithm is none of them.
_LOOSE = re.compile(r"(?<!_)[0-9.] +[0-9.]")


def has_loose_numbers(text: str) -> bool:
    """Whether two numbers stand beside each other with nothing but a space between them."""
    return "&" not in text and _LOOSE.search(text) is not None


_COMMANDS = re.compile(
    r"\\(?:text|textbf|textrm|textit|mathrm|mathbf|mathbb|mbox|operatorname|begin|end)\s?\{[^{}]*\}"
    r"|\\[A-Za-z]+"
)
_WORD = re.compile(r"[^\W\d_]{3,}|\b(?:is|of|to|in|it|so|we|by|as|at|on|if|an|be)\b")
_WORDS_OF_NOTATION = frozenset(_NAMES.split("|")) | {"infinity", "infty", "inf", "and"}


def has_prose(text: str) -> bool:
    """Whether there are words beside the notation, or mathematics is set off by dollar signs."""
    if "$" in text:
        return True
    bare = _COMMANDS.sub(" ", text)
    return any(w not in _WORDS_OF_NOTATION for w in _WORD.findall(bare.lower()))


_MATHEMATICS = re.compile(r"[0-9$=<>^\\+*/]|(?<![A-Za-z])[b-hj-zB-HJ-Z](?![A-Za-z'])")


def has_mathematics(text: str) -> bool:
    """Whether there is anything in it that is no prose: a digit, a sign, a letter by itself."""
    return _MATHEMATICS.search(text) is not None


_AND_NOT = r"(?:and|or|pi|sqrt|sin|cos|tan|log|ln|exp|infinity)\b"
_CLAUSE = re.compile(
    rf"[,;:] (?!{_AND_NOT})(?=[a-z]{{2,}}\b(?! ?=))"
    r"|[,;:] (?=i\.e\.|e\.g\.)|[.;] (?=[A-Z\\$*(]|[a-z]{2,}\b)"
    r"| \((?=(?!or\b|and\b|not\b)[a-z]{2,}\b)"
    r"| (?=(?:because|since|which|where|when|hence|thus|therefore|as [a-z]{2,}|due to|so that)\b)"
    r"|,? (?=so (?!that)[a-z])| (?:--|\u2014|\u2013|-) (?=[a-z]{2,}\b)|\u2014(?=[a-z])"
)
_REASON = re.compile(
    r",? \(?(?=(?:because|since|which|where|when|whose|hence|thus|therefore|due|given|so|as|after"
    r"|before|namely|that is|i\.e\.|who|for [a-z]+ [a-z]+)\b)|[.;!] (?=[A-Z(*]|[a-z]{2,}\b)"
)


def head(text: str) -> str:
    """What is stated before the words about it begin: ``18`` of ``18, which is even``."""
    cut = _CLAUSE.search(text)
    return unwrapped(text[: cut.start()]) if cut else text


def head_of_words(text: str) -> str:
    """The same for words: only a reason is cut off, as ``True, False`` is not ``True``."""
    cut = _REASON.search(text)
    return unwrapped(text[: cut.start()]) if cut else text


_CLOCK = re.compile(r"(\d{1,2}:[0-5]\d(?::[0-5]\d)?)\s?(?:([ap])\.?\s?m\.?)?", re.IGNORECASE)
_SPACE_OUTSIDE = re.compile(r"(?<![0-9]) +| +(?![0-9])")


def same_text(one: str, other: str) -> bool:
    """Whether two canonical texts are the same; spaces count between digits only."""
    return one == other or _tight(one) == _tight(other)


def _tight(text: str) -> str:
    return _SPACE_OUTSIDE.sub("", text) if " " in text else text


def same_time(one: str, other: str) -> bool | None:
    """Whether two texts are the same time of day, which is no ratio; None where one is none."""
    times = [_CLOCK.fullmatch(_TEXT.sub(r"\1", t).replace(" :", ":")) for t in (one, other)]
    first, second = times
    if first is None or second is None:
        return None
    halves = {half.lower() for half in (first[2], second[2]) if half}
    return first[1].lstrip("0") == second[1].lstrip("0") and len(halves) < 2


_TEXT = re.compile(r"\\(?:text|textbf|textrm|textit|mathrm|mathbf|mbox)\s?\{([^{}]*)\}")
_ONLY_WORDS = re.compile(r"(?:[Aa] )?[^\W\d_]{2,}(?:[ '’&/,-]{1,3}[^\W\d_]+)*")


def flat(text: str) -> str:
    r"""The text without ``\text{}`` around words: ``20 \text{ percent}`` is ``20 percent``."""
    return _SPACE.sub(" ", _TEXT.sub(r" \1 ", text)).strip()


_ARTICLE = re.compile(r"^(?:the|an?) (?=[^\W\d_])")


def words_of(text: str) -> str:
    r"""The words that the answer is, in lower case and without ``\text{}``; "" where it is more."""
    text = _SPACE.sub(" ", _TEXT.sub(r"\1", text)).strip(" .,;:!?*_\"'“”‘’$(){}").casefold()
    if not _ONLY_WORDS.fullmatch(text) or text in _WORDS_OF_NOTATION or text == "oo":
        return ""
    return _ARTICLE.sub("", text)


def same_words(one: str, other: str) -> bool:
    """Whether two texts of words are the same; the plural of the last one does not count.

    What "and" joins has no order.
    """
    if " and " in one and " and " in other:
        return sorted(one.split(" and ")) == sorted(other.split(" and "))
    return one == other or (min(len(one), len(other)) > 2 and _singular(one) == _singular(other))


def _singular(words: str) -> str:
    if words.endswith("ies") and len(words) > 5:
        return words[:-3] + "y"
    for ending in ("sses", "xes", "ches", "shes"):
        if words.endswith(ending):
            return words[:-2]
    return words[:-1] if words.endswith("s") and not words.endswith(("ss", "us", "is")) else words


_FILLER = re.compile(
    r"(?:not |also |now |indeed |quite |very |in |the |most )*(?:in)?"
    r"(?:correct|right|helpful|wrong|clear|clearly|useful|fine|okay|ok|final|accurate|satisfactory"
    r"|good|acceptable|valid|unique|sufficient|reasonable|rounded|given|shown|boxed|highlighted"
    r"|marked|found|above|below|as follows|confirmed|verified|consistent|exact|simplified|box"
    r"|derived|obtained|enclosed|complete)\b",
    re.IGNORECASE,
)


def is_filler(text: str) -> bool:
    """Whether it says something about an answer rather than one: ``correct``, ``rounded to …``."""
    return _FILLER.match(text) is not None


_BRACKETS = re.compile(r"[(\[{]|[)\]}]")


def nesting(text: str) -> int:
    """How many brackets, of any kind, are open where the most are."""
    depth = deepest = 0
    for bracket in _BRACKETS.finditer(text):
        depth = depth + 1 if bracket[0] in "([{" else max(depth - 1, 0)
        deepest = max(deepest, depth)
    return deepest
