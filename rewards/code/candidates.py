"""Where the program of a response may stand. Nothing is parsed here: see `sandbox.guest.source`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

from ..reading.thoughts import CHANNEL, PROMPTED, TRAINED, after_thoughts

Which = Literal["last", "first", "none"]

MAX_CHARS = 65_536
"""Of a program, as contests have it."""
MAX_CANDIDATES = 8
Language = Literal["python", "cpp", "c"]
_PYTHON = frozenset({"python", "py", "python3", "py3", "python2", "ipython", "ipython3", "sage"})
_MARKS: Mapping[Language, tuple[frozenset[str], ...]] = {
    "python": (_PYTHON,),
    "cpp": (frozenset({"cpp"}), frozenset({"c"})),
    "c": (frozenset({"c"}),),
}
"""How fences name a language, the likelier names first (see `_mark`)."""
_CPP = re.compile(r"(?:gnu|g)?(?:c?\+\+|cpp|cxx|cplusplus)-?(?:\d[\da-z])?|cc")
_C = re.compile(r"(?:gnu-?)?c(?:\d[\da-z])?|gnu\d\d")
_NAMES: tuple[tuple[re.Pattern[str], Language], ...] = (
    (re.compile(r"(?:python|pypy|py)(?![a-z])"), "python"),
    (re.compile(r"(?:gnu |ms |clang)?(?:(?:c|g|clang)\+\+|cpp(?![a-z]))"), "cpp"),
    (re.compile(r"(?:gnu )?c(?:\d\d)?(?![\w#+])"), "c"),
)
"""How data sets name a language, as they begin: "GNU C++17", "C++20 (GCC 13)", "PyPy 3", "cpp"."""
_MAIN = re.compile(r"\bmain\s*\(")
_INCLUDE = re.compile(r"^[ \t]*#[ \t]*include\b", re.MULTILINE)
_PLAIN = frozenset({"", "text", "txt", "plaintext", "plain", "code", "output"})
_OPEN = re.compile(r"([ \t]*)(?:>[ \t]?)?(`{3,}+|~{3,}+)[ \t]*([^`]*)")
_INLINE_OPEN = re.compile(
    r"[^`~]*(`{3,}+|~{3,}+)[ \t]*(python3?|py3?|cpp|c\+\+)[ \t]*", re.IGNORECASE
)
_ONE_LINE = re.compile(r"(?<!`)`{3,}+(?:python3?|py3?)?[ \t]+([^`\n]+)`{3,}", re.IGNORECASE)
_MARK = re.compile(r"[{.\s]*([A-Za-z0-9+#_-]*)")
_THOUGHTS = (*TRAINED, CHANNEL, *PROMPTED)
_TAGGED = (("<answer>", "</answer>"), ("[PYTHON]", "[/PYTHON]"), ("[BEGIN]", "[DONE]"))


class _Block(NamedTuple):
    mark: str
    begin: int
    """The first line of its body."""
    end: int
    """The line behind its body."""
    indent: str
    tail: str = ""
    """What stands before a fence at the end of a line of code."""


def find_candidates(text: str, which: Which = "last", language: Language = "python") -> list[str]:
    """The texts that may be the program, the likeliest first; none: the response gives none.

    Fenced blocks that are marked as the language, from the last (or the first) on; then those that
    are not marked; then, where there is no fence that opens one, what stands before a fence that
    closes, in a tag for answers, or all. Thoughts are cut first; of one that does not end, what
    stands before it is left. `which` "none": the whole text, fences or not. Blank is no program,
    nor is what has more than `MAX_CHARS`, nor in C++ and C what has no function main.
    """
    if which == "none":
        return [text] if _is_program(text, language) else []
    spoken, lines, blocks = _read(text, which)
    likely = [b for marks in (*_MARKS[language], _PLAIN) for b in blocks if b.mark in marks]
    found = [_body(lines, b) for b in likely]
    found += [whole for b in likely[:2] for whole in _longer(lines, b)]
    found += [m[1] for m in _ONE_LINE.finditer(spoken)]
    first = next((i for i, line in enumerate(lines) if line.strip() in ("```", "~~~")), -1)
    if first >= 0 and not any(b.begin <= first for b in blocks):
        # It may close what the prompt opened.
        found.append("\n".join(lines[:first]) + "\n")
    if not blocks:
        found += _unfenced(spoken, lines)
    kept = dict.fromkeys(body for body in found if _is_program(body, language))
    return list(kept)[:MAX_CANDIDATES]


def language_of(text: str, which: Which = "last") -> Language:
    """The language of the program in a response: that of its last (or first) fenced block of one.

    Where no fence names one that is known, it is C++ where something includes a header.
    """
    if which != "none":
        text, lines, blocks = _read(text, which)
        for block in blocks:
            for language, (marks, *_others) in _MARKS.items():
                if block.mark in marks and _is_program(_body(lines, block), language):
                    return language
    return "cpp" if _INCLUDE.search(text) and _MAIN.search(text) else "python"


def _read(text: str, which: Which) -> tuple[str, list[str], list[_Block]]:
    """A response without its thoughts, its lines, and its fenced blocks from the likeliest on."""
    spoken = after_thoughts(text.replace("\r\n", "\n"), _THOUGHTS, unfinished="before")
    lines = spoken.split("\n")
    blocks = list(_blocks(lines))
    return spoken, lines, blocks if which == "first" else blocks[::-1]


def language_named(name: object) -> Language | None:
    """The language that a data set names; None: it is another, or no programming language."""
    text = str(name).strip().lower()
    return next((language for names, language in _NAMES if names.match(text)), None)


def _is_program(text: str, language: Language) -> bool:
    if language != "python" and not _MAIN.search(text):
        return False
    return bool(text.strip()) and len(text) <= MAX_CHARS


def _blocks(lines: list[str]) -> Iterator[_Block]:
    """The fenced blocks. Each line is looked at once: a response may be made of fences."""
    opened: tuple[str, str, str] | None = None
    begin = 0
    for index, line in enumerate(lines):
        fence = _OPEN.fullmatch(line.rstrip())
        if opened is None:
            if fence is None and "```" not in line and "~~~" not in line:
                continue
            if fence is not None:
                opened = fence[1], fence[2], _mark(fence[3])
            elif inline := _INLINE_OPEN.fullmatch(line.rstrip()):
                opened = "", inline[1], _mark(inline[2])
            begin = index + 1
            continue
        indent, marker, mark = opened
        if fence is not None and fence[2][0] == marker[0] and len(fence[1]) <= len(indent) + 3:
            if len(fence[2]) < len(marker):
                continue
            yield _Block(mark, begin, index, indent)
            # A fence with a mark cannot close a block: it opens the next.
            opened = (fence[1], fence[2], _mark(fence[3])) if _opens(fence[3]) else None
            begin = index + 1
        elif fence is None and line.rstrip().endswith(marker):
            tail = line.rstrip().removesuffix(marker)
            yield _Block(mark, begin, index, indent, tail)
            opened = None
        elif fence is None and f"{marker}</" in line:
            yield _Block(mark, begin, index, indent, line.partition(marker)[0])
            opened = None
    if opened is not None and begin < len(lines):
        yield _Block(opened[2], begin, len(lines), opened[0])


def _opens(info: str) -> bool:
    """Whether what follows a fence is a mark, as of a language, and not the text behind a block."""
    return _mark(info) in _PYTHON or bool(re.fullmatch(r"[A-Za-z][A-Za-z0-9+#-]*", info.strip()))


def _mark(info: str) -> str:
    """The name of a language, the same for all versions of C++, and of C."""
    found = _MARK.match(info.strip().lower())
    name = found[1] if found else ""
    if _CPP.fullmatch(name):
        return "cpp"
    return "c" if _C.fullmatch(name) else name


def _body(lines: list[str], block: _Block) -> str:
    body = [line.removeprefix(block.indent) + "\n" for line in lines[block.begin : block.end]]
    return "".join(body) + block.tail


def _longer(lines: list[str], block: _Block) -> Iterator[str]:
    """What the block is if the fence that ends it stands in the program: up to the last one."""
    for index in range(len(lines) - 1, block.end, -1):
        if lines[index].strip() in ("```", "~~~", "````"):
            yield _body(lines, block._replace(end=index, tail=""))
            return


def _unfenced(text: str, lines: list[str]) -> Iterator[str]:
    for begin, end in _TAGGED:
        before, found, _after = text.rpartition(end)
        if found and begin in before:
            yield before.rpartition(begin)[2]
    yield "\n".join(lines)
