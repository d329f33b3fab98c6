"""From a judge's text to a verdict. What cannot be read is an error, never a number."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from ..http.reply import usage_of
from ..reading.json_text import NoJson, read_json
from ..result import plain
from ..types import JudgeRefused, JudgeUnreadable
from .question import Question, Usage

_THINKING = re.compile(r"\s*<think>.*?</think>", re.DOTALL)
_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_SHOWN_CHARS = 200

YES_OR_NO = ("yes", "no")


class JudgeCutOff(JudgeUnreadable):
    """The judge reached its limit of tokens before it was done."""


class BadVerdict(ValueError):
    """The text is not what was asked for; the message tells the judge, and a person, why."""


@dataclass(slots=True, frozen=True)
class Completion:
    """One answer off the wire."""

    text: str
    usage: Usage
    model: str
    version: str


@dataclass(slots=True, frozen=True)
class Verdict:
    """What a text says: a number or a label, and the reasons for it."""

    value: float | None = None
    label: str | None = None
    explanation: str = ""


def completion_of(reply: Mapping[str, Any]) -> Completion:
    """The first choice of a chat completion. Its text may be empty.

    Raises:
        JudgeRefused: the model refused, or a filter took its words.
        JudgeCutOff: it ran out of tokens.
        JudgeUnreadable: this is no chat completion.
    """
    choices = reply.get("choices")
    choice = cast("list[Any]", choices)[0] if isinstance(choices, list) and choices else None
    message = cast("dict[str, Any]", choice).get("message") if isinstance(choice, dict) else None
    if not isinstance(message, dict):
        raise JudgeUnreadable(f"the judge's reply has no choices[0].message: {_shown(str(reply))}")
    said = cast("dict[str, Any]", message)
    finish = cast("dict[str, Any]", choice).get("finish_reason")
    refusal = said.get("refusal")
    if refusal:
        raise JudgeRefused(f"the judge refused: {_shown(str(refusal))}")
    if finish == "content_filter":
        raise JudgeRefused("the judge's answer was filtered")
    text = _text(said.get("content"))
    if finish == "length":
        raise JudgeCutOff(f"the judge ran out of tokens: …{_shown(text[-_SHOWN_CHARS:])}")
    usage = Usage(*usage_of(reply), calls=1)
    version = str(reply.get("system_fingerprint") or "")
    return Completion(text, usage, str(reply.get("model") or ""), version)


def number_of(text: str) -> float:
    """The finite number that the text is, but for white space around it: ``-0.5``, ``1e-3``.

    Raises:
        BadVerdict: it is none; words around a number, ``NaN`` and ``1e999`` are none.
    """
    found = _NUMBER.fullmatch(text.strip()) if len(text) <= 1000 else None
    value = float(found[0]) if found is not None else math.nan
    if not math.isfinite(value):
        raise BadVerdict(f"want a finite number alone, got {_shown(text) or 'nothing'}")
    return value


def verdict_of(question: Question, text: str) -> Verdict:
    """What the text answers to the question.

    Raises:
        BadVerdict: it answers nothing that was asked.
    """
    text = _THINKING.sub("", text, count=1)
    if not text.strip():
        raise BadVerdict("the answer is empty")
    if question.kind == "text":
        return Verdict()
    try:
        document = read_json(text, fenced=True)
    except NoJson as error:
        raise BadVerdict(f"want a JSON object alone: {error}; got {_shown(text)}") from None
    if not isinstance(document, dict):
        raise BadVerdict(f"want a JSON object, got {_shown(text)}")
    found = cast("dict[str, Any]", document)
    result, why = found.get("result"), _explanation(found.get("steps"))
    if question.kind == "score":
        if isinstance(result, bool) or not isinstance(result, int | float):
            raise BadVerdict(f'"result" must be a number, got {_shown(repr(result))}')
        try:
            value = float(result)
        except OverflowError:
            value = math.inf
        if not math.isfinite(value):
            raise BadVerdict('"result" must be a finite number')
        return Verdict(value, None, why)
    labels = labels_of(question)
    if result not in labels:
        raise BadVerdict(f'"result" must be one of {list(labels)}, got {_shown(repr(result))}')
    return Verdict(None, cast("str", result), why)


def labels_of(question: Question) -> tuple[str, ...]:
    """The answers that a question of kind choice or predicate allows."""
    if question.kind == "predicate":
        return YES_OR_NO
    return tuple(option.label for option in question.options)


def schema_of(question: Question) -> dict[str, Any]:
    """The JSON schema of the answer: the reasons first, so that the result follows from them."""
    step = {
        "type": "object",
        "properties": {"description": {"type": "string"}, "conclusion": {"type": "string"}},
        "required": ["description", "conclusion"],
        "additionalProperties": False,
    }
    result: dict[str, Any] = {"type": "number"}
    if question.kind != "score":
        result = {"type": "string", "enum": list(labels_of(question))}
    return {
        "type": "object",
        "properties": {"steps": {"type": "array", "items": step}, "result": result},
        "required": ["steps", "result"],
        "additionalProperties": False,
    }


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


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = [
            cast("dict[str, Any]", p) for p in cast("list[Any]", content) if isinstance(p, dict)
        ]
        return "".join(p["text"] for p in parts if isinstance(p.get("text"), str))
    return ""


def _shown(text: str) -> str:
    return plain(text.strip(), _SHOWN_CHARS)
