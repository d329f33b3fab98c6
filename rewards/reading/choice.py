r"""Choice letters: which of the options of a question an answer names.

An answer names a choice where it is the letter, alone or with the option's text after a mark:
``B``, ``(B)``, ``B.``, ``B) 45 cm``, ``option B``, ``\boxed{\text{B}}``, ``B, because …``. A letter
that begins a sentence is none: ``A triangle``, ``I think``. Several letters are several choices, in
any order: ``A, C``, ``A and C``, ``AC``, ``A is correct and C is correct``. ``A or C`` names none
of the two.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .candidates import MAX_FREE_CHARS, Candidate, candidates, without_negated
from .notation import canonical

OPTIONS = "ABCDEFGHIJ"
"""The letters that are read as choices where nothing else is said."""
MAX_OPTIONS = 26
_MAX_CHARS = 300

_LEAD = (
    r"(?:(?:the|both|only|definitely|most likely|correct|right|best|final|answers?|is|are|be"
    r"|options?|choices?|letters?|statements?|selected|so|thus|hence|therefore|it|it's|must|that's"
    r"|that)[ :,]+){0,6}"
)
_MARKED = (
    r"(?:\(\s?{c}\s?\)|\[\s?{c}\s?\]|\{{\s?{c}\s?\}}"
    r"|{c}(?![A-Za-z0-9_^'’=+*\\]|/(?!{c}(?![A-Za-z0-9]))))"
)
_JOINT = r"(?:\s?[,;/&+]\s?(?:and|or)?\s?|\s(?:and|or|as well as)\s|\s)"
_AFTER = (
    r"(?:\s?[.):\]](?:\s.*)?|\s?,?\s\(?(?:(?:and |but )?not(?! (?:the )?(?:correct|right|true|best"
    r"|sure|certain|valid|possible|answer)\b)|rather than|instead of|because|since"
    r"|as|which|where|so|due|given|for|is (?:the )?"
    r"(?:correct|right|best|true|answer)|are (?:the )?(?:correct|right|true))\b.*"
    r"|\s(?:\(|[-\u2013\u2014:]+\s).*|\s[\\$0-9].*)?"
)
_WORDS_BEFORE = re.compile(_LEAD, re.IGNORECASE)


def letters(text: str, options: str = OPTIONS) -> frozenset[str] | None:
    """The choices that an answer names: more than one where it names several, none undecided.

    None where it is no choice. The empty set where it leaves open which of several.
    """
    text = _dressed_off(text)
    if not text or len(text) > _MAX_CHARS:
        return None
    lead = _WORDS_BEFORE.match(text)
    rest = text[lead.end() :] if lead else text
    match = _pattern(options).fullmatch(rest)
    if match is None:
        lone = rest.strip("()[]{}. ")
        if len(lone) == 1 and lone.upper() in options and len(rest) <= 3:
            return frozenset(lone.upper())
        if (
            1 < len(rest) <= len(options)
            and set(rest) <= set(options)
            and len(set(rest)) == len(rest)
        ):
            return frozenset(rest)
        return None
    named = match["named"]
    found = frozenset(re.findall(rf"(?<![A-Za-z])[{options}](?![A-Za-z])", named))
    also = _ALSO.finditer(rest, match.end("named"))
    found |= {letter for m in also for letter in m.groups() if letter and letter in options}
    return frozenset() if len(found) > 1 and re.search(r"\bor\b", named) else found


_BESIDE = r"(?<![A-Za-z0-9])\(?([A-Z])\)?"
_ALSO = re.compile(
    rf"{_BESIDE} (?:is|are|must be)(?: also)?(?: (?:the|a))?(?: only)? (?:correct|right|best|true"
    rf"|answer\b(?! to))\b(?! only)|\b(?:so|as) (?:is|are) {_BESIDE}(?![A-Za-z0-9])"
    rf"|\band {_BESIDE},? (?:too|as well|also)\b"
)
"""Another option that is called right, behind the one that is named."""
_PATTERNS: dict[str, re.Pattern[str]] = {}


def _pattern(options: str) -> re.Pattern[str]:
    pattern = _PATTERNS.get(options)
    if pattern is None:
        one = _MARKED.format(c=f"[{options}]")
        pattern = re.compile(
            rf"(?P<named>{one}(?:{_JOINT}{one}){{0,{MAX_OPTIONS}}}){_AFTER}", re.DOTALL
        )
        _PATTERNS[options] = pattern
    return pattern


def gold_letters(text: str, options: str = OPTIONS) -> frozenset[str] | None:
    """The choices of a gold; None where it names none, or leaves open which."""
    return letters(text, options) or None


def _dressed_off(text: str) -> str:
    text = canonical(text[: _MAX_CHARS + 100])
    for word in ("\\text", "\\mathrm", "\\mathbf", "\\textbf", "$", "**", "\\boxed", '"', "`"):
        text = text.replace(word, "")
    return text.replace("{", "").replace("}", "").strip(" '*_.<>")


_NAMED = re.compile(
    r"(?:\b(?:correct|right|best|final|true)\s(?:option|choice|answer|response|statement)s?|"
    r"\b(?:options?|choices?|selected|choose|chose|pick|select|go(?:ing)? with)\b"
    r"|\b(?:respuesta|réponse|resposta|antwort|risposta|ответ|jawaban|jibu)\b|정답|답변|回答"
    r"|(?:故|应|應|所以|因此)?[选選](?:择|擇|项|項)?)"
    r"(?:[^\n.:=：]{0,40}?(?:\b(?:is|are|be|es|est|ist|è|é|adalah|ni)\b|:|=|：|是|为))?[\s*_:：]{0,6}",
    re.IGNORECASE,
)
_CALLED_RIGHT = re.compile(
    r"(?<![A-Za-z0-9])\(?([A-Z])\)? (?:is|must be) (?:the )?(?:correct|right|best|only correct)\b"
)
_LETTER_LINES = re.compile(r"(?:[-*\u2022 \t(]{0,4}[A-Z][ \t.)]{0,3}(?:\n|\Z)){2,26}")
_BRACKETED = re.compile(r"\(\s?([A-Z])\s?\)")
_MAX_NAMED = 64


def choice_candidates(text: str, options: str) -> Iterator[Candidate]:
    """Where a response may name its choice, best first: as `candidates`, and two places more.

    What is called the choice or the option ("the correct choice is (B)", "I choose option C"), and
    at last the only letter in brackets of the last line.
    """
    for candidate in candidates(text):
        if candidate.source != "free":
            yield candidate
    tail = without_negated(text.rstrip()[-MAX_FREE_CHARS:])
    places = [match.end() for match in _NAMED.finditer(tail)][-_MAX_NAMED:]
    for place in reversed(places):
        line = tail[place:].partition("\n")[0]
        yield Candidate(_first_sentence(line) or line, "stated")
    tail = tail.rstrip("`~ \n")
    if _LETTER_LINES.fullmatch(tail):  # one letter a line
        yield Candidate(", ".join(re.findall("[A-Z]", tail)), "free")
    line = tail.rpartition("\n")[2].strip()
    yield Candidate(line or " ", "free")
    if (last := re.split(r"(?<=[.!?])\s+(?=[A-Z(])", line)[-1]) != line:
        yield Candidate(last, "free")
    called = set(_CALLED_RIGHT.findall(line)) & set(options)
    if len(called) == 1:
        yield Candidate(called.pop(), "free")
    bracketed = set(_BRACKETED.findall(line)) & set(options)
    if len(bracketed) == 1:
        yield Candidate(bracketed.pop(), "free")


def _first_sentence(line: str) -> str:
    return re.split(r"(?<=[\w)])\.(?:\s|$)", line, maxsplit=1)[0]


_LETTERS = re.compile(r"\(?[A-J]\)?(?:\s?(?:,|and|;)\s?\(?[A-J]\)?)*\.?")


def is_letters(text: str) -> bool:
    """Whether a text is choice letters and nothing else."""
    return len(text) <= 40 and _LETTERS.fullmatch(text) is not None
