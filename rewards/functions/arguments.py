"""What functions of each shape are called with, by parameter name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from ..reading.json_text import NoJson, read_json
from ..references import references
from ..reward import Item
from ..text.chat import prompt_messages, response_messages, tool_call
from ..text.protojson import example_dict, response_dict
from ..types import Example, FunctionCall, InvalidReference, Response


def for_evaluate(example: Example, response: Response) -> dict[str, Any]:
    """`example` and `response` as Gemini's camelCase dicts."""
    return {
        "example": example_dict(example, response),
        "response": response_dict(response),
    }


def for_grade(example: Example, response: Response) -> dict[str, Any]:
    """OpenAI's `sample` and `item` (https://platform.openai.com/docs/guides/graders).

    `item` is the line of the data set: the references at its top level, and `messages`. `sample`
    has `output_text`, `output_json` (the text as JSON, None where it is none), `output_tools` (the
    calls of all its turns, in their order) and `choices`.
    """
    messages = response_messages(response)
    calls = [
        tool_call(part.data)
        for turn in response.turns
        for part in turn.parts
        if isinstance(part.data, FunctionCall)
    ]
    choice = {
        "index": 0,
        "message": messages[-1],
        "finish_reason": response.finish_reason or None,
    }
    sample = {
        "output_text": response.text,
        "output_json": _json_or_none(response.text),
        "output_tools": calls,
        "choices": [choice],
    }
    item = {"messages": prompt_messages(example), **references(example, response)}
    return {"sample": sample, "item": item}


def _json_or_none(text: str) -> Any:
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return read_json(text)
    except NoJson:
        return None


def for_compute_score(example: Example, response: Response, gold_key: str) -> dict[str, Any]:
    """The `data_source`, `solution_str`, `ground_truth` and `extra_info` of verl.

    The gold is reference `gold_key`; `data_source` is the reference of that name, "" where there is
    none; `extra_info` holds all other references, and those in a reference `extra_info` itself.

    Raises:
        InvalidReference: there is no gold.
    """
    known = references(example, response)
    if gold_key not in known:
        there = ", ".join(sorted(known)) or "none"
        raise InvalidReference(f"reference {gold_key!r} is missing; there are: {there}")
    gold, source = known.pop(gold_key), known.pop("data_source", "")
    extra = known.pop("extra_info", {})
    if isinstance(extra, dict):
        known.update(cast("dict[str, Any]", extra))
    else:
        known["extra_info"] = extra
    return {
        "data_source": source,
        "solution_str": response.text,
        "ground_truth": gold,
        "extra_info": known,
    }


def for_trl(items: Sequence[Item], conversational: bool | None) -> dict[str, Any]:
    """TRL's `prompts`, `completions` and one list for each reference key; None where one has none.

    A row is conversational, its prompt and its completion both lists of messages, where the example
    has several turns or a system instruction or where the response came as turns; else both are
    texts, as TRL has them. `conversational` overrides the rule for all.
    """
    rows = [references(example, response) for example, response in items]
    columns = {key: [row.get(key) for row in rows] for row in rows for key in row}
    prompts: list[Any] = []
    completions: list[Any] = []
    for example, response in items:
        chat = conversational
        if chat is None:
            several = len(example.contents) > 1 or len(response.turns) > 0
            chat = several or example.system_instruction is not None
        prompts.append(prompt_messages(example) if chat else example.prompt)
        completions.append(response_messages(response) if chat else response.text)
    return {**columns, "prompts": prompts, "completions": completions}


def for_score_group(items: Sequence[Item]) -> dict[str, Any]:
    """The `Example` and the list of its `Response`s."""
    return {"example": items[0][0], "responses": [response for _, response in items]}
