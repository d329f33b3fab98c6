r"""Where the final answer stands in a response, by the conventions that models are trained on.

What stands before the last ``</think>`` is not read, and where there is an ``<answer>`` only the
last such block is. In what remains the first convention of this list that is met gives the answer:

1. ``boxed``: the content of the last ``\boxed{…}`` that is closed and not empty. Boxes joined by a
   comma, "and" or "or" are one answer: ``\boxed{1}$ and $\boxed{2}`` is ``1, 2``.
2. ``hashes``: the line of the last ``####``, unless it reads like a heading and text follows it.
3. ``stated``: what follows the last ``A:`` at the start of a line or "answer is", "answer:",
   "answer =" and the like, to the end of that line (of the next one, where that is empty).
4. ``tagged``: all of the ``<answer>`` block.
5. ``free``: the end of the text, of which the reader takes the last expression.

Every step looks at a bounded number of places from the end of the text, so that the cost does not
grow with what a model babbles.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

MAX_ANSWER_CHARS = 500
"""An answer longer than this is none."""
MAX_FREE_CHARS = 500
"""How much of the end of the text is looked at when no convention is met."""
_MAX_TRIES = 16

Source = Literal["boxed", "hashes", "stated", "tagged", "free"]


@dataclass(slots=True, frozen=True)
class Answer:
    """The text of an answer, not empty, and the convention that it was found by."""

    text: str
    source: Source


def find(text: str) -> Answer | None:
    """The final answer of a response, or None where there is nothing to read."""
    start = text.rfind("</think>")
    if start >= 0:
        text = text[start + len("</think>") :]
    start = text.rfind("<answer>")
    tagged = start >= 0
    if tagged:
        start += len("<answer>")
        end = text.find("</answer>", start)
        text = text[start : end if end >= 0 else len(text)]
    for look, source in _CONVENTIONS:
        found = look(text)
        if found is not None:
            return Answer(found, source) if len(found) <= MAX_ANSWER_CHARS else None
    text = text.strip()
    if not text:
        return None
    if tagged:
        return Answer(text, "tagged") if len(text) <= MAX_ANSWER_CHARS else None
    tail = _tail(text)
    return Answer(tail, "free") if tail else None


def _tail(text: str) -> str:
    """The end of the text, cut at white space: half a number is another number."""
    if len(text) <= MAX_FREE_CHARS:
        return text
    tail = text[-MAX_FREE_CHARS:]
    if tail[0].isspace() or text[-MAX_FREE_CHARS - 1].isspace():
        return tail.strip()
    _half, *rest = tail.split(maxsplit=1)
    return rest[0] if rest else ""


_BOX = re.compile(r"\\(?:boxed|fbox)\s*")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_BARE = re.compile(r"[^\s$\\{}]+")
_JOINT = re.compile(
    r"\s*(?:\$|\\\)|\\\])?\s*(?:,?\s*(?:and|or|\\text\{\s*(?:and|or)\s*\})|,)\s*(?:\$|\\\(|\\\[)?\s*"
)


def _boxed(text: str) -> str | None:
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
        if boxes and (end > left or not _JOINT.fullmatch(text, end, left)):
            break
        if content:
            boxes.insert(0, content)
        left = begin
    return ", ".join(boxes) or None


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


_HEADING = re.compile(r"\W*(?:[^\W\d_]{2,}|[0-9]+[.):]\s+\W*[^\W\d_])")


def _hashes(text: str) -> str | None:
    left = len(text)
    for _ in range(_MAX_TRIES):
        at = text.rfind("####", 0, left)
        if at < 0:
            return None
        left = at
        line, _, rest = text[at + 4 :].partition("\n")
        line = line.strip(" \t\r#*")
        if line and not (_HEADING.match(line) and rest.strip()):
            return line
    return None


_A_MARKS = ("A:", "A**:", "A :")
_ANSWER_MARKS = ("nswer", "NSWER")
_STATED = re.compile(
    r"(?i:answer)\b(?:[^\n.:=]|\.(?=\d)){0,80}?(?:\b(?:is|are|be|equals)\b|:|=)(?:[ \t*_]*[:=])?"
    r"|A[*]*[ ]?:"
)
_DISPLAY = re.compile(r"\$\$.*?\$\$|\\\[.*?\\\]", re.DOTALL)
_LINE_DRESSING = " \t\r>*_"


def _stated(text: str) -> str | None:
    left = len(text)
    for _ in range(_MAX_TRIES):
        a_line = max(text.rfind(mark, 0, left) for mark in _A_MARKS)
        word = max(text.rfind(mark, 0, left) for mark in _ANSWER_MARKS) - 1
        left = max(a_line, word)
        if left < 0:
            return None
        if left == a_line and not _begins_line(text, left):
            continue
        mark = _STATED.match(text, left)
        line = _line_at(text, mark.end()) if mark else ""
        if line:
            return line
    return None


def _begins_line(text: str, at: int) -> bool:
    before = text[max(0, at - 16) : at].rstrip(_LINE_DRESSING)
    return before.endswith("\n") or (not before and at < 16)


def _line_at(text: str, at: int) -> str:
    """The rest of the line, or the next line with anything in it; displayed math is one line."""
    rest = text[at : at + 2 * MAX_ANSWER_CHARS].lstrip(_LINE_DRESSING + "\n:")
    display = _DISPLAY.match(rest)
    line = display[0] if display else rest.partition("\n")[0].rstrip(_LINE_DRESSING)
    if len(line) > MAX_ANSWER_CHARS:
        line = line[:MAX_ANSWER_CHARS].rpartition(" ")[0]
    return line


_CONVENTIONS: tuple[tuple[Callable[[str], str | None], Source], ...] = (
    (_boxed, "boxed"),
    (_hashes, "hashes"),
    (_stated, "stated"),
)
