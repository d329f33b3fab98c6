"""Typed decisions: the question as it is, and a probability for each label back; no text.

Source: openai-python 3.54, ``types/decision_create_params.py`` and ``types/decision.py``
(`POST /v1/decisions`), which SGLang serves too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from ...text.chat import Message
from ...types import InvalidInput, JudgeRefused, JudgeUnreadable
from ..distribution import from_probabilities, probability
from ..model import LabelQuestion


def body(messages: Sequence[Message], question: LabelQuestion) -> dict[str, Any]:
    """The fields of a request; the model's name is not in it.

    Raises:
        InvalidInput: a message holds what this wire does not take.
    """
    asked: dict[str, Any] = {"type": question.kind, "instructions": question.instructions}
    if question.kind == "choice":
        asked["choices"] = [_described("value", one.text, one.meaning) for one in question.labels]
    elif question.kind == "score":
        asked["levels"] = [_described("label", one.text, one.meaning) for one in question.labels]
    return {"input": [_message(message) for message in messages], "questions": [asked]}


def reading(reply: Mapping[str, Any], question: LabelQuestion) -> tuple[dict[str, float], None]:
    """The labels' probabilities; this wire tells no label mass.

    Raises:
        JudgeRefused: the model declined to answer.
        JudgeUnreadable: the reply does not answer the question.
        InvalidResult: it holds no probabilities.
    """
    answers = reply.get("answers")
    given = cast("list[Any]", answers) if isinstance(answers, list) else []
    first = given[0] if len(given) == 1 else None  # one question was asked
    answer = cast("dict[str, Any]", first) if isinstance(first, dict) else {}
    if answer.get("type") == "refusal":
        raise JudgeRefused("the judge declined to answer")
    if answer.get("type") != question.kind:
        got = answer.get("type", "nothing")
        raise JudgeUnreadable(f"the reply answers {str(got)[:40]!r}, want a {question.kind}")
    labels = [label.text for label in question.labels]
    if question.kind == "predicate":
        yes = probability(answer.get("probability"), labels[0])
        return {labels[0]: yes, labels[1]: 1.0 - yes}, None
    name = "value" if question.kind == "choice" else "label"
    rows = answer.get("probabilities")
    found: dict[str, object] = {}
    for row in cast("list[Any]", rows) if isinstance(rows, list) else []:
        if isinstance(row, dict):
            told = cast("dict[str, Any]", row)
            found[str(told.get(name))] = told.get("probability")
    return from_probabilities(found, labels)[0], None


def _described(key: str, text: str, meaning: str) -> dict[str, str]:
    return {key: text, "description": meaning} if meaning else {key: text}


def _message(message: Message) -> dict[str, Any]:
    content: Any = message.get("content")
    if isinstance(content, list):
        content = [_part(part) for part in cast("list[Any]", content)]
    return {"type": "message", "role": message.get("role", "user"), "content": content}


def _part(part: Any) -> dict[str, Any]:
    kind = part.get("type")
    if kind == "text":
        return {"type": "input_text", "text": part["text"]}
    if kind == "image_url":
        return {"type": "input_image", "image_url": part["image_url"]["url"]}
    raise InvalidInput(f"the wire `decisions` takes text and images, no part of type {kind!r}")
