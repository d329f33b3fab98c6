"""The answer that a judge gives to a question, as JSON under a schema: asked for, and read back.

What cannot be read is an error, never a number.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, cast

from ..text.chat import Message
from .completion import shown
from .question import Question
from .refusal import is_refusal
from .thoughts import Span, spoken, without_thoughts

MAX_ATTEMPTS = 1_000
"""How many places of a text are tried for a JSON object."""

_OBJECT = re.compile(r"\{\s*[\"}]")
_WORD = re.compile(r"\w")


class Unreadable(ValueError):
    """The text answers nothing that was asked; the message tells the judge, and a person, why."""


class Refused(Unreadable):
    """The text says, in words, that the judge will not answer."""


@dataclass(slots=True, frozen=True)
class Decision:
    """What a text says: a number or a label, its reasons, and the text without thoughts."""

    text: str
    value: float | None = None
    label: str | None = None
    explanation: str = ""


def decision_of(question: Question, text: str, messages: Sequence[Message] = ()) -> Decision:
    """What the text answers to the question about the messages. Linear in the text's length.

    A JSON object may stand alone, in a fence, or among other words; the last one with a `result`
    counts. One that the judge was shown and that it repeats among other words is a quotation, and
    no verdict; one without `steps` that contradicts an earlier one with them may be one.

    Raises:
        Refused: it says that the judge will not answer.
        Unreadable: it answers nothing that was asked.
    """
    if question.kind == "text":
        said = without_thoughts(text)
        if not said.strip():
            raise Unreadable("the answer is empty but for thoughts" if text.strip() else _EMPTY)
        return Decision(said)
    document = _whole(text) or _last(text, messages)
    if document is None:
        said = without_thoughts(text)
        if is_refusal(said):
            raise Refused(f"the judge refused: {shown(said)}")
        why = f'want a JSON object with "result", got {shown(said)}' if said.strip() else _EMPTY
        raise Unreadable(why)
    result, why = document.get("result"), _explanation(document.get("steps"))
    if result is _TWICE:
        raise Unreadable('"result" stands twice in one object')
    if question.kind == "score":
        return Decision(text, _number(result), None, why)
    labels = [option.label for option in question.options]
    if result not in labels:
        raise Unreadable(f'"result" must be one of {labels}, got {shown(repr(result))}')
    return Decision(text, None, cast("str", result), why)


def schema_of(question: Question) -> dict[str, Any]:
    """The JSON schema of the answer: the reasons first, so that the result follows from them."""
    step = {
        "type": "object",
        "properties": {"description": {"type": "string"}, "conclusion": {"type": "string"}},
        "required": ["description", "conclusion"],
        "additionalProperties": False,
    }
    result: dict[str, Any] = {"type": "number"}
    if question.kind == "choice":
        result = {"type": "string", "enum": [option.label for option in question.options]}
    return {
        "type": "object",
        "properties": {"steps": {"type": "array", "items": step}, "result": result},
        "required": ["steps", "result"],
        "additionalProperties": False,
    }


_EMPTY = "the answer is empty"


class _Twice:
    """Stands where a key had two values."""


_TWICE = _Twice()


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs) and sum(key == "result" for key, _ in pairs) > 1:
        found["result"] = _TWICE
    return found


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_once,
    parse_constant=_refuse_constant,
    strict=False,  # line ends within texts, as judges without structured answers write them
)


def _whole(text: str) -> dict[str, Any] | None:
    """The object that the text is, but for white space: any tag in it is data."""
    try:
        document: Any = _DECODER.decode(text.strip())
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", document) if isinstance(document, dict) else None


def _last(text: str, messages: Sequence[Message]) -> dict[str, Any] | None:
    """The object among other words that is the verdict."""
    objects, broken_at = _objects(text)
    answers = spoken(text, [span for span, _ in objects])
    found = [
        (span, document)
        for span, document in objects
        if "result" in document and any(b <= span[0] and span[1] <= e for b, e in answers)
    ]
    if not found:
        return None
    (begin, end), document = found[-1]
    around = "".join(text[b:e] for b, e in answers if e <= begin or b >= end)
    around += "".join(text[b:begin] + text[end:e] for b, e in answers if b <= begin and end <= e)
    if _WORD.search(around.replace("```json", "")) is None:
        return document
    own = [one for one in found if not _is_quoted(text[one[0][0] : one[0][1]], messages)]
    if not own:
        return None
    (begin, end), document = own[-1]
    if broken_at > begin and '"result"' in text[broken_at:]:
        return None  # the last word is there, and cannot be read
    complete = [one["result"] for _, one in own if "steps" in one]
    if "steps" not in document and complete and complete[-1] != document["result"]:
        return None  # which of the two is meant is not known
    return document


def _objects(text: str) -> tuple[list[tuple[Span, dict[str, Any]]], int]:
    """The JSON objects in a text, the outermost ones, in their order; and the last broken one.

    That is where one begins that cannot be read, -1 where all can. There are no objects where a
    text has so many, or so much that only begins like one, that it would take more than its length:
    the last that was looked at must not be mistaken for the last of all.
    """
    found: list[tuple[Span, dict[str, Any]]] = []
    at, spent, broken_at = 0, 0, -1
    for _ in range(MAX_ATTEMPTS):
        start = _OBJECT.search(text, at)
        if start is None:
            return found, broken_at
        at = start.start()
        try:
            document, end = _DECODER.raw_decode(text, at)
        except json.JSONDecodeError as error:
            spent += error.pos - at
            broken_at = at
            at += 1
        except (ValueError, RecursionError):
            spent += len(text) - at
            broken_at = at
            at += 1
        else:
            found.append(((at, end), cast("dict[str, Any]", document)))
            at = end
        if spent > 4 * len(text):
            break
    return [], broken_at


def _is_quoted(source: str, messages: Sequence[Message]) -> bool:
    for message in messages:
        content = message.get("content")
        if isinstance(content, str) and source in content:
            return True
        parts = cast("list[Any]", content) if isinstance(content, list) else []
        texts = [cast("dict[str, Any]", p).get("text") for p in parts if isinstance(p, dict)]
        if any(isinstance(text, str) and source in text for text in texts):
            return True
    return False


def _number(result: object) -> float:
    if isinstance(result, bool) or not isinstance(result, int | float):
        raise Unreadable(f'"result" must be a number, got {shown(repr(result))}')
    try:
        value = float(result)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise Unreadable('"result" must be a finite number')
    return value


def _explanation(steps: object) -> str:
    """The steps as lines; what is not as it was asked for is left out."""
    if not isinstance(steps, list):
        return ""
    lines: list[str] = []
    for step in cast("list[Any]", steps):
        if isinstance(step, dict):
            told = cast("dict[str, Any]", step)
            parts = [told.get("description"), told.get("conclusion")]
            lines.append(": ".join(part for part in parts if isinstance(part, str) and part))
    return "\n".join(line for line in lines if line)
