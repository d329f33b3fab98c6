"""System One's typed decisions: a state, questions by name, and probabilities back; no text.

Sources: vLLM 0.32, ``entrypoints/generate/structured_decisions``; transformers 5.23,
``cli/serving/systemone.py`` and ``decision/template_utils.py`` (`POST /v1/systemone`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from ...text.chat import Message
from ...types import InvalidInput, JudgeUnreadable
from ..distribution import from_probabilities, probability
from ..model import LabelQuestion

_ID = "q"


def body(messages: Sequence[Message], question: LabelQuestion) -> dict[str, Any]:
    """The fields of a request; the model's name is not in it. Images and sounds as vLLM takes them.

    Raises:
        InvalidInput: a message holds what this wire does not take.
    """
    media: dict[str, list[str]] = {}
    turns = [(str(m.get("role", "user")), _text(m.get("content"), media)) for m in messages]
    # One turn is the state itself; of several it is told who says what.
    state: Any = turns[0][1] if len(turns) == 1 else [{"role": r, "content": t} for r, t in turns]
    criteria: Any = None
    if question.kind == "choice":
        criteria = {label.text: label.meaning or None for label in question.labels}
    elif question.kind == "score":
        criteria = [
            f"{label.text}: {label.meaning}" if label.meaning else label.text
            for label in question.labels
        ]
    asked: dict[str, Any] = {
        "type": "noul" if question.kind == "predicate" else question.kind,
        "instructions": question.instructions,
    }
    if criteria is not None:
        asked["criteria"] = criteria
    return {"state": state, "questions": {_ID: asked}, **media}


def reading(
    reply: Mapping[str, Any], question: LabelQuestion
) -> tuple[dict[str, float], float | None]:
    """The labels' probabilities, and their mass where the endpoint tells it (vLLM does).

    Raises:
        JudgeUnreadable: the reply does not answer the question.
        InvalidResult: it holds no probabilities.
    """
    answer = _inside(reply, "answers", _ID)
    labels = [label.text for label in question.labels]
    told = _inside(reply, "diagnostics", _ID).get("label_mass")
    mass = None if told is None else probability(told, "the labels")
    if question.kind == "predicate":
        yes = probability(answer.get("noul"), labels[0])
        return {labels[0]: yes, labels[1]: 1.0 - yes}, mass
    rows = answer.get("probabilities")
    given = cast("dict[str, object]", rows) if isinstance(rows, dict) else {}
    if not given:
        raise JudgeUnreadable(f"the reply does not answer the question of type {question.kind}")
    if question.kind == "score":
        # Levels are named by their index.
        indices = [str(index) for index in range(len(labels))]
        shares = from_probabilities(given, indices)[0]
        return dict(zip(labels, shares.values(), strict=True)), mass
    return from_probabilities(given, labels)[0], mass


def _inside(reply: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    value: Any = reply
    for key in keys:
        value = cast("dict[str, Any]", value).get(key) if isinstance(value, dict) else None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _text(content: Any, media: dict[str, list[str]]) -> str:
    if not isinstance(content, list):
        return str(content or "")
    pieces: list[str] = []
    for part in cast("list[Any]", content):
        kind = part.get("type")
        if kind == "text":
            pieces.append(part["text"])
        elif kind == "image_url":
            media.setdefault("images", []).append(part["image_url"]["url"])
        elif kind == "input_audio":
            sound = part["input_audio"]
            uri = f"data:audio/{sound['format']};base64,{sound['data']}"
            media.setdefault("audio", []).append(uri)
        else:
            raise InvalidInput(f"the wire `systemone` takes no part of type {kind!r}")
    return "\n".join(pieces)
