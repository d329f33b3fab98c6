"""The one place where a data set's rows become examples and responses.

A row is a prompt, a completion and columns, in whatever form a trainer has them:

============ ===========================================================================
prompt       None, a text, chat messages, one message, or one message's content in parts
completion   the same; None is an empty text
columns      any value by name: text becomes a reference, everything else a JSON one
============ ===========================================================================

Sequences may be lists, tuples or arrays of numpy.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from rewardplane.rewards.types import Content, Example, Group, Part, Response

from . import messages as chat
from .plain import document

References = tuple[dict[str, str], dict[str, str]]
"""A row's columns as references and JSON references."""

_Encoded = tuple[bool, str]
"""A value: whether it is text, and the text or its JSON."""

_NO_TURNS: tuple[Content, ...] = ()


def example(prompt: object, columns: Mapping[str, Any], rename: Mapping[str, str] = {}) -> Example:
    """The example of one row. `rename` maps columns' names to those that the reward expects.

    Raises:
        ValueError: `rename` names a column that there is not, or makes two of one name.
        TypeError: the prompt or a value is of a type that cannot be sent.
    """
    named = renamed(columns, rename)
    row = _references({name: _encoded(name, value) for name, value in named.items()})
    return _example(prompt, row)


def response(completion: object, token_count: int | None = None) -> Response:
    """The response of one row.

    Raises:
        TypeError: the completion is of a type that cannot be sent.
    """
    if isinstance(completion, str):
        return Response(completion, token_count=token_count)
    if completion is None:
        return Response(token_count=token_count)
    # The last turn's text is the response's: it is not sent twice.
    return Response(token_count=token_count, turns=_turns(completion, "completion", "model"))


def groups(
    prompts: Sequence[Any] | None,
    completions: Sequence[Any],
    completion_ids: Sequence[Sequence[int]] | None = None,
    columns: Mapping[str, Any] | None = None,
    group_size: int = 0,
    rename: Mapping[str, str] = {},
) -> list[Group]:
    """The rows as groups: consecutive rows with equal prompt and columns are one group.

    `columns` holds one sequence per name. `completion_ids` are the responses' tokens, which are
    counted. `group_size` responses at most form a group, and each is said to have that many; 0: as
    many as there are. Without `prompts` the examples have no contents.

    Raises:
        ValueError: a column has not one value per row; `rename` names a column that there is not,
            or makes two of one name.
        TypeError: a prompt, a completion or a value is of a type that cannot be sent.
    """
    n = len(completions)
    for name, values in (("prompts", prompts), ("completion_ids", completion_ids)):
        if values is not None and len(values) != n:
            raise ValueError(f"{name} has {len(values)} values for {n} completions")
    encoded, differs = _columns(renamed(columns or {}, rename), n)
    found: list[Group] = []
    responses: list[Response] = []
    last: object = None
    for i in range(n):
        prompt = None if prompts is None else prompts[i]
        if differs[i] or len(responses) == group_size or not _equal(prompt, last):
            responses = []
            row = _references({name: values[i] for name, values in encoded.items()})
            found.append(Group(_example(prompt, row), responses, group_size))
            last = prompt
        count = None if completion_ids is None else len(completion_ids[i])
        responses.append(response(completions[i], count))
    return found


def renamed(columns: Mapping[str, Any], rename: Mapping[str, str]) -> Mapping[str, Any]:
    """The columns under the names that `rename` gives some of them.

    Raises:
        ValueError: one is not there, or two would have one name.
    """
    if not rename:
        return columns
    missing = [name for name in rename if name not in columns]
    if missing:
        raise ValueError(f"rename: there is no column {missing}, only {list(columns)}")
    named = [rename.get(name, name) for name in columns]
    twice = sorted({name for name in named if named.count(name) > 1})
    if twice:
        raise ValueError(f"rename: two columns would be called {twice}")
    return dict(zip(named, columns.values(), strict=True))


def _equal(one: object, other: object) -> bool:
    if one is other:
        return True
    try:
        return bool(one == other)
    except ValueError:
        # Arrays, in which each pair is compared: they are not worth more than a group.
        return False


def _example(prompt: object, row: References) -> Example:
    references, json_references = row
    if prompt is None:
        return Example(_NO_TURNS, references, json_references)
    if isinstance(prompt, str):
        return Example((Content("user", (Part(prompt),)),), references, json_references)
    contents = _turns(prompt, "prompt", "user")
    if contents and contents[0].role == "system":
        return Example(contents[1:], references, json_references, contents[0])
    return Example(contents, references, json_references)


def _turns(value: object, what: str, role: str) -> tuple[Content, ...]:
    if isinstance(value, Mapping):
        return chat.turns([cast("object", value)])
    if hasattr(value, "tolist"):
        value = cast("Any", value).tolist()
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        listed = cast("Sequence[object]", value)
        if chat.is_content(listed):
            return (chat.turn_of(role, listed),)
        return chat.turns(listed)
    raise TypeError(f"a {what} is {type(value).__name__}, want text or a list of messages")


def _references(values: Mapping[str, _Encoded]) -> References:
    row: References = ({}, {})
    for name, (is_text, text) in values.items():
        row[0 if is_text else 1][name] = text
    return row


def _columns(columns: Mapping[str, Any], n: int) -> tuple[dict[str, list[_Encoded]], bytearray]:
    """The columns' values by name, and for each row whether it differs from the one before."""
    found: dict[str, list[_Encoded]] = {}
    differs = bytearray(n)
    differs[:1] = b"\1"[:n]
    for name, values in columns.items():
        if not _is_column(values):
            warnings.warn(f"{name!r} is no column and is not sent", stacklevel=4)
            continue
        if len(values) != n:
            raise ValueError(f"column {name!r} has {len(values)} values for {n} rows")
        encoded = found[name] = []
        last: object = _Encoded
        before: _Encoded = (False, "")
        for i, value in enumerate(cast("Iterable[object]", values)):
            # The responses of a group repeat their row: what is the same is not written again.
            if value is not last:
                now = _encoded(name, value)
                if now != before:
                    differs[i] = True
                    before = now
                last = value
            encoded.append(before)
    return found, differs


def _is_column(values: object) -> bool:
    if isinstance(values, str | bytes | Mapping) or not hasattr(values, "__len__"):
        return False
    # Arrays of no dimension have a length to ask for and none to give.
    return getattr(values, "ndim", 1) != 0


def _encoded(name: str, value: object) -> _Encoded:
    if isinstance(value, str):
        # Not the value itself: numpy has strings of its own.
        return True, value if type(value) is str else str(value)
    try:
        return False, document(value)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"column {name!r}: {error}; name the columns to send with `columns=`"
        ) from None
