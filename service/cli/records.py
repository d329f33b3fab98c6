"""The lines that `rewardplane score --output` writes and `rewardplane compare` reads."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from rewardplane.rewards.types import Example, Outcome, Reason, Response, Score, ScoreError

from .dataset import EMPTY, BadLine
from .rows import NoRow, NotReadable, documents


@dataclass(slots=True, frozen=True)
class Item:
    """A response with the prompt that it answers, and what came of it."""

    id: str
    prompt: str
    response: str
    outcome: Outcome


def items_of(
    example: Example, responses: Sequence[Response], outcomes: Sequence[Outcome]
) -> Iterator[Item]:
    """The items of one group."""
    for response, outcome in zip(responses, outcomes, strict=True):
        text = response.text or (response.turns[-1].text if response.turns else "")
        yield Item(example.id, example.prompt, text, outcome)


def line_of(items: Sequence[Item]) -> str:
    """The items of one group as a line of JSON."""
    record = {
        "id": items[0].id if items else "",
        "prompt": items[0].prompt if items else "",
        "responses": [item.response for item in items],
        "outcomes": [outcome_json(item.outcome) for item in items],
    }
    return json.dumps(record, ensure_ascii=False) + "\n"


def read_items(path: Path) -> Iterator[Item]:
    """The items of a file that `line_of` wrote, in their order.

    Raises:
        BadLine: a line holds none.
        OSError: the file cannot be read.
    """
    try:
        number = 0
        for number, raw in documents(path):
            try:
                yield from _items(raw)
            except (ValueError, TypeError, KeyError) as error:
                why = f"not what `rewardplane score --output` writes: {error}"
                raise BadLine(f"{path}, line {number}: {why}") from None
        if not number:
            raise BadLine(f"{path}: {EMPTY}")
    except NotReadable as error:
        raise BadLine(str(error)) from None


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    """An outcome as plain JSON: `reward` or `error`, never both."""
    if isinstance(outcome, ScoreError):
        return {"error": outcome.reason.name, "message": outcome.message}
    out: dict[str, Any] = {"reward": outcome.reward}
    if outcome.components:
        out["components"] = {
            name: value if math.isfinite(value) else None
            for name, value in outcome.components.items()
        }
    if outcome.explanation:
        out["explanation"] = outcome.explanation
    if outcome.answer:
        out["answer"] = outcome.answer
    return out


def _items(raw: object) -> Iterator[Item]:
    if isinstance(raw, NoRow) or not isinstance(raw, dict):
        raise ValueError(raw.why if isinstance(raw, NoRow) else "want an object")  # noqa: TRY004
    record = cast("Mapping[str, Any]", raw)
    outcomes = cast("Sequence[Mapping[str, Any]]", record["outcomes"])
    responses = record.get("responses") or [""] * len(outcomes)
    for response, outcome in zip(responses, outcomes, strict=True):
        name, prompt = str(record.get("id") or ""), str(record.get("prompt") or "")
        yield Item(name, prompt, str(response), _outcome(outcome))


def _outcome(raw: Mapping[str, Any]) -> Outcome:
    if "error" in raw:
        return ScoreError(Reason[raw["error"]], str(raw.get("message", "")))
    parts = {
        str(name): math.nan if value is None else float(value)
        for name, value in raw.get("components", {}).items()
    }
    said, answer = str(raw.get("explanation", "")), str(raw.get("answer", ""))
    return Score(float(raw["reward"]), parts, said, (), answer)
