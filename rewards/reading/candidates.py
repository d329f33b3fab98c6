r"""Where the final answer may stand in a response, by the conventions that models are trained on.

`candidates` gives the places, the most likely first; a reader takes the first that it can read, so
that a closing sentence ("I hope this answer is correct") never hides the answer. Where there is an
``<answer>`` block only the last closed one is looked at. In what remains, in this order, and within
each from the end of the text:

1. ``boxed``: the content of a ``\boxed{…}`` that is closed and not empty. Boxes joined by a comma,
   "and" or "or" are one answer: ``\boxed{1}$ and $\boxed{2}`` is ``1, 2``.
2. ``hashes``: what follows ``####`` on a line that ends the text, or a number on a line of its own:
   elsewhere it is a heading.
3. ``stated``: what follows "answer is", "answer:", "answer =" and the like, or ``A:`` at the start
   of a line where no ``B:`` stands beside it, to the end of that line, or of the next one with
   anything in it. "Final answer is" after the last box comes before the boxes, "solutions are" and
   the like after all of these.
4. ``tagged``: all of the ``<answer>`` block.
5. ``free``: the end of the text, of which the reader takes the last expression.

A text that ends within a box was cut there, and has no candidates: an earlier box is no answer
either. What "the answer is not" says is not read. Each convention is looked for at a bounded number
of places from the end, in linear time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from .number import whole
from .tag import last_block

MAX_ANSWER_CHARS = 2000
"""An answer longer than this is wrong; it is not read."""
MAX_FREE_CHARS = 500
"""How much of the end of the text is looked at when no convention is met."""
_MAX_TRIES = 16

Source = Literal["boxed", "hashes", "stated", "tagged", "free"]


class Candidate(NamedTuple):
    """The text of what may be the answer, not empty, and the convention that it was found by."""

    text: str
    source: Source


def candidates(text: str) -> Iterator[Candidate]:
    """The places where the answer may stand in a response without its thoughts, best first."""
    if "<answer>" not in text and ("<Answer>" in text or "<ANSWER>" in text):
        text = _ANSWER_TAG.sub(lambda tag: tag[0].lower(), text)
    block = last_block(text, "answer") if "<answer>" in text else None
    if block is not None:
        text = block
    text = without_negated(text)
    if "\\" in text:
        if _is_cut(text):
            return
        final = _final_statement(text)
        if final:
            yield from _stated(final)
        yield from _boxed(text)
    if "#" in text and "####" in text:
        yield from _hashes(text)
    yield from _stated(text)
    yield from _concluded(text)
    if block is not None:
        if text := text.strip():
            yield Candidate(text[: MAX_ANSWER_CHARS + 1], "tagged")
    elif tail := _tail(text.rstrip()):
        yield Candidate(tail, "free")


def without_negated(text: str) -> str:
    """The text without what it says that the answer is not."""
    if ("nswer" in text or "NSWER" in text) and any(word in text for word in _NOTS):
        return _NEGATED.sub(" ", text)
    return text


def _tail(text: str) -> str:
    """The end of the text, cut at white space: half a number is another number."""
    if len(text) <= MAX_FREE_CHARS:
        return text.lstrip()
    tail = text[-MAX_FREE_CHARS:]
    if tail[0].isspace() or text[-MAX_FREE_CHARS - 1].isspace():
        return tail.strip()
    _half, *rest = tail.split(maxsplit=1)
    return rest[0] if rest else ""


_ANSWER_TAG = re.compile(r"</?answer>", re.IGNORECASE)
_BOX = re.compile(r"\\(?:boxed|fbox)\s*")
_MATH_ENDS = re.compile(r"\$|\\[)\]]|\n[ \t]*\n")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_BARE = re.compile(r"[^\s$\\{}]{1,200}")
_SET_OFF = re.compile(r"\\(?:quad|qquad|text\s{0,4}\{|[,;:! ()\[\]])|[\s$~{}]")
_JOINTS = frozenset((",", ";", "and", "or", ",and", ",or", "&"))
_MAX_JOINT_CHARS = 64


def _is_cut(text: str) -> bool:
    """Whether the text ends within a box: what was to stand in it, nobody knows."""
    begin = max(text.rfind("\\boxed"), text.rfind("\\fbox"))
    if begin < 0 or _box_at(text, begin) is not None:
        return False
    return _MATH_ENDS.search(text, begin) is None


def _boxed(text: str) -> Iterator[Candidate]:
    boxes: list[str] = []
    left = len(text)
    for _ in range(_MAX_TRIES):
        begin = max(text.rfind("\\boxed", 0, left), text.rfind("\\fbox", 0, left))
        if begin < 0:
            break
        box = _box_at(text, begin)
        if box is None:
            left = begin
            continue
        content, end = box
        if boxes and not _joined(text, end, left):
            yield Candidate(", ".join(boxes), "boxed")
            boxes = []
        if content:
            boxes.insert(0, content)
        left = begin
    if boxes:
        yield Candidate(", ".join(boxes), "boxed")


def _final_statement(text: str) -> str:
    """The text from "final answer is" on, where that stands after the last box."""
    at = text.rfind("inal answer is", max(text.rfind("\\boxed"), text.rfind("\\fbox"), 0))
    return text[at:] if at > 0 and "\\boxed" not in text[at:] else ""


def _joined(text: str, end: int, begin: int) -> bool:
    """Whether nothing but a comma, "and" or "or" stands between two places of a line."""
    if not 0 <= begin - end <= _MAX_JOINT_CHARS:
        return False
    if begin == end:
        return True
    return _SET_OFF.sub("", text[end:begin]) in _JOINTS


def _box_at(text: str, begin: int) -> tuple[str, int] | None:
    """The content of the box that begins there, and where the box ends; None where it is cut."""
    head = _BOX.match(text, begin)
    at = head.end() if head else begin
    if not text.startswith("{", at):
        bare = _BARE.match(text, at)
        return (bare[0].rstrip(".,;:"), bare.end()) if bare else None
    depth = 0
    for brace in _BRACE.finditer(text, at, at + MAX_ANSWER_CHARS + 100):
        depth += {"{": 1, "}": -1}.get(brace[0], 0)
        if depth == 0 and brace[0] == "}":
            return text[at + 1 : brace.start()].strip(), brace.end()
    # What is too long to be read is no reason to read an earlier box instead.
    content = text[at + 1 : at + 2 + MAX_ANSWER_CHARS]
    return (content, len(text)) if len(content) > MAX_ANSWER_CHARS else None


_REST_IS_BLANK = re.compile(r"\s*\Z")
_DRESSING = " \t\r>*_"


def _hashes(text: str) -> Iterator[Candidate]:
    left = len(text)
    for _ in range(_MAX_TRIES):
        at = text.rfind("####", 0, left)
        if at < 0:
            return
        left = at
        end = text.find("\n", at)
        if end < 0:
            end = len(text)
        line = text[at + 4 : min(end, at + MAX_ANSWER_CHARS + 10)].strip(" \t\r#*")
        if not line:
            continue
        if _REST_IS_BLANK.match(text, end) or (_begins_line(text, at) and _is_number(line)):
            yield Candidate(line, "hashes")


def _is_number(line: str) -> bool:
    return whole(line.strip("$. ").removeprefix("\\$").removeprefix("$")) is not None


_CHINESE_MARK = "答案"
_STATED = re.compile(
    r"(?i:answers?)\b(?:[^\n.:=]|\.(?=\d)){0,80}?(?:\b(?i:is|are|be|equals)\b|:|=)"
    r"(?:[ \t*_]{0,16}[:=：])?"
    r"|A\*{0,4} ?:|答案[^\n.:=：]{0,20}?(?:是|为|為|は|:|=|：)[:：]?"
)
_NOTS = (" not ", "not be", "n't ", "n\u2019t ", " never ")
_NEGATED = re.compile(
    r"\b(?i:answers?)\b[^\n.:=,;]{0,60}?\b(?:(?:is|are|was|can|could|must|should) ?not|cannot"
    r"|(?:is|are|was|ca|could|should)n['\u2019]t|is never)\b"
    r"(?:[^\s.,;:\\]|[^\S\n](?!(?:but|we|I|so)\b)|\.(?=\d)|\\(?!boxed)){0,200},?"
)
"""What says which answer is none; to the end of its clause. It gives nothing back, so that many of
them cost no more than their length."""
_HOPED = re.compile(
    r"\b(?:hope|whether|sure|know if|see if|check|verify|confirm)\b[^.\n:;,]{0,30}\Z", re.IGNORECASE
)
_DISPLAY = re.compile(r"\$\$.*?\$\$|\\\[.*?\\\]", re.DOTALL)
_OPTION_B = re.compile(r"\n[ \t>*_(]{0,8}B\*{0,4}[ )]?[:.)]")


def _stated(text: str) -> Iterator[Candidate]:
    left, find = len(text), text.rfind
    is_ascii = text.isascii()
    has_options: bool | None = None
    for _ in range(_MAX_TRIES):
        a_line = find("A:", 0, left)
        a_line = max(a_line, find("A**:", a_line + 1, left), find("A :", a_line + 1, left))
        # What stands before the mark that was met already need not be looked through.
        word = find("nswer", a_line + 1, left)
        word = max(word, find("NSWER", max(a_line, word) + 1, left)) - 1
        if not is_ascii:
            word = max(word, find(_CHINESE_MARK, 0, left))
        left = max(a_line, word)
        if left < 0:
            return
        if left == a_line:
            if not _begins_line(text, left):
                continue
            if has_options is None:
                has_options = "B" in text and _OPTION_B.search(text) is not None
            if has_options:
                continue
        elif _HOPED.search(text, max(0, left - 48), left):
            continue
        mark = _STATED.match(text, left)
        line = _line_at(text, mark.end()) if mark else ""
        if line:
            yield Candidate(line, "stated")


_CONCLUDED = re.compile(
    r"\b(?:solution|root|zero|value|result)s?\b[^\n.:=]{0,40}?\b(?:is|are)\b[ \t]{0,4}:?",
    re.IGNORECASE,
)


def _concluded(text: str) -> Iterator[Candidate]:
    """What the last "solutions are" and the like of the end of the text are followed by."""
    tail = text[-MAX_FREE_CHARS:]
    last = None
    for last in _CONCLUDED.finditer(tail):  # noqa: B007 - the last one is wanted
        pass
    if last is not None and (line := _line_at(tail, last.end())):
        yield Candidate(line, "stated")


def _begins_line(text: str, at: int) -> bool:
    before = text[max(0, at - 16) : at].rstrip(_DRESSING)
    return before.endswith("\n") or (not before and at < 16)


def _line_at(text: str, at: int) -> str:
    """The rest of the line, or the next line with anything in it; displayed math is one line."""
    rest = text[at : at + MAX_ANSWER_CHARS + 64].lstrip(_DRESSING + "\n:：")
    display = _DISPLAY.match(rest) if rest[:1] in ("$", "\\") else None
    line = display[0] if display else rest.partition("\n")[0].rstrip(_DRESSING)
    # A long line is a paragraph that begins with the answer; a long word is none.
    return line if len(line) <= MAX_ANSWER_CHARS else line[:MAX_ANSWER_CHARS].rpartition(" ")[0]
