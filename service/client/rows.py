"""From a data set's rows, given as columns, to groups."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any, cast

from rewardplane.rewards.types import Content, Example, Group, Part, Response

from . import messages as chat

Row = tuple[dict[str, str], dict[str, str]]
"""A row's columns as references and JSON references."""


def groups(
    prompts: Sequence[Any],
    completions: Sequence[Any],
    completion_ids: Sequence[Sequence[int]] | None,
    columns: Mapping[str, Any],
    group_size: int = 0,
) -> list[Group]:
    """The rows as groups: consecutive rows with equal prompt and columns are one group.

    `group_size` responses at most form a group, and each is said to have that many; 0: as many as
    there are. A prompt or a completion is a text or a list of chat messages.

    Raises:
        ValueError: a column has not one value per prompt.
        TypeError: a prompt, a completion or a value is of a kind that cannot be sent.
    """
    n = len(prompts)
    for name, values in (("completions", completions), ("completion_ids", completion_ids)):
        if values is not None and len(values) != n:
            raise ValueError(f"{name} has {len(values)} values for {n} prompts")
    rows = _rows(columns, n)
    found: list[Group] = []
    responses: list[Response] = []
    for i in range(n):
        is_new = i == 0 or rows[i] != rows[i - 1] or prompts[i] != prompts[i - 1]
        if is_new or len(responses) == group_size:
            responses = []
            found.append(Group(_example(prompts[i], rows[i]), responses, group_size))
        count = None if completion_ids is None else len(completion_ids[i])
        responses.append(_response(completions[i], count))
    return found


def _example(prompt: object, row: Row) -> Example:
    references, json_references = row
    if isinstance(prompt, str):
        contents: tuple[Content, ...] = (Content("user", (Part(prompt),)),)
        return Example(contents, references, json_references)
    system, contents = chat.prompt(_messages(prompt, "prompt"))
    return Example(contents, references, json_references, system)


def _response(completion: object, token_count: int | None) -> Response:
    if isinstance(completion, str):
        return Response(completion, token_count=token_count)
    turns = chat.turns(_messages(completion, "completion"))
    return Response(turns[-1].text if turns else "", token_count=token_count, turns=turns)


def _messages(value: object, what: str) -> Sequence[chat.Message]:
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return cast("Sequence[chat.Message]", value)
    raise TypeError(f"a {what} is {type(value).__name__}, want text or a list of messages")


def _rows(columns: Mapping[str, Any], n: int) -> list[Row]:
    rows: list[Row] = [({}, {}) for _ in range(n)]
    for name, values in columns.items():
        if isinstance(values, str | bytes | Mapping) or not hasattr(values, "__len__"):
            warnings.warn(f"{name!r} is no column and is not sent", stacklevel=4)
            continue
        if len(values) != n:
            raise ValueError(f"column {name!r} has {len(values)} values for {n} prompts")
        for (references, json_references), value in zip(
            rows, cast("Iterable[object]", values), strict=True
        ):
            if isinstance(value, str):
                # Not the value itself: numpy has strings of its own.
                references[name] = str(value)
            else:
                json_references[name] = _document(value, name)
    return rows


def _document(value: object, column: str) -> str:
    """The value as JSON. NaN and infinity are written as Python's json does, and read so again."""
    try:
        return json.dumps(value, ensure_ascii=False, default=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(
            f"column {column!r}: {error}; name the columns to send with `columns=`"
        ) from None


def _plain(value: object) -> object:
    # numpy's scalars and arrays, and torch's tensors, wherever in the value.
    if hasattr(value, "tolist"):
        return cast("Any", value).tolist()
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} cannot be sent as JSON")
